using System.Buffers.Binary;
using System.Text;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// What frames between brokers consist of. Lengths are 32 bits and numbers 64, big-endian; texts are UTF-8.
/// <code>
/// message  length and routing key, length and properties, length and body, time published
/// </code>
/// </summary>
internal static class MessageFields
{
    /// <summary>Writes a message, without its exchange.</summary>
    public static void WriteMessage(MemoryStream frame, AmqpMessage message)
    {
        WriteText(frame, message.RoutingKey);
        WriteBytes(frame, message.Properties.Bytes.Span);
        WriteBytes(frame, message.Body.Span);
        WriteNumber(frame, message.Published);
    }

    /// <summary>Reads a message, in the memory of the frame.</summary>
    /// <param name="rest">The frame from here on; afterwards, what follows the message.</param>
    /// <param name="exchange">The message's exchange.</param>
    public static AmqpMessage ReadMessage(ref ReadOnlyMemory<byte> rest, string exchange = "")
    {
        var key = ReadText(ref rest);
        var properties = new ContentProperties(ReadBytes(ref rest));
        var body = ReadBytes(ref rest);
        return new AmqpMessage(exchange, key, properties, body, ReadNumber(ref rest));
    }

    /// <summary>Returns a message in memory of its own: that of its frame does not stay for one of its messages.</summary>
    /// <param name="message">The message, in the memory of its frame.</param>
    /// <param name="published">When it came, in milliseconds since 1970.</param>
    /// <param name="isDeadLetter">Whether it is a dead letter.</param>
    public static AmqpMessage Own(AmqpMessage message, long published, bool isDeadLetter)
    {
        var (properties, body) = (message.Properties.Bytes, message.Body);
        var bytes = new byte[properties.Length + body.Length];
        properties.CopyTo(bytes);
        body.CopyTo(bytes.AsMemory(properties.Length));
        return message with
        {
            Properties = new ContentProperties(bytes.AsMemory(0, properties.Length)),
            Body = bytes.AsMemory(properties.Length),
            Published = published,
            IsDeadLetter = isDeadLetter,
        };
    }

    /// <summary>Writes a text with its length.</summary>
    public static void WriteText(MemoryStream frame, string text) => WriteBytes(frame, Encoding.UTF8.GetBytes(text));

    /// <summary>Reads a text.</summary>
    /// <param name="rest">The frame from here on; afterwards, what follows.</param>
    public static string ReadText(ref ReadOnlyMemory<byte> rest) => Encoding.UTF8.GetString(ReadBytes(ref rest).Span);

    /// <summary>Writes bytes with their length.</summary>
    public static void WriteBytes(MemoryStream frame, ReadOnlySpan<byte> bytes)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(length, bytes.Length);
        frame.Write(length);
        frame.Write(bytes);
    }

    /// <summary>Reads bytes, in the memory of the frame.</summary>
    /// <param name="rest">The frame from here on; afterwards, what follows.</param>
    public static ReadOnlyMemory<byte> ReadBytes(ref ReadOnlyMemory<byte> rest)
    {
        var length = BinaryPrimitives.ReadInt32BigEndian(rest.Span);
        var bytes = rest.Slice(sizeof(int), length);
        rest = rest[(sizeof(int) + length)..];
        return bytes;
    }

    /// <summary>Writes a number.</summary>
    public static void WriteNumber(MemoryStream frame, long number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(bytes, number);
        frame.Write(bytes);
    }

    /// <summary>Reads a number.</summary>
    /// <param name="rest">The frame from here on; afterwards, what follows.</param>
    public static long ReadNumber(ref ReadOnlyMemory<byte> rest)
    {
        var number = BinaryPrimitives.ReadInt64BigEndian(rest.Span);
        rest = rest[sizeof(long)..];
        return number;
    }
}
