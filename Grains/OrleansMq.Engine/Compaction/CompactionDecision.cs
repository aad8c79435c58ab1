using OrleansMq.Topics;

namespace OrleansMq.Compaction;

/// <summary>The facts about a segment that a compaction decision needs.</summary>
/// <param name="BaseOffset">Its base offset.</param>
/// <param name="SizeInBytes">The size of its log in bytes.</param>
/// <param name="FirstTimestamp">The largest timestamp of its first batch, in milliseconds since 1970; -1 if it is empty or unknown.</param>
/// <param name="LargestTimestamp">The largest timestamp in it, in milliseconds since 1970; -1 if it is empty.</param>
/// <param name="IsActive">Whether it is the active segment.</param>
internal readonly record struct CleanableSegment(long BaseOffset, long SizeInBytes, long FirstTimestamp, long LargestTimestamp,
    bool IsActive);

/// <summary>Why a log is cleaned now, or is not.</summary>
internal enum CompactionReason
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The topic's <c>cleanup.policy</c> does not include <c>compact</c>.</summary>
    NotCompacted = 1,
    /// <summary>Everything that may be cleaned is clean.</summary>
    NothingDirty = 2,
    /// <summary>The dirty part is below <c>min.cleanable.dirty.ratio</c>.</summary>
    BelowDirtyRatio = 3,
    /// <summary>The dirty part has reached <c>min.cleanable.dirty.ratio</c>.</summary>
    DirtyRatio = 4,
    /// <summary>A record has been dirty for <c>max.compaction.lag.ms</c>.</summary>
    MaxLag = 5,
    /// <summary>A rolled segment has few records that a queue needs, beside those that all have settled.</summary>
    Settled = 6,
}

/// <summary>
/// Whether a log is cleaned now, and which part. <c>[log start, FirstDirtyOffset)</c> was cleaned before, <c>[FirstDirtyOffset,
/// FirstUncleanableOffset)</c> is cleaned next, the rest must wait.
/// </summary>
/// <param name="Reason">The reason for or against cleaning.</param>
/// <param name="FirstDirtyOffset">The first offset that was never cleaned.</param>
/// <param name="FirstUncleanableOffset">The first offset that must not be cleaned yet: a segment's base offset, or the given
/// bound.</param>
/// <param name="DirtyRatio">Cleanable dirty bytes divided by these plus the clean bytes; 0 to 1.</param>
internal readonly record struct CompactionDecision(CompactionReason Reason, long FirstDirtyOffset = -1, long FirstUncleanableOffset = -1,
    double DirtyRatio = 0)
{
    /// <summary>Whether to clean.</summary>
    public bool ShouldClean => Reason is CompactionReason.DirtyRatio or CompactionReason.MaxLag;

    /// <summary>Decides on one log. Pure.</summary>
    /// <param name="segments">All segments in offset order; the last one is active.</param>
    /// <param name="checkpoint">The first dirty offset after the last cleaning; -1 for none.</param>
    /// <param name="logStartOffset">The first readable offset.</param>
    /// <param name="highWatermark">Records at or above it may still be truncated, so they do not supersede older ones.</param>
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
        // A checkpoint beyond the active segment belongs to a log that was truncated since, so it is ignored.
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
