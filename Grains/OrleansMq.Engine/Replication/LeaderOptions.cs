namespace OrleansMq.Replication;

/// <summary>A leader's times and limits.</summary>
internal sealed record LeaderOptions
{
    /// <summary><c>min.insync.replicas</c>; null while the topic's configuration is not known.</summary>
    public int? MinInsyncReplicas { get; init; } = 2;
    /// <summary><c>replica.lag.time.max.ms</c>.</summary>
    public long MaxLagMs { get; init; } = 10_000;
    /// <summary><c>leader.lease.ms</c>.</summary>
    public long LeaseMs { get; init; } = 2_000;
    /// <summary>The interval of heartbeats: a follower that was sent nothing for this long gets an empty push. 0: a quarter of the lease,
    /// so that one may be lost.</summary>
    public long HeartbeatMs { get; init; }
    /// <summary>After this time without an answer, batches are resent.</summary>
    public long ResendMs { get; init; } = 500;
    /// <summary>The most unanswered pushes with batches to one follower: enough to hide the round trip, and a bound for the memory that a
    /// slow follower takes.</summary>
    public int MaxUnansweredPushes { get; init; } = 4;
    /// <summary>The interval of checks whether a catching-up follower makes progress: long enough for several of its rests.</summary>
    public long WatchCatchUpMs { get; init; } = 1_000;
    /// <summary>How long an append may wait for its replicas. Then it fails, with an unknown outcome.</summary>
    public long AppendTimeoutMs { get; init; } = 30_000;

    /// <summary>How long a leader that a reassignment removes drains before it resigns anyway.</summary>
    public long HandoverMs { get; init; } = 5_000;

    /// <summary>The effective <see cref="HeartbeatMs"/>.</summary>
    public long EffectiveHeartbeatMs => HeartbeatMs > 0 ? HeartbeatMs : Math.Max(1, LeaseMs / 4);
}
