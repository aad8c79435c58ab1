namespace OrleansMq.Compaction;

/// <summary>Decides which neighbouring segments a cleaning merges into one.</summary>
internal static class SegmentGroups
{
    /// <summary>
    /// Groups segments so that their current total size fits one segment. So cleaning never exceeds the limits, whatever it removes. Pure.
    /// </summary>
    /// <param name="segments">Rolled segments in offset order, optionally followed by the segment after them.</param>
    /// <param name="endOffset">Segments that begin at or above it are ignored.</param>
    /// <param name="maxBytes">The maximum size of a segment's log; a larger segment forms its own group.</param>
    /// <param name="maxOffsetRange">The maximum range of offsets in a segment, which its index can express.</param>
    /// <returns>Runs of at least one segment each.</returns>
    public static IReadOnlyList<IReadOnlyList<CleanableSegment>> Group(IReadOnlyList<CleanableSegment> segments, long endOffset,
        long maxBytes, long maxOffsetRange = int.MaxValue)
    {
        var groups = new List<IReadOnlyList<CleanableSegment>>();
        List<CleanableSegment>? open = null;
        long bytes = 0;
        for (var i = 0; i < segments.Count && segments[i].BaseOffset < endOffset && !segments[i].IsActive; i++)
        {
            var segment = segments[i];
            // The end of a rolled segment is the base offset of the next. For the last one it is at most the end.
            var end = i + 1 < segments.Count ? segments[i + 1].BaseOffset : endOffset;
            if (open is null || bytes + segment.SizeInBytes > maxBytes || end - 1 - open[0].BaseOffset > maxOffsetRange)
            {
                open = [];
                groups.Add(open);
                bytes = 0;
            }
            open.Add(segment);
            bytes += segment.SizeInBytes;
        }
        return groups;
    }
}
