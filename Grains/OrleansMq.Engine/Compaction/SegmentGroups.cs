namespace OrleansMq.Compaction;

/// <summary>Which neighbouring segments a cleaning writes into one.</summary>
public static class SegmentGroups
{
    /// <summary>
    /// Groups segments so that the sum of what they are now fits one segment: cleaning then never grows beyond the limits, whatever it
    /// drops. Pure.
    /// </summary>
    /// <param name="segments">Rolled segments in the order of their offsets, and the one after them last or not at all.</param>
    /// <param name="endOffset">Segments that begin at or above it are left alone.</param>
    /// <param name="maxBytes">The most bytes of a segment's log; one that is larger already makes a group of its own.</param>
    /// <param name="maxOffsetRange">The most offsets a segment may span: what its index can express.</param>
    /// <returns>Runs of segments, each of at least one.</returns>
    public static IReadOnlyList<IReadOnlyList<CleanableSegment>> Group(IReadOnlyList<CleanableSegment> segments, long endOffset,
        long maxBytes, long maxOffsetRange = int.MaxValue)
    {
        var groups = new List<IReadOnlyList<CleanableSegment>>();
        List<CleanableSegment>? open = null;
        long bytes = 0;
        for (var i = 0; i < segments.Count && segments[i].BaseOffset < endOffset && !segments[i].IsActive; i++)
        {
            var segment = segments[i];
            // The end of a rolled segment is the base of the next; of the last one given, not more than the end.
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
