using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Brings a segment's indexes in line with its log. An index is only a shortcut, so a wrong one is rebuilt by a walk over the batches'
/// headers.
/// </summary>
internal static class IndexRebuild
{
    /// <summary>
    /// Ensures that both index files exist, and that those of a sealed segment consist of whole entries.
    /// </summary>
    /// <param name="files">The disk.</param>
    /// <param name="segment">The segment, with its size set.</param>
    /// <param name="indexIntervalBytes">The interval for rebuilding missing indexes. Null leaves them empty, for a segment whose tail is
    /// checked anyway.</param>
    public static void EnsureFiles(IFileSystem files, Segment segment, int? indexIntervalBytes)
    {
        if (indexIntervalBytes is not { } interval)
        {
            foreach (var file in (CachedFile[])[segment.Index.File, segment.TimeIndex.File])
            {
                if (!file.Exists())
                    file.CreateEmpty();
            }
            return;
        }
        // The last entry of a sealed segment's time index covers every batch that has a timestamp, so there must be one.
        if (!IsWhole(files, segment.Index.File, OffsetIndex.EntrySize, 0)
            || !IsWhole(files, segment.TimeIndex.File, TimeIndex.EntrySize, segment.Size > 0 ? 1 : 0))
            Rebuild(files, segment, segment.Size, interval);
    }

    /// <summary>
    /// Rebuilds both indexes from the batches before <paramref name="end"/>, beside the old ones. They replace the old ones once they are
    /// complete and durable. A crash in between leaves the faulty ones, to be found again.
    /// </summary>
    /// <exception cref="DamagedLogException">The log itself is not a sequence of batches.</exception>
    public static void Rebuild(IFileSystem files, Segment segment, long end, int indexIntervalBytes)
    {
        var made = segment.BeginNewIndexes();
        try
        {
            Walk(segment, made, end, indexIntervalBytes);
            made.Found(end, segment.NextOffset, flushed: true);
            made.CompleteIndexes();
            made.FlushIndexes();
        }
        catch (Exception)
        {
            made.DeleteFiles();
            throw;
        }
        segment.TakeIndexesOf(made);
        files.FlushDirectory(Path.GetDirectoryName(segment.Log.Path)!);
    }

    /// <summary>
    /// Removes the index entries at and after <paramref name="from"/>, checks the rest, and prepares the segment for batches from there on.
    /// </summary>
    /// <param name="files">The disk.</param>
    /// <param name="segment">The segment.</param>
    /// <param name="fromOffset">The offset of the batch at <paramref name="from"/>.</param>
    /// <param name="from">Batches before this position are valid, and were indexed durably.</param>
    /// <param name="indexIntervalBytes">The interval for rebuilding missing entries.</param>
    /// <param name="afterCrash">
    /// Whether there may be entries beyond <paramref name="from"/>, including torn ones and zeros: then all entries are checked. After a
    /// clean stop only the last ones are checked, and a wrong one causes a rebuild.
    /// </param>
    public static void CutTail(IFileSystem files, Segment segment, long fromOffset, long from, int indexIntervalBytes, bool afterCrash)
    {
        segment.ForgetMaxTimestamp();
        segment.SetBytesSinceEntry(0);
        if (from == 0)
        {
            segment.Index.CutTo(0);
            segment.TimeIndex.CutTo(0);
            return;
        }
        if (afterCrash)
        {
            bool TryGetPlace(int index, out long offset, out long position)
            {
                var found = segment.Index.TryGet(index, out offset, out var at);
                position = at;
                return found && offset < fromOffset;
            }

            segment.Index.CutTo(CountRising(segment.Index.Count, TryGetPlace, from));
            segment.TimeIndex.CutTo(CountRising(segment.TimeIndex.Count, segment.TimeIndex.TryGet, fromOffset));
        }
        else
        {
            segment.Index.CutTo(segment.Index.Count); // Whole entries only.
            segment.TimeIndex.CutTo(segment.TimeIndex.Count);
        }
        if (!IsLastEntryRight(segment, from, indexIntervalBytes) || !IsLastTimeRight(segment, from))
            Rebuild(files, segment, from, indexIntervalBytes);
        ReadFirstTimestamp(segment);
        segment.TakeMaxTimestamp();
        segment.SetBytesSinceEntry((int)(from - (segment.Index.TryGetLast(out _, out var last) ? last : 0)));
    }

    /// <summary>
    /// Opens the active segment after a clean stop: its last index entry must lead, batch by batch, to <paramref name="end"/>.
    /// </summary>
    /// <exception cref="DamagedLogException">The last entry does not: the file changed after it was closed.</exception>
    public static void OpenTail(IFileSystem files, Segment segment, LogPosition end, int indexIntervalBytes)
    {
        CutTail(files, segment, end.Offset, end.Position, indexIntervalBytes, afterCrash: false);
        if (end.Position == 0)
            return;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, segment.Index.TryGetLast(out _, out var from) ? from : 0, end.Position, buffer);
        while (walker.TryMoveNext())
        {
        }
        if (walker.NextPosition != end.Position || walker.Header.NextOffset != end.Offset)
            throw new DamagedLogException(segment.Log.Path, walker.NextPosition, walker.Header.NextOffset,
                "no whole record batch begins there");
    }

    /// <summary>Whether the last entry matches the batch at its position, and no entry is missing between it and
    /// <paramref name="end"/>.</summary>
    private static bool IsLastEntryRight(Segment segment, long end, int indexIntervalBytes)
    {
        var indexed = segment.Index.TryGetLast(out var lastOffset, out var last);
        if (!indexed)
            last = 0;
        if (last < 0 || last + RecordBatchHeader.Size > end)
            return false;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, last, end, buffer);
        while (walker.TryMoveNext())
        {
            if (indexed && walker.Position == last && walker.Header.LastOffset != lastOffset)
                return false;
            if (walker.Position - last > indexIntervalBytes)
                return false;
        }
        return walker.NextPosition == end;
    }

    /// <summary>Whether the last entry of the time index matches the batch at its offset; false if there is none.</summary>
    private static bool IsLastTimeRight(Segment segment, long end)
    {
        if (!segment.TimeIndex.TryGetLast(out var timestamp, out var lastOffset))
            return false;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, segment.Index.TryFind(lastOffset, out _, out var from) ? from : 0, end, buffer);
        while (walker.TryMoveNext() && walker.Header.LastOffset <= lastOffset)
        {
            if (walker.Header.LastOffset == lastOffset)
                return walker.Header.MaxTimestamp == timestamp;
        }
        return false;
    }

    private delegate bool TryGetEntry(int index, out long first, out long second);

    // Both numbers of an entry rise from entry to entry; counting stops at the first that does not.
    private static int CountRising(int count, TryGetEntry tryGet, long secondBelow)
    {
        long first = -1, second = -1;
        for (var i = 0; i < count; i++)
        {
            if (!tryGet(i, out var nextFirst, out var nextSecond) || nextFirst <= first || nextSecond <= second
                || nextSecond >= secondBelow)
                return i;
            (first, second) = (nextFirst, nextSecond);
        }
        return count;
    }

    private static bool IsWhole(IFileSystem files, CachedFile file, int entrySize, int least) =>
        files.FileExists(file.Path) && file.GetLength() is var length && length % entrySize == 0 && length >= least * entrySize;

    private static void Walk(Segment segment, Segment into, long end, int indexIntervalBytes)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, 0, end, buffer);
        var expected = segment.BaseOffset;
        while (walker.TryMoveNext())
        {
            // The CRC does not cover the base offset. An index cannot express one that a disk has changed.
            if (walker.Header.BaseOffset < expected || !RollPolicy.CanIndex(segment.BaseOffset, walker.Header.LastOffset))
                throw new DamagedLogException(segment.Log.Path, walker.Position, expected,
                    $"the batch there has base offset {walker.Header.BaseOffset}");
            into.NoteForIndexes(walker.Header, walker.Position, indexIntervalBytes);
            expected = walker.Header.NextOffset;
        }
    }

    private static void ReadFirstTimestamp(Segment segment)
    {
        if (TryReadHeader(segment, 0, out var header))
            segment.FirstTimestamp = header.MaxTimestamp;
    }

    private static bool TryReadHeader(Segment segment, long position, out RecordBatchHeader header)
    {
        Span<byte> bytes = stackalloc byte[RecordBatchHeader.Size];
        using var lease = segment.Log.Rent();
        var read = lease.File.Read(bytes, position);
        header = read == bytes.Length ? RecordBatchHeader.Read(bytes) : default;
        return read == bytes.Length;
    }
}
