using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Brings a segment's indexes in line with its log: an index is only a shortcut, so whatever is wrong with it is made anew by a walk over the
/// batches' headers.
/// </summary>
internal static class IndexRebuild
{
    /// <summary>
    /// Makes sure that both index files are there and hold whole entries.
    /// </summary>
    /// <param name="files">The disk.</param>
    /// <param name="segment">The segment; its size is set.</param>
    /// <param name="indexIntervalBytes">To build missing ones by; null to leave them empty, for a segment whose tail is looked at anyway.</param>
    public static void EnsureFiles(IFileSystem files, Segment segment, int? indexIntervalBytes)
    {
        // Every batch with a timestamp has a sealed segment's time index say so in the end.
        var leastTimes = indexIntervalBytes is not null && segment.Size > 0 ? 1 : 0;
        if (IsWhole(files, segment.Index.File, OffsetIndex.EntrySize, 0) && IsWhole(files, segment.TimeIndex.File, TimeIndex.EntrySize, leastTimes))
            return;
        if (indexIntervalBytes is { } interval)
            Rebuild(segment, interval);
        else
            Clear(segment);
    }

    /// <summary>Makes both indexes of a sealed segment anew.</summary>
    public static void Rebuild(Segment segment, int indexIntervalBytes)
    {
        Clear(segment);
        Walk(segment, 0, segment.Size, indexIntervalBytes);
        segment.CompleteIndexes();
        segment.Index.ReleaseBuffer();
        segment.TimeIndex.ReleaseBuffer();
    }

    /// <summary>
    /// Removes what the indexes say about <paramref name="from"/> and later, checks what remains, and makes the segment ready for batches from
    /// there on.
    /// </summary>
    public static void CutTail(Segment segment, long fromOffset, long from, int indexIntervalBytes)
    {
        segment.ForgetMaxTimestamp();
        segment.SetBytesSinceEntry(0);
        if (from == 0)
        {
            segment.Index.CutTo(0);
            segment.TimeIndex.CutTo(0);
            return;
        }
        segment.Index.CutTo(CountBelow(segment.Index.Count, i => segment.Index.TryGet(i, out _, out var position) && position < from));
        segment.TimeIndex.CutTo(CountBelow(segment.TimeIndex.Count, i => segment.TimeIndex.TryGet(i, out _, out var offset) && offset < fromOffset));
        if (!IsLastEntryRight(segment, from, indexIntervalBytes) || segment.TimeIndex.Count == 0)
        {
            Clear(segment);
            Walk(segment, 0, from, indexIntervalBytes);
            return;
        }
        ReadFirstTimestamp(segment);
        segment.LoadMaxTimestamp();
        segment.SetBytesSinceEntry((int)(from - (segment.Index.TryGetLast(out _, out var last) ? last : 0)));
    }

    /// <summary>
    /// Opens the active segment after a clean stop: its last index entry must lead, batch by batch, to <paramref name="end"/>.
    /// </summary>
    /// <exception cref="DamagedLogException">It does not: the file is not what was closed.</exception>
    public static void OpenTail(Segment segment, LogPosition end, int indexIntervalBytes)
    {
        CutTail(segment, end.Offset, end.Position, indexIntervalBytes);
        if (end.Position == 0)
            return;
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, segment.Index.TryGetLast(out _, out var from) ? from : 0, end.Position, buffer);
        while (walker.TryMoveNext())
        {
        }
        if (walker.NextPosition != end.Position || walker.Header.NextOffset != end.Offset)
            throw new DamagedLogException(segment.Log.Path, walker.NextPosition, walker.Header.NextOffset, "no whole record batch begins there");
    }

    /// <summary>Whether the last entry is what the batch at its position says; and whether there is one, where there should be.</summary>
    private static bool IsLastEntryRight(Segment segment, long end, int indexIntervalBytes)
    {
        if (!segment.Index.TryGetLast(out var lastOffset, out var position))
            return end <= indexIntervalBytes;
        if (position < 0 || position + RecordBatchHeader.Size > end)
            return false;
        return TryReadHeader(segment, position, out var header) && header.Magic == RecordBatches.Magic && header.LastOffset == lastOffset;
    }

    private static bool IsWhole(IFileSystem files, CachedFile file, int entrySize, int least) =>
        files.FileExists(file.Path) && file.GetLength() is var length && length % entrySize == 0 && length >= least * entrySize;

    private static void Clear(Segment segment)
    {
        segment.Index.Clear();
        segment.TimeIndex.Clear();
        segment.ForgetMaxTimestamp();
        segment.SetBytesSinceEntry(0);
    }

    private static void Walk(Segment segment, long from, long end, int indexIntervalBytes)
    {
        Span<byte> buffer = stackalloc byte[BatchWalker.BufferBytes];
        using var lease = segment.Log.Rent();
        var walker = new BatchWalker(lease.File, from, end, buffer);
        while (walker.TryMoveNext())
            segment.NoteForIndexes(walker.Header, walker.Position, indexIntervalBytes);
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

    private static int CountBelow(int count, Func<int, bool> isBelow)
    {
        int low = 0, high = count;
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            if (isBelow(middle))
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
}
