using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>What a follower does after a leader's answer to an epoch lookup.</summary>
public enum AlignmentOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Truncate; the histories agree now.</summary>
    Aligned = 1,
    /// <summary>Truncate, then ask again with what is now the latest epoch.</summary>
    AskAgain = 2,
    /// <summary>It would truncate below the follower's own high watermark: go offline, touch nothing.</summary>
    Offline = 3,
    /// <summary>The leader knows no such epoch: it cannot be the leader of this log. Touch nothing.</summary>
    Refuse = 4,
}

/// <summary>Leader-epoch lookups, repeated until the histories agree (KIP-101, KIP-279): never a guess from the high watermark.
/// Pure.</summary>
/// <param name="Outcome">What to do.</param>
/// <param name="TruncateTo">Where the log is to end; at or above its end: nothing to cut.</param>
internal readonly record struct AlignmentDecision(AlignmentOutcome Outcome, long TruncateTo)
{
    /// <summary>Decides by a leader's answer.</summary>
    /// <param name="leaderEpoch">The epoch that the leader leads.</param>
    /// <param name="askedEpoch">The follower's latest epoch, which it asked for; -1 for an empty log, which always agrees.</param>
    /// <param name="answer">The leader's largest epoch at or below, and where that ends there; for an empty log: where the leader's log
    /// starts.</param>
    /// <param name="ownEnd">Where <paramref name="answer"/>'s epoch (or the largest below it) ends here;
    /// <see cref="LeaderEpochCache.None"/> where there is none.</param>
    /// <param name="logEnd">The follower's log end.</param>
    /// <param name="highWatermark">Below this nothing may be cut: <see cref="Floor"/>.</param>
    public static AlignmentDecision Decide(int leaderEpoch, int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd,
        long highWatermark)
    {
        // An empty log agrees with every history that begins where it stands. After an unclean election it may stand above its leader's log
        // start, and has to go down: else it would pass over what the leader has below, and count it as held.
        if (askedEpoch < 0)
            return new AlignmentDecision(AlignmentOutcome.Aligned, answer.StartOffset >= highWatermark
                ? Math.Min(answer.StartOffset, logEnd) : logEnd);
        if (answer == LeaderEpochCache.None)
            return new AlignmentDecision(AlignmentOutcome.Refuse, logEnd);
        // What was written in the leader's own epoch is the leader's, all of it. Its answer may be an old one, from before this replica was
        // restarted: to go by the log end that it names would cut off what was acknowledged since.
        if (askedEpoch == leaderEpoch)
            return new AlignmentDecision(AlignmentOutcome.Aligned, logEnd);
        var end = Math.Min(answer.StartOffset, logEnd);
        if (answer.Epoch != askedEpoch && ownEnd != LeaderEpochCache.None)
            end = Math.Min(end, ownEnd.StartOffset);
        if (end < Math.Min(highWatermark, logEnd))
            return new AlignmentDecision(AlignmentOutcome.Offline, logEnd);
        return new AlignmentDecision(answer.Epoch == askedEpoch ? AlignmentOutcome.Aligned : AlignmentOutcome.AskAgain, end);
    }

    /// <summary>
    /// Whether a cut takes so much that the follower has to begin again, empty: below its log start there is nothing to keep, and what
    /// compaction removed below the cut it removed for the sake of records above it. Only after an unclean election can that be.
    /// </summary>
    /// <remarks>What is not covered: a replica that was still catching up from a leader that had compacted further than the replica had
    /// come. The later records, for whose sake others were left out, may be lost by an unclean election before they reach it, and the key's
    /// earlier value is with neither. An unclean election of such a replica loses that much more than its report says.</remarks>
    public static bool MustBeginAgain(long truncateTo, long logStart, long compactedEnd) => truncateTo < Math.Max(logStart, compactedEnd);

    /// <summary>Below what a follower does not truncate: the highest high watermark it was told; but one that was told before an unclean
    /// election binds nobody, for the loss was allowed, and logged.</summary>
    public static long Floor(long highWatermark, int highWatermarkEpoch, int uncleanEpoch) =>
        highWatermarkEpoch < uncleanEpoch ? 0 : highWatermark;
}
