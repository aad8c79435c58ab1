using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Walks over the batches of a <c>.log</c> file by their headers, reading as little as it can: where batches are large only the headers,
/// where
/// they are small many at a time. Checks nothing but what it needs to find the next one (<see cref="TryMoveNext"/> stops there).
/// </summary>
internal ref struct BatchWalker(IFile file, long position, long end, Span<byte> buffer)
{
    /// <summary>A good size for the buffer: two index intervals, so that a look-up through the index mostly reads once.</summary>
    public const int BufferBytes = 8192;

    private readonly Span<byte> _buffer = buffer;
    private long _bufferStart;
    private int _buffered;
    private long _next = position;
    private int _lastSize;

    /// <summary>Where the current batch begins.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The current batch's header.</summary>
    public RecordBatchHeader Header { get; private set; }

    /// <summary>Where the next batch begins, or where the walk ended.</summary>
    public readonly long NextPosition => _next;

    /// <summary>
    /// Steps to the next batch. False at the end, or where no whole batch follows: a header that is cut, a length that no batch has or that
    /// leads past the end, another magic; <see cref="NextPosition"/> tells one from the other.
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
        // After a batch larger than the buffer the bytes behind the next header would most likely be skipped, too.
        var wanted = _lastSize > _buffer.Length ? RecordBatchHeader.Size : _buffer.Length;
        _buffered = file.Read(_buffer[..(int)Math.Min(wanted, end - from)], from);
        _bufferStart = from;
        return _buffered >= RecordBatchHeader.Size;
    }
}
