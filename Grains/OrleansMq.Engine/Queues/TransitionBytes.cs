using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Queues;

/// <summary>Writes the fields of transitions: numbers as varlongs, ranges as distances.</summary>
internal sealed class TransitionWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    public void Byte(int value)
    {
        _bytes.GetSpan(1)[0] = (byte)value;
        _bytes.Advance(1);
    }

    public void Int16(short value)
    {
        BinaryPrimitives.WriteInt16BigEndian(_bytes.GetSpan(2), value);
        _bytes.Advance(2);
    }

    public void Int32(int value)
    {
        BinaryPrimitives.WriteInt32BigEndian(_bytes.GetSpan(4), value);
        _bytes.Advance(4);
    }

    public void Number(long value) => _bytes.Advance(VarInt.Write(_bytes.GetSpan(VarInt.MaxLongSize), value));

    public void Hash(UInt128 value)
    {
        BinaryPrimitives.WriteUInt128BigEndian(_bytes.GetSpan(16), value);
        _bytes.Advance(16);
    }

    public void Id(Guid value)
    {
        value.TryWriteBytes(_bytes.GetSpan(16), bigEndian: true, out _);
        _bytes.Advance(16);
    }

    public void Bytes(ReadOnlySpan<byte> value)
    {
        Number(value.Length);
        _bytes.Write(value);
    }

    public void Text(string value) => Bytes(Encoding.UTF8.GetBytes(value));

    public void Counts(DeliveryCounts counts)
    {
        Number(counts.Deliveries);
        Number(counts.Failures);
    }

    /// <summary>Writes ranges in order: their number, then the distance from the range before, and the length, of each.</summary>
    public void Ranges(IReadOnlyCollection<OffsetRange> ranges)
    {
        Number(ranges.Count);
        var end = 0L;
        foreach (var range in ranges)
        {
            Number(range.First - end);
            Number(range.Last - range.First);
            end = range.Last + 1;
        }
    }
}

/// <summary>Reads what <see cref="TransitionWriter"/> wrote. Every method throws <see cref="InvalidDataException"/> where the bytes end too
/// early or make no sense.</summary>
internal ref struct TransitionReader(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _position;

    public readonly bool IsAtEnd => _position == _bytes.Length;

    public int Byte() => Next(1)[0];

    public short Int16() => BinaryPrimitives.ReadInt16BigEndian(Next(2));

    public int Int32() => BinaryPrimitives.ReadInt32BigEndian(Next(4));

    public long Number() => VarInt.TryRead(_bytes, ref _position, out long value) ? value : throw Malformed();

    public int SmallNumber() => Number() is >= int.MinValue and <= int.MaxValue and var value ? (int)value : throw Malformed();

    public UInt128 Hash() => BinaryPrimitives.ReadUInt128BigEndian(Next(16));

    public Guid Id() => new(Next(16), bigEndian: true);

    public ReadOnlySpan<byte> Bytes() => Next(Length(1));

    public string Text() => Encoding.UTF8.GetString(Bytes());

    public DeliveryCounts Counts() => new(SmallNumber(), SmallNumber());

    /// <exception cref="UnknownTransitionException">A later version has further causes.</exception>
    public SettlementCause Cause() => Cause(0, out _);

    /// <summary>Reads a cause, and which of these flags are set beside it.</summary>
    /// <exception cref="UnknownTransitionException">A later version has further causes.</exception>
    public SettlementCause Cause(int known, out int flags)
    {
        var cause = Byte();
        flags = cause & known;
        return CauseOf(cause & ~known);
    }

    private static SettlementCause CauseOf(int cause) => cause is not (> 0 and var value) ? throw Malformed()
        : Enum.IsDefined((SettlementCause)value) ? (SettlementCause)value
        : throw new UnknownTransitionException($"A transition of cursors settles for the cause {value}, which this broker does not know.");

    /// <summary>Reads the number of items that take at least so many bytes each.</summary>
    public int Length(int itemBytes) =>
        Number() is >= 0 and var value && value <= (_bytes.Length - _position) / itemBytes ? (int)value : throw Malformed();

    public List<OffsetRange> Ranges()
    {
        var ranges = new List<OffsetRange>(Length(2));
        var end = 0L;
        for (var left = ranges.Capacity; left > 0; left--)
        {
            var (distance, more) = (Number(), Number());
            if (distance < 0 || more < 0 || end > long.MaxValue - distance - 1 || end + distance > long.MaxValue - more - 1)
                throw Malformed();
            ranges.Add(new OffsetRange(end + distance, end + distance + more));
            end += distance + more + 1;
        }
        return ranges;
    }

    private ReadOnlySpan<byte> Next(int size)
    {
        if (size > _bytes.Length - _position)
            throw Malformed();
        var next = _bytes.Slice(_position, size);
        _position += size;
        return next;
    }

    private static InvalidDataException Malformed() => new("The bytes of a control record end too early or make no sense.");
}
