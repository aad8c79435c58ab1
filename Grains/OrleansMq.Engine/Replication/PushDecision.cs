namespace OrleansMq.Replication;

/// <summary>What a follower does with a pushed batch.</summary>
public enum PushOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>It follows on the log's end: append it.</summary>
    Append = 1,
    /// <summary>The log holds it already: a request that came twice or late.</summary>
    Skip = 2,
    /// <summary>It begins above the log's end: refuse, the leader sends again from there.</summary>
    Gap = 3,
    /// <summary>The batch before it is of another epoch here: refuse and align. A push never truncates.</summary>
    Diverged = 4,
}

/// <summary>"Grain calls may be reordered, doubled or lost, so a push never truncates." Pure.</summary>
internal static class PushDecision
{
    /// <summary>Decides on one batch of an aligned leader.</summary>
    /// <param name="baseOffset">The batch's first offset.</param>
    /// <param name="nextOffset">The offset after its last.</param>
    /// <param name="previousEpoch">The epoch of what the leader holds before it; -1 where there is nothing.</param>
    /// <param name="logEnd">The follower's log end.</param>
    /// <param name="lastEpoch">The epoch of the follower's last batch; -1 where there is none.</param>
    public static PushOutcome Decide(long baseOffset, long nextOffset, int previousEpoch, long logEnd, int lastEpoch)
    {
        if (nextOffset <= logEnd)
            return PushOutcome.Skip;
        if (baseOffset > logEnd)
            return PushOutcome.Gap;
        return baseOffset == logEnd && previousEpoch == lastEpoch ? PushOutcome.Append : PushOutcome.Diverged;
    }
}
