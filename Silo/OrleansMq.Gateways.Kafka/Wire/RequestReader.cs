using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Gateways.Kafka.Wire;

/// <summary>
/// Reads the fields of one request. The first malformed field sets <see cref="Fault"/>; from then on everything reads as zero, empty or
/// null, and arrays have no elements. So a decoder needs no checks of its own and ends soon. Lengths never make it allocate more than the
/// frame could hold, and never more than <see cref="MaxElements"/> and <see cref="MaxTextBytes"/> take.
/// <para>In flexible versions lengths are unsigned varints plus one (0 is null), and structures end with tagged fields (KIP-482). In others
/// strings have an int16 length, and everything else has an int32 length (-1 is null).</para>
/// </summary>
internal ref struct RequestReader
{
    /// <summary>The most elements of all arrays of a request. An element of a few bytes becomes objects of a hundred. More than the largest
    /// clients ask for: a cluster has fewer partitions.</summary>
    public const int MaxElements = 250_000;

    /// <summary>The most bytes of a string, as Kafka has it.</summary>
    public const int MaxStringBytes = short.MaxValue;

    /// <summary>The most bytes of all strings of a request: 16 MiB, as much as a request without records may have.</summary>
    public const int MaxTextBytes = 16 << 20;

    private readonly Memory<byte> _frame;
    private readonly ReadOnlySpan<byte> _bytes;
    private int _position;
    private int _elements;
    private int _textBytes;

    public RequestReader(Memory<byte> frame, int position = 0)
    {
        _frame = frame;
        _bytes = frame.Span;
        _position = position;
    }

    /// <summary>Whether the version is flexible.</summary>
    public bool IsFlexible { get; set; }

    /// <summary>What is malformed, and where; null if nothing is.</summary>
    public string? Fault { get; private set; }

    /// <summary>The number of unread bytes.</summary>
    public readonly int Remaining => _bytes.Length - _position;

    /// <summary>The position of the next byte.</summary>
    public readonly int Position => _position;

    public sbyte ReadInt8() => Take(1, out var at) ? (sbyte)_bytes[at] : (sbyte)0;

    public bool ReadBool() => ReadInt8() != 0;

    public short ReadInt16() => Take(2, out var at) ? BinaryPrimitives.ReadInt16BigEndian(_bytes[at..]) : (short)0;

    public int ReadInt32() => Take(4, out var at) ? BinaryPrimitives.ReadInt32BigEndian(_bytes[at..]) : 0;

    public long ReadInt64() => Take(8, out var at) ? BinaryPrimitives.ReadInt64BigEndian(_bytes[at..]) : 0;

    public double ReadDouble() => Take(8, out var at) ? BinaryPrimitives.ReadDoubleBigEndian(_bytes[at..]) : 0;

    public Guid ReadUuid() => Take(16, out var at) ? new Guid(_bytes.Slice(at, 16), bigEndian: true) : Guid.Empty;

    /// <summary>Reads a string that must not be null.</summary>
    public string ReadString() => ReadNullableString() ?? Fail("a string that may not be null is null", "");

    public string? ReadNullableString()
    {
        var length = IsFlexible ? ReadCompactLength() : ReadInt16();
        return ReadText(length);
    }

    /// <summary>Reads a string with an int16 length in every version: the header's client id.</summary>
    public string? ReadNullableInt16String() => ReadText(ReadInt16());

    /// <summary>Reads bytes that must not be null, as a slice of the frame, valid as long as that is.</summary>
    public Memory<byte> ReadBytes() => ReadNullableBytes() ?? Fail<Memory<byte>>("bytes that may not be null are null", default);

    /// <summary>Reads bytes as a slice of the frame, valid as long as that is.</summary>
    public Memory<byte>? ReadNullableBytes()
    {
        var length = IsFlexible ? ReadCompactLength() : ReadInt32();
        if (length < 0)
            return length == -1 ? null : Fail<Memory<byte>?>("the length of bytes is negative", null);
        return Take(length, out var at) ? _frame.Slice(at, length) : null;
    }

    /// <summary>Reads the number of elements that follow; 0 for an empty array and for null.</summary>
    /// <param name="elementBytes">The minimum size of an element.</param>
    public int ReadArrayLength(int elementBytes = 1) => Math.Max(ReadNullableArrayLength(elementBytes), 0);

    /// <summary>Reads the number of elements that follow; -1 for null.</summary>
    /// <param name="elementBytes">The minimum size of an element.</param>
    public int ReadNullableArrayLength(int elementBytes = 1)
    {
        var count = IsFlexible ? ReadCompactLength() : ReadInt32();
        if (Fault is not null)
            return 0;
        if (count < -1)
            return Fail("the length of an array is negative", 0);
        if ((long)count * elementBytes > Remaining)
            return Fail("an array has more elements than the request has room for", 0);
        if (count > MaxElements - _elements)
            return Fail($"the arrays have more than {MaxElements} elements", 0);
        _elements += Math.Max(count, 0);
        return count;
    }

    public int[] ReadInt32Array()
    {
        var values = new int[ReadArrayLength(sizeof(int))];
        for (var index = 0; index < values.Length; index++)
            values[index] = ReadInt32();
        return values;
    }

    public string[] ReadStringArray() => ReadNullableStringArray() ?? [];

    public string[]? ReadNullableStringArray()
    {
        var count = ReadNullableArrayLength(IsFlexible ? 1 : 2);
        if (count < 0)
            return null;
        var values = new string[count];
        for (var index = 0; index < count; index++)
            values[index] = ReadString();
        return values;
    }

    /// <summary>Skips the tagged fields at the end of a structure.</summary>
    public void SkipTags()
    {
        if (!IsFlexible)
            return;
        for (var left = ReadUnsignedVarInt(); left > 0 && Fault is null; left--)
        {
            ReadUnsignedVarInt();
            Take((int)Math.Min(ReadUnsignedVarInt(), int.MaxValue), out _);
        }
    }

    /// <summary>Sets a fault that the decoder found.</summary>
    public T Fail<T>(string what, T value)
    {
        if (Fault is null)
        {
            Fault = $"{what} (byte {_position} of {_bytes.Length})";
            _position = _bytes.Length;
        }
        return value;
    }

    private string? ReadText(int length)
    {
        if (length < 0)
            return length == -1 ? null : Fail<string?>("the length of a string is negative", null);
        if (length > MaxStringBytes)
            return Fail($"a string has more than {MaxStringBytes} bytes", "");
        if (length > MaxTextBytes - _textBytes)
            return Fail($"the strings have more than {MaxTextBytes} bytes", "");
        _textBytes += length;
        if (!Take(length, out var at))
            return "";
        return length == 0 ? "" : Encoding.UTF8.GetString(_bytes.Slice(at, length));
    }

    // Length plus one; 0 is null.
    private int ReadCompactLength() => ReadUnsignedVarInt() is var value && value > int.MaxValue ? Fail("a length is above 2^31", 0)
        : (int)value - 1;

    private uint ReadUnsignedVarInt()
    {
        uint value = 0;
        for (var shift = 0; shift < 35; shift += 7)
        {
            if (!Take(1, out var at))
                return 0;
            var next = _bytes[at];
            value |= (uint)(next & 0x7F) << shift;
            if ((next & 0x80) == 0)
                return value;
        }
        return Fail("a variable-length number has more than five bytes", 0u);
    }

    private bool Take(int count, out int at)
    {
        at = _position;
        if (Fault is not null)
            return false;
        if (count > Remaining)
            return Fail("the request ends in the middle of a field", false);
        _position += count;
        return true;
    }
}
