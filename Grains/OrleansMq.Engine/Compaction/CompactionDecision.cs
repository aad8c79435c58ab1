using OrleansMq.Topics;

namespace OrleansMq.Compaction;

/// <summary>What a decision on compaction needs to know of a segment.</summary>
/// <param name="BaseOffset">Its first possible offset.</param>
/// <param name="SizeInBytes">Bytes of its log.</param>
/// <param name="FirstTimestamp">The largest timestamp of its first batch, in milliseconds since 1970; -1 where it is empty or not
/// known.</param>
/// <param name="LargestTimestamp">The largest timestamp in it, in milliseconds since 1970; -1 where it is empty.</param>
/// <param name="IsActive">Whether it is still appended to.</param>
public readonly record struct CleanableSegment(long BaseOffset, long SizeInBytes, long FirstTimestamp, long LargestTimestamp,
    bool IsActive);

/// <summary>Why a log is cleaned now, or not.</summary>
public enum CompactionReason
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The topic's <c>cleanup.policy</c> does not say <c>compact</c>.</summary>
    NotCompacted = 1,
    /// <summary>All that may be cleaned is clean.</summary>
    NothingDirty = 2,
    /// <summary>The dirty part is below <c>min.cleanable.dirty.ratio</c>.</summary>
    BelowDirtyRatio = 3,
    /// <summary>The dirty part has reached <c>min.cleanable.dirty.ratio</c>.</summary>
    DirtyRatio = 4,
    /// <summary>A record has been dirty for <c>max.compaction.lag.ms</c>.</summary>
    MaxLag = 5,
}

/// <summary>
/// Whether a log is cleaned now, and which part. <c>[log start, FirstDirtyOffset)</c> was cleaned before, <c>[FirstDirtyOffset,
/// FirstUncleanableOffset)</c> is cleaned next, the rest has to wait.
/// </summary>
/// <param name="Reason">Why, or why not.</param>
/// <param name="FirstDirtyOffset">The first offset never cleaned.</param>
/// <param name="FirstUncleanableOffset">The first offset that must not be cleaned yet: a segment's base, or the high watermark.</param>
/// <param name="DirtyRatio">Bytes of the dirty part that may be cleaned, of those and the clean ones; 0 to 1.</param>
public readonly record struct CompactionDecision(CompactionReason Reason, long FirstDirtyOffset = -1, long FirstUncleanableOffset = -1,
    double DirtyRatio = 0)
{
    /// <summary>Whether to clean.</summary>
    public bool ShouldClean => Reason is CompactionReason.DirtyRatio or CompactionReason.MaxLag;

    /// <summary>Decides on one log. Pure.</summary>
    /// <param name="segments">All segments, in the order of their offsets; the last one is active.</param>
    /// <param name="checkpoint">The first dirty offset of the last cleaning; -1 where there was none.</param>
    /// <param name="logStartOffset">The first offset that can be read.</param>
    /// <param name="highWatermark">Records at or above it may still vanish, so they say nothing about older ones.</param>
    /// <param name="config">The topic's configuration.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public static CompactionDecision Decide(IReadOnlyList<CleanableSegment> segments, long checkpoint, long logStartOffset,
        long highWatermark, TopicConfig config, long now)
    {
        if (!config.CleanupCompact)
            return new CompactionDecision(CompactionReason.NotCompacted);
        var uncleanable = FindFirstUncleanable(segments, highWatermark, config.MinCompactionLagMs, now);
        var dirty = FindFirstDirty(segments, checkpoint, logStartOffset);
        if (dirty >= uncleanable)
            return new CompactionDecision(CompactionReason.NothingDirty, dirty, uncleanable);

        long cleanBytes = 0, dirtyBytes = 0, dirtySince = long.MaxValue;
        for (var i = 0; i < segments.Count && segments[i].BaseOffset < uncleanable; i++)
        {
            var next = i + 1 < segments.Count ? segments[i + 1].BaseOffset : long.MaxValue;
            if (next <= dirty)
            {
                cleanBytes += segments[i].SizeInBytes;
                continue;
            }
            dirtyBytes += segments[i].SizeInBytes;
            if (segments[i].FirstTimestamp >= 0)
                dirtySince = Math.Min(dirtySince, segments[i].FirstTimestamp);
        }
        var ratio = cleanBytes + dirtyBytes == 0 ? 0 : (double)dirtyBytes / (cleanBytes + dirtyBytes);
        var overdue = config.MaxCompactionLagMs != long.MaxValue && dirtySince != long.MaxValue
            && now - dirtySince > config.MaxCompactionLagMs;
        var reason = overdue ? CompactionReason.MaxLag
            : dirtyBytes > 0 && ratio >= config.MinCleanableDirtyRatio ? CompactionReason.DirtyRatio
            : CompactionReason.BelowDirtyRatio;
        return new CompactionDecision(reason, dirty, uncleanable, ratio);
    }

    private static long FindFirstDirty(IReadOnlyList<CleanableSegment> segments, long checkpoint, long logStartOffset)
    {
        var first = segments.Count > 0 ? Math.Min(segments[0].BaseOffset, logStartOffset) : logStartOffset;
        // A checkpoint beyond the active segment is of a log that was cut since: nothing of it is believed.
        return checkpoint < first || (segments.Count > 0 && checkpoint > segments[^1].BaseOffset) ? first : checkpoint;
    }

    private static long FindFirstUncleanable(IReadOnlyList<CleanableSegment> segments, long highWatermark, long minLagMs, long now)
    {
        foreach (var segment in segments)
        {
            if (segment.BaseOffset >= highWatermark)
                return highWatermark;
            if (segment.IsActive || (minLagMs > 0 && segment.LargestTimestamp > now - minLagMs))
                return segment.BaseOffset;
        }
        return highWatermark;
    }
}
