using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using EngineTable = OrleansMq.VirtualHosts.FieldTable;
using EngineValue = OrleansMq.VirtualHosts.FieldValue;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>The properties and the body of a message in RabbitMQ's JSON.</summary>
internal static class MessageJson
{
    // What a message takes besides its properties and its body: objects, and the names of its fields in the answer.
    private const int MessageBytes = 1_024;
    // Bytes, a table, texts of two bytes a character, and their JSON, where a control character has six.
    private const int PropertyForms = 32;
    // The writer takes six times as many for characters that it escapes.
    private const int SegmentBytes = 8_192;

    private static readonly (string Name, BasicProperty Property)[] Properties =
    [
        ("content_type", BasicProperty.ContentType),
        ("content_encoding", BasicProperty.ContentEncoding),
        ("headers", BasicProperty.Headers),
        ("delivery_mode", BasicProperty.DeliveryMode),
        ("priority", BasicProperty.Priority),
        ("correlation_id", BasicProperty.CorrelationId),
        ("reply_to", BasicProperty.ReplyTo),
        ("expiration", BasicProperty.Expiration),
        ("message_id", BasicProperty.MessageId),
        ("timestamp", BasicProperty.Timestamp),
        ("type", BasicProperty.Type),
        ("user_id", BasicProperty.UserId),
        ("app_id", BasicProperty.AppId),
        ("cluster_id", BasicProperty.ClusterId),
    ];

    /// <summary>Reads properties.</summary>
    /// <exception cref="ManagementException">One is unknown, or has no such value.</exception>
    public static ContentProperties ReadProperties(EngineTable json)
    {
        var properties = ContentProperties.None;
        foreach (var (name, value) in json.Fields)
        {
            var property = Array.Find(Properties, one => one.Name == name).Property;
            properties = (property, value) switch
            {
                (0, _) => throw Wrong(name, $"is no property; there are {string.Join(", ", Properties.Select(static one => one.Name))}"),
                (BasicProperty.Headers, TableValue headers) => properties.With(ToWire(headers.Table)),
                (BasicProperty.DeliveryMode or BasicProperty.Priority, IntegerValue { Value: >= 0 and <= byte.MaxValue } number) =>
                    properties.With(property, [(byte)number.Value]),
                (BasicProperty.Timestamp, IntegerValue seconds) => properties.With(property, BytesOf(seconds.Value)),
                (BasicProperty.Headers, _) => throw Wrong(name, "must be an object"),
                (BasicProperty.DeliveryMode or BasicProperty.Priority, _) => throw Wrong(name, "must be a number from 0 to 255"),
                (BasicProperty.Timestamp, _) => throw Wrong(name, "must be a number of seconds since 1970"),
                (_, TextValue text) => properties.With(property, ShortText($"properties.{name}", text.Value)),
                _ => throw Wrong(name, "must be a text"),
            };
        }
        return properties;
    }

    /// <summary>Returns a text that a short string of the protocol takes.</summary>
    /// <exception cref="ManagementException">It is longer.</exception>
    public static string ShortText(string field, string text) => Encoding.UTF8.GetByteCount(text) <= FieldWriter.MaxShortStringBytes ? text
        : throw ManagementException.Bad($"body.{field} must have at most {FieldWriter.MaxShortStringBytes} bytes");

    /// <summary>Writes properties.</summary>
    public static void WriteProperties(Utf8JsonWriter writer, ContentProperties properties)
    {
        writer.WriteStartObject("properties");
        foreach (var (name, property) in Properties)
        {
            if (properties.Find(property) is not { } encoded)
                continue;
            writer.WritePropertyName(name);
            if (property == BasicProperty.Headers)
                FieldJson.WriteTable(writer, Publication.ToEngine(properties.Headers!.Value), isMarked: false);
            else if (property is BasicProperty.DeliveryMode or BasicProperty.Priority)
                writer.WriteNumberValue(encoded.Span[0]);
            else if (property == BasicProperty.Timestamp)
                writer.WriteNumberValue(properties.Timestamp!.Value);
            else
                writer.WriteStringValue(Encoding.UTF8.GetString(encoded.Span[1..]));
        }
        writer.WriteEndObject();
    }

    /// <summary>Returns the bytes of memory that a message in an answer costs: its objects, its body, and its properties in all their
    /// forms. The body's JSON is sent in segments.</summary>
    public static long CostOf(ContentProperties properties, ReadOnlyMemory<byte> body) =>
        MessageBytes + ((long)PropertyForms * properties.Bytes.Length) + body.Length;

    /// <summary>Writes a body, and sends it in segments: as text where it is one and the reader takes texts, else as base64.</summary>
    /// <param name="writer">Writes the JSON.</param>
    /// <param name="output">What the writer writes to.</param>
    /// <param name="body">The body.</param>
    /// <param name="takesText">Whether the reader takes texts.</param>
    /// <param name="cancellationToken">Cancelled when the reader has gone.</param>
    public static async ValueTask WriteBodyAsync(Utf8JsonWriter writer, PipeWriter output, ReadOnlyMemory<byte> body, bool takesText,
        CancellationToken cancellationToken)
    {
        var isText = takesText && Utf8.IsValid(body.Span);
        writer.WritePropertyName("payload");
        for (var place = 0; place == 0 || place < body.Length; place += SegmentBytes)
        {
            var segment = body.Slice(place, Math.Min(SegmentBytes, body.Length - place));
            var isLast = place + segment.Length == body.Length;
            if (isText)
                writer.WriteStringValueSegment(segment.Span, isLast);
            else
                writer.WriteBase64StringSegment(segment.Span, isLast);
            writer.Flush();
            await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
        writer.WriteString("payload_encoding", isText ? "string" : "base64");
    }

    private static FieldTable ToWire(EngineTable table)
    {
        foreach (var name in table.Fields.Keys)
            ShortText($"properties.headers, a name '{name[..Math.Min(name.Length, 20)]}'", name);
        return FieldTable.Of([.. table.Fields.Select(static field => (field.Key, ToWire(field.Value)))]);
    }

    private static FieldValue ToWire(EngineValue value) => value switch
    {
        BooleanValue boolean => FieldValue.Of(boolean.Value),
        IntegerValue integer => FieldValue.Of(integer.Value),
        FloatingValue floating => FieldValue.Of(floating.Value),
        TextValue text => FieldValue.Of(text.Value),
        ArrayValue array => FieldValue.OfArray([.. array.Items.Select(ToWire)]),
        TableValue table => FieldValue.Of(ToWire(table.Table)),
        _ => FieldValue.Void,
    };

    private static byte[] BytesOf(long value)
    {
        var bytes = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return bytes;
    }

    private static ManagementException Wrong(string name, string what) => ManagementException.Bad($"body.properties.{name} {what}");
}
