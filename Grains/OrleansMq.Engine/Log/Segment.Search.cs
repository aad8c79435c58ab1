using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

// Finding batches by offset, and the largest timestamp: what the indexes say is compared with the log.
internal sealed partial class Segment
{
    /// <summary>
    /// Finds the first batch whose last offset is at least <paramref name="offset"/>.
    /// </summary>
    /// <param name="offset">The offset looked for.</param>
    /// <param name="useIndex">Whether to begin where the index says, or at the start.</param>
    /// <param name="gapless">Whether each batch must begin where the one before ended: so in a log that was never compacted.</param>
    /// <param name="position">Where the batch begins.</param>
    /// <param name="header">The batch's header.</param>
    /// <exception cref="DamagedLogException">The log itself is not a sequence of batches.</exception>
    public BatchSearch FindBatch(long offset, bool useIndex, bool gapless, out long position, out RecordBatchHeader header)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = Log.Rent();
        var (lastOffset, from) = (-1L, 0);
        var indexed = useIndex && Index.TryFind(offset, out lastOffset, out from);
        var size = Size;
        var end = NextOffset; // Read after the size: never below the end of what is read.
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

    /// <summary>Finds the batch of an offset where an earlier read ended; false where none did, or something else is there.</summary>
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

    /// <summary>Where the last batch ends that does so at or before a position and below an offset.</summary>
    /// <param name="file">The log file, open.</param>
    /// <param name="position">Where <paramref name="first"/> begins.</param>
    /// <param name="first">The batch there.</param>
    /// <param name="limit">The offset that all are to be below.</param>
    /// <param name="atMost">The position that all are to end at or before.</param>
    /// <param name="nextOffset">The offset after the last.</param>
    /// <returns><paramref name="position"/> where there is none, or something is not as it should be: then who reads finds out.</returns>
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

    /// <summary>The CRC does not cover the base offset; its neighbours and the segment's bounds do.</summary>
    /// <exception cref="DamagedLogException">The batch is not where it belongs.</exception>
    public void ThrowIfOutOfPlace(in RecordBatchHeader header, long position, long expected, long end, bool gapless)
    {
        if (header.BaseOffset < expected || (gapless && header.BaseOffset != expected) || header.NextOffset > end)
            throw new DamagedLogException(Log.Path, position, expected,
                $"the batch there says that its base offset is {header.BaseOffset}");
    }

    /// <summary>Takes the largest timestamp from the time index, whose last entry is known to be right.</summary>
    public void TakeMaxTimestamp()
    {
        var known = TimeIndex.TryGetLast(out var timestamp, out var offset) ? timestamp : NoTimestamp;
        Volatile.Write(ref _offsetOfMaxTimestamp, offset);
        Volatile.Write(ref _maxTimestamp, known);
    }

    /// <summary>
    /// Takes the largest timestamp from the time index, if the batch it speaks of agrees: retention goes by it, and must not follow an
    /// index that a disk
    /// has changed. Otherwise from the batches.
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

    /// <summary>The first batch's largest timestamp, read where it is not known; -1 where the segment is empty.</summary>
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
