using OrleansMq.Topics;

namespace OrleansMq.Log;

/// <summary>The properties of a segment that retention uses.</summary>
/// <param name="BaseOffset">Its first offset.</param>
/// <param name="NextOffset">The offset after its last.</param>
/// <param name="Size">The size of its log in bytes.</param>
/// <param name="MaxTimestamp">The largest timestamp of its records, in milliseconds since 1970; -1 if no record has one.</param>
internal readonly record struct SegmentFacts(long BaseOffset, long NextOffset, long Size, long MaxTimestamp);

/// <summary>Decides which of the oldest segments to delete. Pure. Never the active one, and only segments wholly below the high
/// watermark.</summary>
internal static class RetentionPolicy
{
    /// <summary>Counts the segments that are too old (<c>retention.ms</c>). A segment without timestamps never is.</summary>
    public static int CountExpired(IReadOnlyList<SegmentFacts> segments, TopicConfig config, long highWatermark, long now)
    {
        if (!config.CleanupDelete || config.RetentionMs < 0)
            return 0;
        var count = 0;
        while (count < segments.Count - 1 && IsExpired(segments[count], config, now) && segments[count].NextOffset <= highWatermark)
            count++;
        return count;
    }

    /// <summary>Counts the segments to delete so that the rest is as close above <c>retention.bytes</c> as possible, and never below
    /// it.</summary>
    public static int CountOversize(IReadOnlyList<SegmentFacts> segments, TopicConfig config, long highWatermark)
    {
        if (!config.CleanupDelete || config.RetentionBytes < 0)
            return 0;
        var excess = segments.Sum(segment => segment.Size) - config.RetentionBytes;
        var count = 0;
        while (count < segments.Count - 1 && excess - segments[count].Size >= 0 && segments[count].NextOffset <= highWatermark)
            excess -= segments[count++].Size;
        return count;
    }

    /// <summary>Counts the segments to delete so that as few offsets as possible are left below the high watermark, and never fewer than
    /// <c>retention.records</c>.</summary>
    public static int CountSurplus(IReadOnlyList<SegmentFacts> segments, TopicConfig config, long highWatermark) =>
        !config.CleanupDelete || config.RetentionRecords < 0 ? 0 : CountBelow(segments, highWatermark - config.RetentionRecords);

    /// <summary>Counts the segments without any offset at or above a bound, below the high watermark.</summary>
    public static int CountSettled(IReadOnlyList<SegmentFacts> segments, long settledBelow, long highWatermark) =>
        CountBelow(segments, Math.Min(settledBelow, highWatermark));

    /// <summary>Counts the segments without any offset at or above the log start offset.</summary>
    public static int CountBelow(IReadOnlyList<SegmentFacts> segments, long logStartOffset)
    {
        var count = 0;
        while (count < segments.Count - 1 && segments[count].NextOffset <= logStartOffset)
            count++;
        return count;
    }

    /// <summary>Whether the active segment has expired, and with it all others. Then it is rolled, so that its records can be deleted
    /// too.</summary>
    public static bool MustRollActive(IReadOnlyList<SegmentFacts> segments, TopicConfig config, long highWatermark, long now)
    {
        var active = segments[^1];
        return config.CleanupDelete && config.RetentionMs >= 0 && active.Size > 0 && active.NextOffset <= highWatermark
            && IsExpired(active, config, now)
            && CountExpired(segments, config, highWatermark, now) == segments.Count - 1;
    }

    /// <summary>Whether all records of a segment are older than <c>retention.ms</c>.</summary>
    public static bool IsExpired(in SegmentFacts segment, TopicConfig config, long now) =>
        // Compaction may leave a segment empty, which must not protect the segments after it.
        config.RetentionMs >= 0 && (segment.Size == 0 || (segment.MaxTimestamp >= 0 && now - segment.MaxTimestamp > config.RetentionMs));
}
