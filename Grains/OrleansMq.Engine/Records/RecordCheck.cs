using System.Buffers;

namespace OrleansMq.Records;

/// <summary>
/// Checks the records of a compressed batch while a codec decompresses them: count, offset deltas, lengths, and no bytes left over. It
/// keeps only the bytes of the field that is being read, so a decompression bomb takes time, but no memory. Not thread-safe.
/// </summary>
/// <param name="header">The batch's header, which is valid.</param>
/// <param name="allowGaps">Whether offset deltas may have gaps; otherwise they run from 0 to the last.</param>
/// <param name="keyless">Receives the indexes of records without a key, unless null.</param>
/// <param name="allowance">Counts what is decompressed, unless null.</param>
internal sealed class RecordCheck(RecordBatchHeader header, bool allowGaps, List<int>? keyless, DecompressionAllowance? allowance)
    : IBufferWriter<byte>, IDisposable
{
    private enum Field
    {
        Length,
        TimestampDelta,
        OffsetDelta,
        Key,
        Value,
        HeaderCount,
        HeaderKey,
        HeaderValue,
    }

    // Bytes that were decompressed and not read yet: those from _start to _end.
    private byte[] _window = [];
    private int _start;
    private int _end;
    private Field _field = Field.Length;
    // Bytes of the current record that were not read or skipped yet.
    private int _left;
    private int _skip;
    private int _headers;
    private int _records;
    private int _previousDelta = -1;
    // Of LargeBatches.
    private bool _hasTurn;

    /// <summary>Takes the turn of large batches if the codec takes that much memory. To be called before it begins.</summary>
    /// <param name="bytes">The memory.</param>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>.</exception>
    public void Begin(long bytes)
    {
        if (bytes <= LargeBatches.MinBytes || _hasTurn)
            return;
        LargeBatches.Appends.Enter(header.Crc);
        _hasTurn = true;
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>.</exception>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        var unread = _end - _start;
        if (_start > 0)
            _window.AsSpan(_start, unread).CopyTo(_window);
        (_start, _end) = (0, unread);
        if (_window.Length - unread < Math.Max(sizeHint, 1))
        {
            var needed = unread + Math.Max(sizeHint, 1);
            // A codec that asks for so much decodes blocks that large.
            Begin(needed);
            var larger = PooledBuffer.Take(needed);
            _window.AsSpan(0, unread).CopyTo(larger);
            PooledBuffer.Return(_window);
            _window = larger;
        }
        return _window.AsMemory(unread);
    }

    /// <summary>Checks what was written.</summary>
    /// <exception cref="RecordBatchException">A record is not valid, or the request's allowance is used up.</exception>
    public void Advance(int count)
    {
        allowance?.Take(count);
        _end += count;
        while (TrySkip() && TryReadField())
        {
        }
    }

    /// <summary>To be called when all is decompressed.</summary>
    /// <exception cref="RecordBatchException">Records or bytes are missing.</exception>
    public void End()
    {
        if (_field != Field.Length || _skip > 0 || _end > _start)
            throw Fault(RecordBatchError.BadRecord, $"Record {_records}: the batch ends within it.");
        if (_records < header.RecordCount)
            throw Fault(RecordBatchError.BadRecordCount, $"Record count is {header.RecordCount}; there are {_records}.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        PooledBuffer.Return(_window);
        (_window, _start, _end) = ([], 0, 0);
        if (_hasTurn)
            LargeBatches.Appends.Exit();
        _hasTurn = false;
    }

    private bool TrySkip()
    {
        var count = Math.Min(_skip, _end - _start);
        _start += count;
        _skip -= count;
        return _skip == 0;
    }

    // False until more bytes have arrived.
    private bool TryReadField()
    {
        switch (_field)
        {
            case Field.Length:
                return TryBeginRecord();
            case Field.TimestampDelta:
                if (!TryReadLong())
                    return false;
                _field = Field.OffsetDelta;
                return true;
            case Field.OffsetDelta:
                if (!TryRead("offset delta", out var delta))
                    return false;
                CheckOffset(delta);
                _field = Field.Key;
                return true;
            case Field.Key:
                if (!TryReadBytes("key", isNullable: true, Field.Value, out var isNull))
                    return false;
                if (isNull)
                    keyless?.Add(_records);
                return true;
            case Field.Value:
                return TryReadBytes("value", isNullable: true, Field.HeaderCount, out _);
            case Field.HeaderCount:
                if (!TryRead("header count", out _headers))
                    return false;
                // A header has two bytes at least.
                if (_headers < 0 || _headers > _left / 2)
                    throw BadRecord($"header count is {_headers}; {_left} bytes are left");
                EndHeader();
                return true;
            case Field.HeaderKey:
                return TryReadBytes("header key", isNullable: false, Field.HeaderValue, out _);
            default:
                if (!TryReadBytes("header value", isNullable: true, Field.HeaderKey, out _))
                    return false;
                _headers--;
                EndHeader();
                return true;
        }
    }

    private bool TryBeginRecord()
    {
        if (_start == _end)
            return false;
        if (_records == header.RecordCount)
            throw Fault(RecordBatchError.BadRecordCount, $"Bytes follow the last of {_records} records.");
        _left = int.MaxValue;
        if (!TryRead("length", out var length))
            return false;
        if (length < RecordLayout.MinSize - 1)
            throw BadRecord($"length is {length}; the least is {RecordLayout.MinSize - 1}");
        _left = length;
        Skip(1); // attributes
        _field = Field.TimestampDelta;
        return true;
    }

    private void CheckOffset(int delta)
    {
        if (delta <= _previousDelta || delta > header.LastOffsetDelta || (!allowGaps && delta != _records))
            throw Fault(RecordBatchError.BadOffsets, $"Record {_records} has offset delta {delta} after {_previousDelta}, last offset "
                + $"delta {header.LastOffsetDelta}.");
        _previousDelta = delta;
    }

    private void EndHeader()
    {
        _field = Field.HeaderKey;
        if (_headers > 0)
            return;
        if (_left > 0)
            throw BadRecord($"{_left} bytes follow the last header");
        _records++;
        _field = Field.Length;
    }

    private bool TryReadBytes(string name, bool isNullable, Field next, out bool isNull)
    {
        isNull = false;
        if (!TryRead(name + " length", out var length))
            return false;
        if (length < (isNullable ? -1 : 0) || length > _left)
            throw BadRecord($"{name} length is {length}; {_left} bytes are left");
        isNull = length < 0;
        Skip(Math.Max(length, 0));
        _field = next;
        return true;
    }

    private void Skip(int count)
    {
        _skip = count;
        _left -= count;
    }

    private bool TryRead(string name, out int value)
    {
        var position = 0;
        var bytes = Unread(VarInt.MaxSize);
        if (!VarInt.TryRead(bytes, ref position, out value))
            return bytes.Length == Math.Min(VarInt.MaxSize, _left) ? throw BadRecord($"{name} is not a varint") : false;
        Consume(position);
        return true;
    }

    private bool TryReadLong()
    {
        var position = 0;
        var bytes = Unread(VarInt.MaxLongSize);
        if (!VarInt.TryRead(bytes, ref position, out long _))
            return bytes.Length == Math.Min(VarInt.MaxLongSize, _left) ? throw BadRecord("timestamp delta is not a varlong") : false;
        Consume(position);
        return true;
    }

    // Of the current record, at most so many.
    private ReadOnlySpan<byte> Unread(int most) => _window.AsSpan(_start, Math.Min(Math.Min(most, _left), _end - _start));

    private void Consume(int count)
    {
        _start += count;
        _left -= count;
    }

    private RecordBatchException BadRecord(string what) => Fault(RecordBatchError.BadRecord, $"Record {_records}: {what}.");

    private static RecordBatchException Fault(RecordBatchError error, string message) => new(error, message);
}
