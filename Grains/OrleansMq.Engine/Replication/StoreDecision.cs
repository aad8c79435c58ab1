namespace OrleansMq.Replication;

/// <summary>What a writer does with the stored state after a write that failed, or whose outcome is unclear.</summary>
public enum StoreOutcome
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
    /// <summary>Decides by the state that was read.</summary>
    public static StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) =>
        stored.LeaderToken == ownToken ? StoreOutcome.Adopt : StoreOutcome.StepDown;
}
