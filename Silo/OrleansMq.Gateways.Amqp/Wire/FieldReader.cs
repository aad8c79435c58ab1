using System.Buffers.Binary;
using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>
/// Reads the arguments of a method. Bits that follow each other share octets, from the lowest bit on (section 4.2.5.2 of the
/// specification). What is returned does not refer to the frame. A string or a table takes no more memory than its bytes.
/// </summary>
/// <param name="bytes">The arguments.</param>
/// <param name="method">The method, for errors.</param>
/// <param name="names">Where short strings are kept; null: each is decoded.</param>
internal ref struct FieldReader(ReadOnlySpan<byte> bytes, MethodId method, NamePool? names = null)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _position;
    // The bits of the octet that are not read yet, above a marker bit; 0 or 1: none.
    private int _bits;

    /// <summary>Reads a bit.</summary>
    public bool ReadBit()
    {
        if (_bits <= 1)
            _bits = TakeRaw(1)[0] | 0x100;
        var isSet = (_bits & 1) != 0;
        _bits >>= 1;
        return isSet;
    }

    public byte ReadOctet() => Take(1)[0];

    public ushort ReadUInt16() => BinaryPrimitives.ReadUInt16BigEndian(Take(2));

    public uint ReadUInt32() => BinaryPrimitives.ReadUInt32BigEndian(Take(4));

    public ulong ReadUInt64() => BinaryPrimitives.ReadUInt64BigEndian(Take(8));

    /// <summary>Reads a string of at most 255 bytes of UTF-8.</summary>
    public string ReadShortString()
    {
        var text = Take(ReadOctet());
        try
        {
            return names is null ? NamePool.StrictUtf8.GetString(text) : names.Get(text);
        }
        catch (DecoderFallbackException)
        {
            throw Malformed("a short string is not UTF-8");
        }
    }

    /// <summary>Reads past a short string.</summary>
    public void SkipShortString() => Take(ReadOctet());

    /// <summary>Reads bytes.</summary>
    public LongString ReadLongString() => new(TakeLong().ToArray());

    /// <summary>Reads past bytes.</summary>
    public void SkipLongString() => TakeLong();

    /// <summary>Reads a table, whose form is checked.</summary>
    public FieldTable ReadTable()
    {
        var table = TakeLong();
        if (FieldForm.FaultOfTable(table) is { } fault)
            throw Malformed(fault);
        return table.IsEmpty ? default : new FieldTable(table.ToArray());
    }

    /// <summary>Checks that nothing is left.</summary>
    public readonly void ExpectEnd()
    {
        if (_position != _bytes.Length)
            throw Malformed($"{_bytes.Length - _position} bytes follow the last argument");
    }

    private ReadOnlySpan<byte> TakeLong()
    {
        var length = ReadUInt32();
        return length <= int.MaxValue ? Take((int)length) : throw Malformed("it ends within an argument");
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        _bits = 0;
        return TakeRaw(count);
    }

    private ReadOnlySpan<byte> TakeRaw(int count)
    {
        if (count > _bytes.Length - _position)
            throw Malformed("it ends within an argument");
        var taken = _bytes.Slice(_position, count);
        _position += count;
        return taken;
    }

    private readonly AmqpException Malformed(string fault) =>
        new(ReplyCode.SyntaxError, $"malformed arguments of '{method}': {fault}", method);
}
