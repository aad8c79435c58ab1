namespace OrleansMq.Replication;

/// <summary>What a replica makes of a request's epoch.</summary>
public enum FenceOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The epoch it knows.</summary>
    Current = 1,
    /// <summary>A later one: make it durable, forget the alignment with the older leader, only then answer.</summary>
    Raise = 2,
    /// <summary>An older one: refuse, whoever asks has been replaced.</summary>
    Refuse = 3,
}

/// <summary>"Every push, append, acknowledgement and commit carries the epoch, checked inside the append lock." Pure.</summary>
internal static class FenceDecision
{
    /// <summary>Compares a request's epoch with the highest one seen.</summary>
    public static FenceOutcome Decide(int epoch, int fence) =>
        epoch < fence ? FenceOutcome.Refuse : epoch == fence ? FenceOutcome.Current : FenceOutcome.Raise;

    /// <summary>The fence of a replica that has just been opened: the highest epoch seen, and never below what its log holds.</summary>
    public static int AfterRestart(int durableFence, int latestEpochInLog) => Math.Max(durableFence, latestEpochInLog);
}
