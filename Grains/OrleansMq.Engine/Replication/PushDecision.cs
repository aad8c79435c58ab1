namespace OrleansMq.Replication;

/// <summary>What a follower does with a pushed batch.</summary>
public enum PushOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It is the next after the log's end: append it.</summary>
    Append = 1,
    /// <summary>The log holds it already: a request that came twice or late.</summary>
    Skip = 2,
    /// <summary>Something between the log's end and it is missing: refuse, the leader sends again from there.</summary>
    Gap = 3,
    /// <summary>What comes before it is of another epoch here: refuse and align. A push never truncates.</summary>
    Diverged = 4,
    /// <summary>The log is empty and stands inside the batch, since the leader's log start does: begin where the batch begins, and append
    /// it.</summary>
    BeginAndAppend = 5,
}

/// <summary>"Grain calls may be reordered, doubled or lost, so a push never truncates." Pure.</summary>
internal static class PushDecision
{
    /// <summary>Decides on one batch of an aligned leader.</summary>
    /// <param name="baseOffset">The batch's first offset.</param>
    /// <param name="nextOffset">The offset after its last.</param>
    /// <param name="previousEnd">Where what the leader holds before it ends. A hole up to the batch is compaction's.</param>
    /// <param name="previousEpoch">The leader's epoch of the offset before <paramref name="previousEnd"/>; -1 where it knows none.</param>
    /// <param name="logStart">The follower's log start.</param>
    /// <param name="logEnd">The follower's log end.</param>
    /// <param name="ownPreviousEpoch">The follower's epoch of the same offset; -1 where it knows none.</param>
    public static PushOutcome Decide(long baseOffset, long nextOffset, long previousEnd, int previousEpoch, long logStart, long logEnd,
        int ownPreviousEpoch)
    {
        if (nextOffset <= logEnd)
            return PushOutcome.Skip;
        if (previousEnd > logEnd)
            return PushOutcome.Gap;
        if (baseOffset < logEnd && logStart == logEnd)
            return PushOutcome.BeginAndAppend;
        var parts = previousEpoch >= 0 && ownPreviousEpoch >= 0 && previousEpoch != ownPreviousEpoch;
        return baseOffset < logEnd || parts ? PushOutcome.Diverged : PushOutcome.Append;
    }

    /// <summary>
    /// Whether nothing of the follower's log is left at its leader: it begins again, empty, at the leader's log start. That loses nothing:
    /// a leader deletes only below its high watermark, so a member of the ISR or ELR holds more, and what another holds below was deleted
    /// on purpose.
    /// </summary>
    public static bool MustReset(long leaderLogStart, long logEnd) => leaderLogStart > logEnd;
}
