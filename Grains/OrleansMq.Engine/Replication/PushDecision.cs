namespace OrleansMq.Replication;

/// <summary>What a follower does with a pushed batch.</summary>
internal enum PushOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It follows the log's end: append it.</summary>
    Append = 1,
    /// <summary>The log already holds it: a duplicate or late request.</summary>
    Skip = 2,
    /// <summary>Records between the log's end and the batch are missing: refuse, and the leader resends from there.</summary>
    Gap = 3,
    /// <summary>The previous batch has another epoch here: refuse and align. A push never truncates.</summary>
    Diverged = 4,
    /// <summary>The log is empty and begins inside the batch, as the leader's log start does: begin at the batch's base, and append
    /// it.</summary>
    BeginAndAppend = 5,
}

/// <summary>Decides on pushes. Calls may be reordered, duplicated or lost, so a push never truncates. Pure.</summary>
internal static class PushDecision
{
    /// <summary>Decides on one batch of an aligned leader.</summary>
    /// <param name="baseOffset">The batch's first offset.</param>
    /// <param name="nextOffset">The offset after its last.</param>
    /// <param name="previousEnd">The end of the leader's records before it. Compaction left any hole up to the batch.</param>
    /// <param name="previousEpoch">The leader's epoch of the offset before <paramref name="previousEnd"/>; -1 if it knows none.</param>
    /// <param name="logStart">The follower's log start.</param>
    /// <param name="logEnd">The follower's log end.</param>
    /// <param name="ownPreviousEpoch">The follower's epoch of the same offset; -1 if it knows none.</param>
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
    /// Whether the leader has nothing of the follower's log any more, so that the follower begins again, empty, at the leader's log start.
    /// That loses nothing. A leader deletes only below its high watermark, so an ISR or ELR member holds more, and another replica's
    /// records below it were deleted on purpose.
    /// </summary>
    public static bool MustReset(long leaderLogStart, long logEnd) => leaderLogStart > logEnd;
}
