namespace OrleansMq.Replication;

/// <summary>A leader's times and bounds.</summary>
internal sealed record LeaderOptions
{
    /// <summary><c>min.insync.replicas</c>.</summary>
    public int MinInsyncReplicas { get; init; } = 2;
    /// <summary><c>replica.lag.time.max.ms</c>.</summary>
    public long MaxLagMs { get; init; } = 10_000;
    /// <summary><c>leader.lease.ms</c>.</summary>
    public long LeaseMs { get; init; } = 2_000;
    /// <summary>After so many milliseconds without an answer batches are sent again.</summary>
    public long ResendMs { get; init; } = 500;
    /// <summary>The most batches in one push: a push should not stand in the way of the next heartbeat.</summary>
    public int MaxBatchesPerPush { get; init; } = 64;
}
