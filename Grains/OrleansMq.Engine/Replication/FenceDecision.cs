namespace OrleansMq.Replication;

/// <summary>How a request's epoch compares with the replica's fence.</summary>
internal enum FenceOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>The known epoch.</summary>
    Current = 1,
    /// <summary>A later one: make it durable and discard the alignment with the older leader before answering.</summary>
    Raise = 2,
    /// <summary>An older one: refuse, since the sender has been replaced.</summary>
    Refuse = 3,
}

/// <summary>Checks the epoch that every push, append, acknowledgement and commit carries; called inside the append lock. Pure.</summary>
internal static class FenceDecision
{
    /// <summary>Compares a request's epoch with the highest one seen.</summary>
    public static FenceOutcome Decide(int epoch, int fence) =>
        epoch < fence ? FenceOutcome.Refuse : epoch == fence ? FenceOutcome.Current : FenceOutcome.Raise;

    /// <summary>Returns the fence of a replica that was just opened: the highest epoch seen, and never below that of its log.</summary>
    public static int AfterRestart(int durableFence, int latestEpochInLog) => Math.Max(durableFence, latestEpochInLog);
}
