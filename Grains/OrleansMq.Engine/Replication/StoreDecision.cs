namespace OrleansMq.Replication;

/// <summary>What a writer does with the stored state after a write that failed, or whose outcome is unclear.</summary>
internal enum StoreOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Its own token: adopt the stored state.</summary>
    Adopt = 1,
    /// <summary>Any other token: another broker leads, or may lead, so stop.</summary>
    StepDown = 2,
}

/// <summary>Decides after a failed or unclear write: the writer re-reads, adopts a state with its own token, and steps down otherwise.
/// Pure.</summary>
internal static class StoreDecision
{
    /// <summary>Whether a stored epoch proves that the store was restored from the past: the disk knew a later epoch before the read
    /// began. A leader stores its epoch before it pushes. So an epoch that reaches the disk during the read proves nothing, and neither
    /// does a state that was not read here.</summary>
    /// <param name="storedEpoch">The epoch of the stored state.</param>
    /// <param name="fenceAtRead">The highest epoch on the disk when the read began; -1 if the state was not read here.</param>
    public static bool ProvesRestore(int storedEpoch, int fenceAtRead) => storedEpoch < fenceAtRead;

    /// <summary>Decides by the state that was read.</summary>
    public static StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) =>
        stored.LeaderToken == ownToken ? StoreOutcome.Adopt : StoreOutcome.StepDown;
}
