using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Messages as records, and the reverse.
/// <code>
/// key      the message's header x-record-key; without it none
/// value    the body
/// headers  amqp.exchange, amqp.routing-key   text
///          amqp.properties                   the properties as the publisher sent them: they are delivered as the same bytes
///          amqp.content-type and other texts among the properties, for readers that know no AMQP
///          NAME                              each header of the message that is a text, a number or a truth value, as text
///          amqp.dead-letter                  of a dead letter: its header x-death is the broker's
///          amqp.delayed-by                   of a delayed message: the exchange that delays it, if it was published to another one
///          omq.priority, omq.expires-at      for the queue
/// </code>
/// A record without <c>amqp.properties</c> came from elsewhere, such as Kafka: its headers become headers of the message, its timestamp
/// and delivery-mode 2 properties, and the queue's name the routing key. The key of a record is the header <c>x-record-key</c> of its
/// message (<see cref="RecordKey"/>).
/// </summary>
internal static class MessageRecords
{
    private const string PropertyPrefix = "amqp.";
    private const string QueuePrefix = "omq.";

    private static readonly byte[] Exchange = "amqp.exchange"u8.ToArray();
    private static readonly byte[] RoutingKey = "amqp.routing-key"u8.ToArray();
    private static readonly byte[] PropertiesName = "amqp.properties"u8.ToArray();
    private static readonly byte[] DeadLetterName = "amqp.dead-letter"u8.ToArray();
    private static readonly byte[] DelayedBy = "amqp.delayed-by"u8.ToArray();
    private static readonly byte[] Priority = Encoding.UTF8.GetBytes(QueueHeaders.Priority);
    private static readonly byte[] ExpiresAt = Encoding.UTF8.GetBytes(QueueHeaders.ExpiresAt);

    private static readonly (BasicProperty Property, byte[] Name)[] Texts =
    [
        .. new[]
        {
            (BasicProperty.ContentType, "content-type"), (BasicProperty.ContentEncoding, "content-encoding"),
            (BasicProperty.CorrelationId, "correlation-id"), (BasicProperty.ReplyTo, "reply-to"), (BasicProperty.MessageId, "message-id"),
            (BasicProperty.Type, "type"), (BasicProperty.UserId, "user-id"), (BasicProperty.AppId, "app-id"),
        }.Select(text => (text.Item1, Encoding.UTF8.GetBytes(PropertyPrefix + text.Item2))),
    ];

    /// <summary>Returns a batch of messages, each a record. It is in pooled memory, which the caller gives back.</summary>
    public static RecordBatchBuilder Encode(List<PublishLane.Publish> publishes)
    {
        var builder = new RecordBatchBuilder(initialCapacity: publishes.Sum(static publish => publish.Message.Bytes));
        foreach (var publish in publishes)
        {
            var key = RecordKey.Of(publish.Message.Properties);
            builder.Add(publish.Message.Published, key.GetValueOrDefault().Span, key.HasValue, publish.Message.Body.Span, hasValue: true,
                HeadersOf(publish.Message, publish.Priority, publish.ExpiresAt));
        }
        return builder;
    }

    /// <summary>Returns the bytes of a message's record: its body and headers.</summary>
    public static long BytesOf(AmqpMessage message) => message.Body.Length
        + HeadersOf(message).Sum(static header => (long)header.Key.Length + (header.Value?.Length ?? 0));

    /// <summary>Returns the headers of a message's record.</summary>
    /// <param name="message">The message.</param>
    /// <param name="priority">Its priority in the queue; null for none.</param>
    /// <param name="expiresAt">When it expires by its own time to live, in milliseconds since 1970; null for never.</param>
    public static RecordHeader[] HeadersOf(AmqpMessage message, int? priority = null, long? expiresAt = null)
    {
        var headers = new List<RecordHeader>(4)
        {
            Header(Exchange, message.Exchange),
            Header(RoutingKey, message.RoutingKey),
            new(PropertiesName, message.Properties.Bytes.IsEmpty ? ContentProperties.None.Bytes
                : message.Properties.Bytes),
        };
        foreach (var (property, name) in Texts)
        {
            if (message.Properties.Find(property) is { } text)
                headers.Add(new RecordHeader(name, text[1..]));
        }
        foreach (var (name, value) in message.Properties.Headers?.Entries() ?? [])
        {
            if (!name.StartsWith(PropertyPrefix, StringComparison.Ordinal) && !name.StartsWith(QueuePrefix, StringComparison.Ordinal)
                && name != RecordKey.Header && TextOf(value) is { } text)
                headers.Add(new RecordHeader(Encoding.UTF8.GetBytes(name), text));
        }
        if (message.IsDeadLetter)
            headers.Add(new RecordHeader(DeadLetterName, ReadOnlyMemory<byte>.Empty));
        if (message.DelayedBy is { } delaying)
            headers.Add(Header(DelayedBy, delaying));
        if (priority is { } level)
            headers.Add(Header(Priority, level.ToString(CultureInfo.InvariantCulture)));
        if (expiresAt is { } end)
            headers.Add(Header(ExpiresAt, end.ToString(CultureInfo.InvariantCulture)));
        return [.. headers];
    }

    /// <summary>Returns the message of a record, in memory of its own.</summary>
    /// <param name="record">The record.</param>
    /// <param name="queue">The queue that it is in.</param>
    public static AmqpMessage Copy(in Record record, string queue)
    {
        var message = Decode(record, record.ReadHeaders(), queue);
        return message with
        {
            Properties = new ContentProperties(message.Properties.Bytes.ToArray()),
            Body = message.Body.ToArray(),
        };
    }

    /// <summary>Returns the message of a record, in the memory of that.</summary>
    /// <param name="record">The record.</param>
    /// <param name="headers">Its headers.</param>
    /// <param name="queue">The queue that it is in.</param>
    public static AmqpMessage Decode(in Record record, RecordHeader[] headers, string queue) =>
        Decode(new QueueRecord(record.Offset, record.Timestamp, record.Key, record.Value, headers, 1, 0, false), queue);

    /// <summary>Returns the message of a record.</summary>
    /// <param name="record">The record.</param>
    /// <param name="queue">The queue that it is in.</param>
    public static AmqpMessage Decode(QueueRecord record, string queue)
    {
        var (exchange, routingKey, properties, isDeadLetter) = ("", queue, default(ReadOnlyMemory<byte>?), false);
        string? delayedBy = null;
        foreach (var (key, value) in record.Headers)
        {
            if (key.Span.SequenceEqual("amqp.properties"u8))
                properties = value;
            else if (key.Span.SequenceEqual("amqp.exchange"u8))
                exchange = ShortText(value, "");
            else if (key.Span.SequenceEqual("amqp.routing-key"u8))
                routingKey = ShortText(value, queue);
            else if (key.Span.SequenceEqual("amqp.dead-letter"u8))
                isDeadLetter = true;
            else if (key.Span.SequenceEqual("amqp.delayed-by"u8))
                delayedBy = ShortText(value, exchange);
        }
        return new AmqpMessage(exchange, routingKey, RecordKey.With(properties is { } bytes && IsWellFormed(bytes.Span)
            ? new ContentProperties(bytes) : Describe(record), record.Key), record.Value ?? default, record.Timestamp)
        {
            IsDeadLetter = isDeadLetter,
            DelayedBy = delayedBy,
        };
    }

    private static ContentProperties Describe(QueueRecord record)
    {
        var headers = record.Headers.Where(static header => header.Key.Length <= 255
            // They would be routing keys, if the message became a dead letter.
            && !header.Key.Span.SequenceEqual("CC"u8) && !header.Key.Span.SequenceEqual("BCC"u8)).Select(static header =>
            (Encoding.UTF8.GetString(header.Key.Span), ValueOf(header.Value))).ToArray();
        var properties = headers.Length > 0 ? ContentProperties.None.With(FieldTable.Of(headers)) : ContentProperties.None;
        Span<byte> seconds = stackalloc byte[sizeof(long)];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(seconds, Math.Max(record.Timestamp, 0) / 1000);
        return properties.With(BasicProperty.DeliveryMode, [2]).With(BasicProperty.Timestamp, seconds);
    }

    private static FieldValue ValueOf(ReadOnlyMemory<byte>? value) => value is not { } bytes ? FieldValue.Void
        : System.Text.Unicode.Utf8.IsValid(bytes.Span) ? FieldValue.Of(Encoding.UTF8.GetString(bytes.Span)) : FieldValue.OfBytes(
            bytes.Span);

    // Another producer may have written the header.
    private static bool IsWellFormed(ReadOnlySpan<byte> properties)
    {
        try
        {
            ContentProperties.Check(properties);
            return true;
        }
        catch (AmqpException)
        {
            return false;
        }
    }

    private static string ShortText(ReadOnlyMemory<byte>? value, string otherwise) =>
        value is { Length: <= FieldWriter.MaxShortStringBytes } bytes && System.Text.Unicode.Utf8.IsValid(bytes.Span)
            ? Encoding.UTF8.GetString(bytes.Span) : otherwise;

    private static byte[]? TextOf(FieldValue value) => value.Bytes is { } bytes ? bytes.ToArray()
        : value.Boolean is { } truth ? truth ? "true"u8.ToArray() : "false"u8.ToArray()
        : (value.Integer ?? value.Timestamp)?.ToString(CultureInfo.InvariantCulture) is { } integer ? Encoding.UTF8.GetBytes(integer)
        : value.Number is { } number ? Encoding.UTF8.GetBytes(number.ToString("R", CultureInfo.InvariantCulture)) : null;

    private static RecordHeader Header(byte[] name, string value) => new(name, Encoding.UTF8.GetBytes(value));
}
