using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// Decides what a topic's <see cref="FlushPolicy"/> means for appends, acknowledgements and background flushes. The rest of the broker asks
/// these questions and does not compare the policy with its values. Pure.
/// <code>
///                                     none   interval   sync
/// the caller's thread may write       yes    yes        no
/// a round is flushed before it counts no     no         yes
/// only flushed records count          no     no         yes
/// a background flush follows          no     yes        no: the round was flushed, only its flushed point is written later
/// </code>
/// </summary>
internal static class FlushDecision
{
    /// <summary>How long the flushed point on disk may stay behind flushed records, in milliseconds; plus one tick of the timer.</summary>
    private const long FlushedPointLagMs = 1000;

    /// <summary>Whether the caller's thread may write its batch. Under <c>sync</c> it would then wait for the disk.</summary>
    public static bool MayCallerWrite(TopicConfig config) => config.FlushPolicy != FlushPolicy.Sync;

    /// <summary>Whether written records must be flushed before they count: as acknowledged, and towards the high watermark.</summary>
    public static bool MustFlushRound(TopicConfig config) => config.FlushPolicy == FlushPolicy.Sync;

    /// <summary>Whether only flushed records count: in the high watermark, and in what an incarnation promises to keep.</summary>
    public static bool CountsOnlyFlushed(TopicConfig config) => config.FlushPolicy == FlushPolicy.Sync;

    /// <summary>Whether all is flushed that was counted before the policy became <c>sync</c>. A truncation may have removed some of
    /// it.</summary>
    public static bool HasFlushedCounted(long flushed, long counted, long logEnd) => flushed >= Math.Min(counted, logEnd);

    /// <summary>Whether written records count at once and are flushed in the background.</summary>
    public static bool FlushesInBackground(TopicConfig config) => config.FlushPolicy == FlushPolicy.Interval;

    /// <summary>Whether a background flush is due. Under <c>sync</c> it only writes the flushed point down.</summary>
    /// <param name="config">The topic's configuration. Records noted under an earlier policy are due at once under <c>none</c>.</param>
    /// <param name="records">Records that were noted for the flush.</param>
    /// <param name="since">When the first of them was noted, in milliseconds since 1970.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    public static bool IsBackgroundFlushDue(TopicConfig config, long records, long since, long now) => records > 0
        && config.FlushPolicy switch
        {
            FlushPolicy.Interval => records >= config.FlushMessages || HasPassed(config.FlushMs, since, now),
            FlushPolicy.Sync => IsFlushedPointDue(since, now),
            _ => true,
        };

    /// <summary>Whether the flushed point must be written to disk, for records that were flushed at <paramref name="since"/>.</summary>
    public static bool IsFlushedPointDue(long since, long now) => HasPassed(FlushedPointLagMs, since, now);

    /// <summary>Whether a time in milliseconds has passed. A clock that was set back counts as passed, or nothing would be due for as
    /// long.</summary>
    public static bool HasPassed(long time, long since, long now) => now - since >= time || now < since;

    /// <summary>Returns the configuration with the policy <c>sync</c>, for a partition of a topic with a policy that is not known
    /// yet.</summary>
    public static TopicConfig UntilConfigured(TopicConfig config) => config with { FlushMessages = 1 };
}
