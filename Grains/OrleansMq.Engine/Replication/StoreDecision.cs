namespace OrleansMq.Replication;

/// <summary>What a writer does with what it reads after a write that failed, or whose outcome is unclear.</summary>
public enum StoreOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Its own token: go on from what is stored.</summary>
    Adopt = 1,
    /// <summary>Any other token: somebody else leads, or may; stop.</summary>
    StepDown = 2,
}

/// <summary>"After a failed or unclear write the writer re-reads: its own token means adopt what is stored, any other means step down."
/// Pure.</summary>
internal static class StoreDecision
{
    /// <summary>Decides by what was read.</summary>
    public static StoreOutcome AfterFailedWrite(PartitionState stored, Guid ownToken) =>
        stored.LeaderToken == ownToken ? StoreOutcome.Adopt : StoreOutcome.StepDown;
}
