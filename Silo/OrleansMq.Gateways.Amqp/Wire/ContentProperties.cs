using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>The properties of a message, each with its bit in the flags.</summary>
internal enum BasicProperty
{
    ContentType = 15,
    ContentEncoding = 14,
    Headers = 13,
    DeliveryMode = 12,
    Priority = 11,
    CorrelationId = 10,
    ReplyTo = 9,
    Expiration = 8,
    MessageId = 7,
    Timestamp = 6,
    Type = 5,
    UserId = 4,
    AppId = 3,
    ClusterId = 2,
}

/// <summary>
/// The properties of a message as the client sent them; they are delivered with the same bytes, and read when they are asked for.
/// <code>
/// uint16 flags (bit 15 = content-type ... bit 2 = cluster-id, bit 0 = a further word follows, which no client sends)
/// the values of the set bits, from bit 15 down
/// </code>
/// Equal if the bytes are.
/// </summary>
/// <param name="Bytes">Flags and values; empty is the same as no property.</param>
internal readonly record struct ContentProperties(ReadOnlyMemory<byte> Bytes)
{
    private const int FlagBytes = sizeof(ushort);
    private const int LastBit = (int)BasicProperty.ClusterId;

    private static readonly byte[] NoneBytes = new byte[FlagBytes];

    /// <summary>No property.</summary>
    public static ContentProperties None { get; } = new(NoneBytes);

    /// <summary>The type of the content; null if it is not given.</summary>
    public string? ContentType => Text(BasicProperty.ContentType);

    /// <summary>The encoding of the content; null if it is not given.</summary>
    public string? ContentEncoding => Text(BasicProperty.ContentEncoding);

    /// <summary>The headers; null if they are not given.</summary>
    public FieldTable? Headers => Find(BasicProperty.Headers) is { } encoded ? new FieldTable(encoded[sizeof(uint)..]) : null;

    /// <summary>1 transient, 2 persistent; null if it is not given.</summary>
    public byte? DeliveryMode => Find(BasicProperty.DeliveryMode)?.Span[0];

    /// <summary>The priority; null if it is not given.</summary>
    public byte? Priority => Find(BasicProperty.Priority)?.Span[0];

    /// <summary>The correlation id; null if it is not given.</summary>
    public string? CorrelationId => Text(BasicProperty.CorrelationId);

    /// <summary>Where the answer goes; null if it is not given.</summary>
    public string? ReplyTo => Text(BasicProperty.ReplyTo);

    /// <summary>The time to live in milliseconds, in decimal; null if it is not given.</summary>
    public string? Expiration => Text(BasicProperty.Expiration);

    /// <summary>The message's id; null if it is not given.</summary>
    public string? MessageId => Text(BasicProperty.MessageId);

    /// <summary>Seconds since 1970; null if it is not given.</summary>
    public long? Timestamp => Find(BasicProperty.Timestamp) is { } encoded ? BinaryPrimitives.ReadInt64BigEndian(encoded.Span) : null;

    /// <summary>The message's type; null if it is not given.</summary>
    public string? Type => Text(BasicProperty.Type);

    /// <summary>The publisher; null if it is not given.</summary>
    public string? UserId => Text(BasicProperty.UserId);

    /// <summary>The publishing application; null if it is not given.</summary>
    public string? AppId => Text(BasicProperty.AppId);

    /// <summary>The cluster; null if it is not given.</summary>
    public string? ClusterId => Text(BasicProperty.ClusterId);

    private ushort Flags => Bytes.Length < FlagBytes ? (ushort)0 : BinaryPrimitives.ReadUInt16BigEndian(Bytes.Span);

    /// <summary>Checks properties that a client sent, without memory.</summary>
    /// <exception cref="AmqpException">They are malformed.</exception>
    public static void Check(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < FlagBytes)
            throw Malformed("the flags are missing");
        var flags = BinaryPrimitives.ReadUInt16BigEndian(bytes);
        if ((flags & 1) != 0)
            throw Malformed("the flags have more than one word");
        var position = FlagBytes;
        for (var bit = (int)BasicProperty.ContentType; bit >= LastBit; bit--)
        {
            if ((flags & (1 << bit)) == 0)
                continue;
            var property = (BasicProperty)bit;
            var rest = bytes[position..];
            var isThere = HeadOf(property) <= rest.Length;
            var size = isThere ? SizeOf(property, rest) : 0;
            if (!isThere || size > rest.Length)
                throw Malformed($"they end within '{property}'");
            if (property == BasicProperty.Headers && FieldForm.FaultOfTable(rest[sizeof(uint)..(int)size]) is { } fault)
                throw Malformed(fault);
            position += (int)size;
        }
        if (position != bytes.Length)
            throw Malformed($"{bytes.Length - position} bytes follow the last one");
    }

    /// <summary>The bytes of a property's value; null if it is not given.</summary>
    public ReadOnlyMemory<byte>? Find(BasicProperty property)
    {
        if ((Flags & (1 << (int)property)) == 0)
            return null;
        var position = PositionOf(property);
        return Bytes.Slice(position, (int)SizeOf(property, Bytes.Span[position..]));
    }

    /// <summary>These properties with one set to a value, as its bytes. All other bytes stay.</summary>
    public ContentProperties With(BasicProperty property, ReadOnlySpan<byte> encoded) => Replace(property, encoded, isSet: true);

    /// <summary>These properties with one set to a text of at most 255 bytes. All other bytes stay.</summary>
    public ContentProperties With(BasicProperty property, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        return With(property, [checked((byte)bytes.Length), .. bytes]);
    }

    /// <summary>These properties with these headers. All other bytes stay.</summary>
    public ContentProperties With(FieldTable headers)
    {
        var encoded = new byte[sizeof(uint) + headers.Bytes.Length];
        BinaryPrimitives.WriteInt32BigEndian(encoded, headers.Bytes.Length);
        headers.Bytes.Span.CopyTo(encoded.AsSpan(sizeof(uint)));
        return With(BasicProperty.Headers, encoded);
    }

    /// <summary>These properties with a header, in place of the one of that name, if there is one. All other bytes stay.</summary>
    public ContentProperties WithHeader(string name, FieldValue value) => With((Headers ?? default).With(name, value));

    /// <summary>These properties without one. All other bytes stay.</summary>
    public ContentProperties Without(BasicProperty property) => Replace(property, default, isSet: false);

    /// <inheritdoc/>
    public bool Equals(ContentProperties other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    private ContentProperties Replace(BasicProperty property, ReadOnlySpan<byte> encoded, bool isSet)
    {
        var before = Bytes.Length < FlagBytes ? NoneBytes : Bytes.Span;
        var position = PositionOf(property);
        var replaced = Find(property)?.Length ?? 0;
        var bytes = new byte[before.Length - replaced + encoded.Length];
        before[..position].CopyTo(bytes);
        encoded.CopyTo(bytes.AsSpan(position));
        before[(position + replaced)..].CopyTo(bytes.AsSpan(position + encoded.Length));
        var flag = 1 << (int)property;
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)(isSet ? Flags | flag : Flags & ~flag));
        return new ContentProperties(bytes);
    }

    // Where the property is, or would be.
    private int PositionOf(BasicProperty property)
    {
        var position = FlagBytes;
        for (var earlier = Flags & ~((2 << (int)property) - 1); earlier != 0; earlier &= ~(1 << BitOperations.Log2((uint)earlier)))
            position += (int)SizeOf((BasicProperty)BitOperations.Log2((uint)earlier), Bytes.Span[position..]);
        return position;
    }

    private string? Text(BasicProperty property) => Find(property) is { } encoded ? Encoding.UTF8.GetString(encoded.Span[1..]) : null;

    // The bytes that determine a value's size.
    private static int HeadOf(BasicProperty property) => property switch
    {
        BasicProperty.Headers => sizeof(uint),
        _ => 1,
    };

    private static long SizeOf(BasicProperty property, ReadOnlySpan<byte> value) => property switch
    {
        BasicProperty.Headers => sizeof(uint) + (long)BinaryPrimitives.ReadUInt32BigEndian(value),
        BasicProperty.DeliveryMode or BasicProperty.Priority => 1,
        BasicProperty.Timestamp => 8,
        _ => 1 + value[0],
    };

    private static AmqpException Malformed(string fault) =>
        new(ReplyCode.SyntaxError, $"malformed content properties: {fault}", BasicPublish.Id);
}
