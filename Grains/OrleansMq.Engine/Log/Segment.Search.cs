using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

// Finds batches by offset, and the largest timestamp. Index entries are checked against the log.
internal sealed partial class Segment
{
    /// <summary>
    /// Finds the first batch whose last offset is at least <paramref name="offset"/>.
    /// </summary>
    /// <param name="offset">The offset to find.</param>
    /// <param name="useIndex">Whether to start from the index, or from the segment's start.</param>
    /// <param name="gapless">Whether each batch must begin where the previous one ended, as in a log that was never compacted.</param>
    /// <param name="position">The batch's position.</param>
    /// <param name="header">The batch's header.</param>
    /// <exception cref="DamagedLogException">The log itself is not a sequence of batches.</exception>
    public BatchSearch FindBatch(long offset, bool useIndex, bool gapless, out long position, out RecordBatchHeader header)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var (lastOffset, from) = (-1L, 0);
        var indexed = useIndex && Index.TryFind(offset, out lastOffset, out from);
        var size = Size;
        var end = NextOffset; // Read after the size, so it is never below the end of the scanned bytes.
        var expected = BaseOffset;
        var walker = new BatchWalker(lease.File, from, size, buffer);
        position = -1;
        header = default;
        while (walker.TryMoveNext())
        {
            if (indexed && walker.Position == from)
            {
                if (walker.Header.LastOffset != lastOffset)
                    return BatchSearch.IndexWrong;
            }
            else
            {
                ThrowIfOutOfPlace(walker.Header, walker.Position, expected, end, gapless);
            }
            expected = walker.Header.NextOffset;
            if (walker.Header.LastOffset < offset)
                continue;
            position = walker.Position;
            header = walker.Header;
            return BatchSearch.Found;
        }
        if (indexed && (from < 0 || walker.NextPosition == from || walker.NextPosition < size))
            return BatchSearch.IndexWrong;
        if (walker.NextPosition < size)
            throw new DamagedLogException(Log.Path, walker.NextPosition, walker.Header.NextOffset, "no whole record batch begins there");
        return BatchSearch.NotHere;
    }

    /// <summary>Returns the position at which a search for an offset begins to read the log.</summary>
    public long FindSearchStart(long offset)
    {
        var marked = Volatile.Read(ref _marks)?.Find(offset) ?? -1;
        if (marked >= 0)
            return marked;
        return Index.TryFind(offset, out _, out var indexed) && indexed >= 0 ? indexed : 0;
    }

    /// <summary>Finds the batch of an offset at which an earlier read ended; false if none did, or if another batch is there.</summary>
    public bool TryFollowMark(long offset, out long position, out RecordBatchHeader header)
    {
        header = default;
        position = Volatile.Read(ref _marks)?.Find(offset) ?? -1;
        if (position < 0)
            return false;
        Span<byte> buffer = stackalloc byte[RecordBatchHeader.Size];
        using var lease = Log.Rent();
        var walker = new BatchWalker(lease.File, position, Size, buffer);
        if (!walker.TryMoveNext() || walker.Header.BaseOffset != offset)
            return false;
        header = walker.Header;
        return true;
    }

    /// <summary>Finds the end of the last batch that ends at or before a position and below an offset.</summary>
    /// <param name="file">The open log file.</param>
    /// <param name="position">The position of <paramref name="first"/>.</param>
    /// <param name="first">The batch there.</param>
    /// <param name="limit">The offset that all batches must be below.</param>
    /// <param name="atMost">The position that all batches must end at or before.</param>
    /// <param name="nextOffset">The offset after the last batch.</param>
    /// <returns><paramref name="position"/> if there is none, or if something is wrong: then the read reports it.</returns>
    public long FindEnd(IFile file, long position, in RecordBatchHeader first, long limit, long atMost, out long nextOffset)
    {
        var (start, lastOffset) = (position, first.LastOffset);
        if (Index.TryFindPosition(atMost, out var lastIndexed, out var indexed) && lastIndexed >= limit)
            Index.TryFind(limit - 1, out lastIndexed, out indexed);
        if (indexed > position && lastIndexed < limit)
            (start, lastOffset) = (indexed, lastIndexed);
        var end = position;
        nextOffset = first.BaseOffset;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        var walker = new BatchWalker(file, start, Size, buffer);
        while (walker.TryMoveNext())
        {
            if (walker.Position == start)
            {
                if (walker.Header.LastOffset != lastOffset)
                    return position;
                (end, nextOffset) = (start, walker.Header.BaseOffset);
            }
            if (walker.Header.LastOffset >= limit || walker.NextPosition > atMost)
                break;
            (end, nextOffset) = (walker.NextPosition, walker.Header.NextOffset);
        }
        return end;
    }

    /// <summary>Checks a batch's base offset against its neighbours and the segment's bounds, since the CRC does not cover it.</summary>
    /// <exception cref="DamagedLogException">The batch is out of place.</exception>
    public void ThrowIfOutOfPlace(in RecordBatchHeader header, long position, long expected, long end, bool gapless)
    {
        if (header.BaseOffset < expected || (gapless && header.BaseOffset != expected) || header.NextOffset > end)
            throw new DamagedLogException(Log.Path, position, expected,
                $"the batch there has the base offset {header.BaseOffset}");
    }

    /// <summary>Loads the largest timestamp from the time index, whose last entry is known to be correct.</summary>
    public void TakeMaxTimestamp()
    {
        var known = TimeIndex.TryGetLast(out var timestamp, out var offset) ? timestamp : NoTimestamp;
        Volatile.Write(ref _offsetOfMaxTimestamp, offset);
        Volatile.Write(ref _maxTimestamp, known);
    }

    /// <summary>
    /// Loads the largest timestamp from the time index if the batch it refers to confirms it, otherwise from the batches. Retention depends
    /// on it and must not follow an index that a disk has changed.
    /// </summary>
    private long LoadMaxTimestamp()
    {
        var known = NoTimestamp;
        if (TimeIndex.TryGetLast(out var timestamp, out var offset))
        {
            known = FindBatch(offset, useIndex: true, gapless: false, out _, out var batch) == BatchSearch.Found
                && batch.LastOffset == offset && batch.MaxTimestamp == timestamp
                ? timestamp
                : FindMaxTimestamp(out offset);
        }
        Volatile.Write(ref _offsetOfMaxTimestamp, offset);
        Volatile.Write(ref _maxTimestamp, known);
        return known;
    }

    private long FindMaxTimestamp(out long offset)
    {
        var largest = NoTimestamp;
        offset = -1;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var walker = new BatchWalker(lease.File, 0, Size, buffer);
        while (walker.TryMoveNext())
        {
            if (walker.Header.MaxTimestamp > largest)
                (largest, offset) = (walker.Header.MaxTimestamp, walker.Header.LastOffset);
        }
        return largest;
    }

    /// <summary>Loads the first batch's largest timestamp if not known; -1 if the segment is empty.</summary>
    public long LoadFirstTimestamp()
    {
        if (FirstTimestamp < 0 && Size >= RecordBatchHeader.Size)
        {
            Span<byte> header = stackalloc byte[RecordBatchHeader.Size];
            using var lease = Log.Rent();
            if (lease.File.Read(header, 0) == header.Length)
                FirstTimestamp = RecordBatchHeader.Read(header).MaxTimestamp;
        }
        return FirstTimestamp;
    }
}
