using System.Buffers.Binary;
using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>Writes the arguments of a method. Bits that follow each other share octets.</summary>
/// <param name="output">Where they are appended.</param>
internal ref struct FieldWriter(PooledBuffer output)
{
    /// <summary>The most bytes of a short string.</summary>
    public const int MaxShortStringBytes = 255;

    // Bits written into the last octet; 0: the next bit begins an octet.
    private int _bitCount;

    public void WriteBit(bool value)
    {
        if (_bitCount is 0 or 8)
        {
            WriteOctet(0);
            _bitCount = 0;
        }
        if (value)
            output.WrittenSpan[^1] |= (byte)(1 << _bitCount);
        _bitCount++;
    }

    public void WriteOctet(byte value) => Next(1)[0] = value;

    public void WriteUInt16(ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Next(2), value);

    public void WriteUInt32(uint value) => BinaryPrimitives.WriteUInt32BigEndian(Next(4), value);

    public void WriteUInt64(ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Next(8), value);

    /// <summary>Writes a string of at most <see cref="MaxShortStringBytes"/> bytes of UTF-8; null as an empty one.</summary>
    /// <exception cref="ArgumentException">It is longer.</exception>
    public void WriteShortString(string? value)
    {
        _bitCount = 0;
        var room = output.GetSpan(1 + MaxShortStringBytes);
        if (!Encoding.UTF8.TryGetBytes(value, room.Slice(1, MaxShortStringBytes), out var length))
            throw new ArgumentException($"A short string has at most {MaxShortStringBytes} bytes: {value}", nameof(value));
        room[0] = (byte)length;
        output.Advance(1 + length);
    }

    public void WriteLongString(LongString value) => WriteLong(value.Bytes.Span);

    public void WriteTable(FieldTable value) => WriteLong(value.Bytes.Span);

    private void WriteLong(ReadOnlySpan<byte> bytes)
    {
        WriteUInt32((uint)bytes.Length);
        output.Write(bytes);
    }

    private Span<byte> Next(int count)
    {
        _bitCount = 0;
        output.GetSpan(count);
        output.Advance(count);
        return output.WrittenSpan[^count..];
    }
}
