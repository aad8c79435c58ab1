using OrleansMq.Records;

namespace OrleansMq.Filters;

/// <summary>Iterates over the headers of a record without copying them.</summary>
internal ref struct HeaderReader(ReadOnlySpan<byte> bytes, int count)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _left = count;
    private int _position;
    private int _nameStart;
    private int _nameLength;
    private int _valueStart;
    private int _valueLength;

    /// <summary>The header's name, as UTF-8.</summary>
    public readonly ReadOnlySpan<byte> Name => _bytes.Slice(_nameStart, _nameLength);

    /// <summary>The value; empty if it is null.</summary>
    public readonly ReadOnlySpan<byte> Value => _bytes.Slice(ValueStart, Math.Max(ValueLength, 0));

    /// <summary>Whether the value is null.</summary>
    public readonly bool IsNull => ValueLength < 0;

    /// <summary>Where the value begins in the headers' bytes.</summary>
    public readonly int ValueStart => _valueStart;

    /// <summary>The value's bytes; below 0 for null.</summary>
    public readonly int ValueLength => _valueLength;

    /// <summary>Moves to the next header.</summary>
    /// <exception cref="RecordBatchException">The bytes are malformed.</exception>
    public bool MoveNext()
    {
        if (_left <= 0)
            return false;
        _left--;
        var fault = RecordLayout.TryReadBytes(_bytes, ref _position, nullable: false, out _nameStart, out _nameLength)
            ?? RecordLayout.TryReadBytes(_bytes, ref _position, nullable: true, out _valueStart, out _valueLength);
        if (fault is not null)
            throw new RecordBatchException(RecordBatchError.BadRecord, "Header " + fault);
        return true;
    }
}
