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
    /// <summary>A follower that nothing was sent to for so many milliseconds gets an empty push; 0: a quarter of the lease, so that one may
    /// be lost.</summary>
    public long HeartbeatMs { get; init; }
    /// <summary>After so many milliseconds without an answer batches are sent again.</summary>
    public long ResendMs { get; init; } = 500;
    /// <summary>The most pushes with batches to one follower that wait for their answer: enough to hide the way there and back, and a bound
    /// for what a slow follower costs in memory.</summary>
    public int MaxUnansweredPushes { get; init; } = 4;
    /// <summary>So often is looked whether a follower that catches up comes nearer: long enough for several of its rests.</summary>
    public long WatchCatchUpMs { get; init; } = 1_000;
    /// <summary>An append that has waited so long for its replicas fails, its outcome unknown.</summary>
    public long AppendTimeoutMs { get; init; } = 30_000;

    /// <summary>How long a leader that a reassignment takes out drains before it resigns all the same.</summary>
    public long HandoverMs { get; init; } = 5_000;

    /// <summary><see cref="HeartbeatMs"/> as it counts.</summary>
    public long EffectiveHeartbeatMs => HeartbeatMs > 0 ? HeartbeatMs : Math.Max(1, LeaseMs / 4);
}
