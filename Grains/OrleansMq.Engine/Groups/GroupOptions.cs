namespace OrleansMq.Groups;

/// <summary>The coordinator's limits and times; each stands beside the name of Kafka's setting that it is.</summary>
public sealed record GroupOptions
{
    /// <summary>The shortest session of a classic member: 6 s, <c>group.min.session.timeout.ms</c>.</summary>
    public TimeSpan MinSessionTimeout { get; init; } = TimeSpan.FromSeconds(6);
    /// <summary>The longest: 30 minutes, <c>group.max.session.timeout.ms</c>.</summary>
    public TimeSpan MaxSessionTimeout { get; init; } = TimeSpan.FromMinutes(30);
    /// <summary>How long a first generation waits for more members after each that joins: 3 s in Kafka,
    /// <c>group.initial.rebalance.delay.ms</c>. Zero by default: the first member reads at once, and who comes later costs a rebalance that
    /// moves little.</summary>
    public TimeSpan InitialRebalanceDelay { get; init; } = TimeSpan.Zero;
    /// <summary>Members of a group at most: 10,000, <c>group.max.size</c>. A bound, so that a client that joins under ever new ids cannot
    /// exhaust memory.</summary>
    public int MaxSize { get; init; } = 10_000;
    /// <summary>Bytes of a committed offset's metadata at most: 4,096, <c>offset.metadata.max.bytes</c>.</summary>
    public int MaxOffsetMetadataBytes { get; init; } = 4096;
    /// <summary>How often a member of the consumer protocol says that it is alive: 5 s,
    /// <c>group.consumer.heartbeat.interval.ms</c>.</summary>
    public TimeSpan ConsumerHeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Without a word for so long it is out: 45 s, <c>group.consumer.session.timeout.ms</c>.</summary>
    public TimeSpan ConsumerSessionTimeout { get; init; } = TimeSpan.FromSeconds(45);
    /// <summary>How long offsets of a group without members are kept: for ever by default (Kafka: 7 days,
    /// <c>offsets.retention.minutes</c>), since a consumer that was away for a fortnight is not to lose its place. Null: never
    /// expired.</summary>
    public TimeSpan? OffsetsRetention { get; init; }
}
