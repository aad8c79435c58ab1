using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Walks over the batches of a <c>.log</c> file by their headers, with as few reads as possible: headers only if batches are large, many at
/// a time if they are small. It checks only what it needs to find the next batch (<see cref="TryMoveNext"/> stops there).
/// </summary>
internal ref struct BatchWalker(IFile file, long position, long end, Span<byte> buffer)
{
    /// <summary>A good buffer size: two index intervals, so that an index lookup usually needs one read.</summary>
    public const int BufferBytes = 8192;

    private readonly Span<byte> _buffer = buffer;
    private long _bufferStart;
    private int _buffered;
    private long _next = position;
    private int _lastSize;

    /// <summary>The position of the current batch.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The current batch's header.</summary>
    public RecordBatchHeader Header { get; private set; }

    /// <summary>The position of the next batch, or where the walk ended.</summary>
    public readonly long NextPosition => _next;

    /// <summary>
    /// Moves to the next batch. False at the end, or if no complete batch follows: a truncated header, an impossible length, one that
    /// exceeds the end, or another magic. <see cref="NextPosition"/> distinguishes the two.
    /// </summary>
    public bool TryMoveNext()
    {
        if (_next + RecordBatchHeader.Size > end || !Fill(_next))
            return false;
        var header = RecordBatchHeader.Read(_buffer[(int)(_next - _bufferStart)..]);
        if (header.Magic != 2 || header.Length < RecordBatchHeader.Size - RecordBatchHeader.Overhead || header.LastOffsetDelta < 0
            || _next + RecordBatchHeader.Overhead + header.Length > end)
            return false;
        Header = header;
        Position = _next;
        _lastSize = header.SizeInBytes;
        _next += _lastSize;
        return true;
    }

    private bool Fill(long from)
    {
        if (from >= _bufferStart && from + RecordBatchHeader.Size <= _bufferStart + _buffered)
            return true;
        // After a batch larger than the buffer, the bytes behind the next header would probably be skipped too.
        var wanted = _lastSize > _buffer.Length ? RecordBatchHeader.Size : _buffer.Length;
        _buffered = file.Read(_buffer[..(int)Math.Min(wanted, end - from)], from);
        _bufferStart = from;
        return _buffered >= RecordBatchHeader.Size;
    }
}
