using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>The types of field values as RabbitMQ and its clients have them, which differ from the specification's.</summary>
internal enum FieldType
{
    /// <summary>None.</summary>
    None = 0,
    Boolean = 't',
    Int8 = 'b',
    UInt8 = 'B',
    Int16 = 's',
    UInt16 = 'u',
    Int32 = 'I',
    UInt32 = 'i',
    Int64 = 'l',
    /// <summary>Signed, like <see cref="Int64"/>.</summary>
    LongLong = 'L',
    Single = 'f',
    Double = 'd',
    /// <summary>An octet with the digits after the point, and an int32.</summary>
    Decimal = 'D',
    LongString = 'S',
    Bytes = 'x',
    Array = 'A',
    Table = 'F',
    /// <summary>Seconds since 1970, 64 bits.</summary>
    Timestamp = 'T',
    Void = 'V',
}

/// <summary>A value of a table or an array, as its bytes. Equal if type and bytes are.</summary>
/// <param name="Type">The type.</param>
/// <param name="Encoded">The bytes after the type's octet.</param>
internal readonly record struct FieldValue(FieldType Type, ReadOnlyMemory<byte> Encoded)
{
    /// <summary>No value.</summary>
    public static FieldValue Void { get; } = new(FieldType.Void, default);

    public static FieldValue Of(bool value) => new(FieldType.Boolean, new[] { value ? (byte)1 : (byte)0 });

    public static FieldValue Of(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return new(FieldType.Int32, bytes);
    }

    public static FieldValue Of(long value) => Of(FieldType.Int64, value);

    public static FieldValue Of(double value) => Of(FieldType.Double, BitConverter.DoubleToInt64Bits(value));

    public static FieldValue Of(string value) => OfLong(FieldType.LongString, Encoding.UTF8.GetBytes(value));

    public static FieldValue Of(FieldTable value) => OfLong(FieldType.Table, value.Bytes.Span);

    public static FieldValue OfBytes(ReadOnlySpan<byte> value) => OfLong(FieldType.Bytes, value);

    public static FieldValue OfTimestamp(long seconds) => Of(FieldType.Timestamp, seconds);

    public static FieldValue OfArray(params ReadOnlySpan<FieldValue> values)
    {
        var bytes = new List<byte>();
        foreach (var value in values)
        {
            bytes.Add((byte)value.Type);
            bytes.AddRange(value.Encoded.Span);
        }
        return OfLong(FieldType.Array, bytes.ToArray());
    }

    /// <summary>The integer, whatever its size; null if it is none.</summary>
    public long? Integer => Type switch
    {
        FieldType.Int8 => (sbyte)Encoded.Span[0],
        FieldType.UInt8 => Encoded.Span[0],
        FieldType.Int16 => BinaryPrimitives.ReadInt16BigEndian(Encoded.Span),
        FieldType.UInt16 => BinaryPrimitives.ReadUInt16BigEndian(Encoded.Span),
        FieldType.Int32 => BinaryPrimitives.ReadInt32BigEndian(Encoded.Span),
        FieldType.UInt32 => BinaryPrimitives.ReadUInt32BigEndian(Encoded.Span),
        FieldType.Int64 or FieldType.LongLong => BinaryPrimitives.ReadInt64BigEndian(Encoded.Span),
        _ => null,
    };

    /// <summary>The truth value; null if it is none.</summary>
    public bool? Boolean => Type == FieldType.Boolean ? Encoded.Span[0] != 0 : null;

    /// <summary>The floating-point number, whatever its size; null if it is none.</summary>
    public double? Number => Type switch
    {
        FieldType.Single => BinaryPrimitives.ReadSingleBigEndian(Encoded.Span),
        FieldType.Double => BinaryPrimitives.ReadDoubleBigEndian(Encoded.Span),
        _ => null,
    };

    /// <summary>The decimal number; null if it is none.</summary>
    public (byte Digits, int Unscaled)? Decimal =>
        Type == FieldType.Decimal ? (Encoded.Span[0], BinaryPrimitives.ReadInt32BigEndian(Encoded.Span[1..])) : null;

    /// <summary>The time in seconds since 1970; null if it is none.</summary>
    public long? Timestamp => Type == FieldType.Timestamp ? BinaryPrimitives.ReadInt64BigEndian(Encoded.Span) : null;

    /// <summary>The text of a long string; null if it is none.</summary>
    public string? Text => Type == FieldType.LongString ? Encoding.UTF8.GetString(Encoded.Span[sizeof(uint)..]) : null;

    /// <summary>The bytes of a long string or of bytes; null if it is neither.</summary>
    // A plain null would be an empty memory.
    public ReadOnlyMemory<byte>? Bytes =>
        Type is FieldType.LongString or FieldType.Bytes ? Encoded[sizeof(uint)..] : default(ReadOnlyMemory<byte>?);

    /// <summary>The table; null if it is none.</summary>
    public FieldTable? Table => Type == FieldType.Table ? new FieldTable(Encoded[sizeof(uint)..]) : null;

    /// <summary>The values of an array; null if it is none.</summary>
    public IEnumerable<FieldValue>? Values => Type == FieldType.Array ? ValuesOf(Encoded[sizeof(uint)..]) : null;

    /// <inheritdoc/>
    public bool Equals(FieldValue other) => Type == other.Type && Encoded.Span.SequenceEqual(other.Encoded.Span);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(Type);
        hash.AddBytes(Encoded.Span);
        return hash.ToHashCode();
    }

    /// <summary>Reads the value at the beginning of well-formed bytes.</summary>
    /// <param name="bytes">Type, value, and what follows.</param>
    /// <param name="size">The size of type and value.</param>
    internal static FieldValue Read(ReadOnlyMemory<byte> bytes, out int size)
    {
        var type = (FieldType)bytes.Span[0];
        size = 1 + FieldForm.SizeOf(type, bytes.Span[1..]);
        return new FieldValue(type, bytes[1..size]);
    }

    private static IEnumerable<FieldValue> ValuesOf(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            yield return Read(bytes, out var size);
            bytes = bytes[size..];
        }
    }

    private static FieldValue Of(FieldType type, long value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return new(type, bytes);
    }

    private static FieldValue OfLong(FieldType type, ReadOnlySpan<byte> value)
    {
        var bytes = new byte[sizeof(uint) + value.Length];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value.Length);
        value.CopyTo(bytes.AsSpan(sizeof(uint)));
        return new(type, bytes);
    }
}
