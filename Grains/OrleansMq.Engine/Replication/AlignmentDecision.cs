using OrleansMq.Log;

namespace OrleansMq.Replication;

/// <summary>What a follower does after a leader's answer to an epoch lookup.</summary>
internal enum AlignmentOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Truncate; the histories agree now.</summary>
    Aligned = 1,
    /// <summary>Truncate, then ask again with the latest epoch that remains.</summary>
    AskAgain = 2,
    /// <summary>Truncation would go below the follower's own high watermark: go offline, change nothing.</summary>
    Offline = 3,
    /// <summary>The leader does not know the epoch, so it cannot be the leader of this log. Change nothing.</summary>
    Refuse = 4,
}

/// <summary>Decides on leader-epoch lookups, which repeat until the histories agree (KIP-101, KIP-279); it never guesses from the high
/// watermark. Pure.</summary>
/// <param name="Outcome">What to do.</param>
/// <param name="TruncateTo">The log's new end; nothing to truncate if it is at or above the current end.</param>
internal readonly record struct AlignmentDecision(AlignmentOutcome Outcome, long TruncateTo)
{
    /// <summary>Decides on a leader's answer.</summary>
    /// <param name="leaderEpoch">The leader's epoch.</param>
    /// <param name="askedEpoch">The follower's latest epoch, which it asked for; -1 for an empty log, which always agrees.</param>
    /// <param name="answer">The leader's largest epoch at or below, with its end there; for an empty log, the leader's log start.</param>
    /// <param name="ownEnd">The follower's end of <paramref name="answer"/>'s epoch (or of the largest below it);
    /// <see cref="LeaderEpochCache.None"/> if there is none.</param>
    /// <param name="logEnd">The follower's log end.</param>
    /// <param name="highWatermark">The lower bound of truncation: <see cref="Floor"/>.</param>
    public static AlignmentDecision Decide(int leaderEpoch, int askedEpoch, LeaderEpochEntry answer, LeaderEpochEntry ownEnd, long logEnd,
        long highWatermark)
    {
        // An empty log agrees with every history that begins at its end. After an unclean election it may be above its leader's log start
        // and must go down. Otherwise it would skip the leader's earlier records and count them as held.
        if (askedEpoch < 0)
            return new AlignmentDecision(AlignmentOutcome.Aligned, answer.StartOffset >= highWatermark
                ? Math.Min(answer.StartOffset, logEnd) : logEnd);
        if (answer == LeaderEpochCache.None)
            return new AlignmentDecision(AlignmentOutcome.Refuse, logEnd);
        // All records of the leader's own epoch are the leader's. Its answer may be outdated, from before this replica's restart:
        // truncating to the log end in it would remove records acknowledged since.
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
    /// Whether a truncation goes so far that the follower must begin again, empty. At its log start there is nothing to keep, and a cut
    /// would remove the whole batch in which the log begins: the log would end below its start. Below the compacted end, compaction removed
    /// records in favour of records above the cut. This can happen only after an unclean election.
    /// </summary>
    /// <remarks>One case is not covered: a replica that was still catching up from a leader that had compacted further than the replica's
    /// end. An unclean election may lose the later records, in favour of which others were removed, before they reach the replica. Then
    /// neither broker has the key's earlier value, and the election loses that much more than its report says.</remarks>
    public static bool MustBeginAgain(long truncateTo, long logStart, long compactedEnd) =>
        truncateTo <= logStart || truncateTo < compactedEnd;

    /// <summary>
    /// Whether the follower lacks records that the leader has erased, and so can no longer send. A record that one of them removed would
    /// come back when the follower leads. Its own erased end says nothing of those, so an interrupted catch-up begins again, too. It loses
    /// nothing: an aligned log is a prefix of the leader's, and the leader erases only below its high watermark.
    /// </summary>
    public static bool MissesErased(long leaderErasedEnd, long logEnd) => logEnd < leaderErasedEnd;

    /// <summary>Returns the lower bound of a follower's truncation: the highest high watermark it was told. One from before an unclean
    /// election does not count, since the loss was allowed and logged.</summary>
    public static long Floor(long highWatermark, int highWatermarkEpoch, int uncleanEpoch) =>
        highWatermarkEpoch < uncleanEpoch ? 0 : highWatermark;
}
