namespace OrleansMq.Groups;

/// <summary>The coordinator's limits and timeouts, each with the name of the corresponding Kafka setting.</summary>
public sealed record GroupOptions
{
    /// <summary>The minimum session timeout of a classic member, above zero: 6 s, <c>group.min.session.timeout.ms</c>.</summary>
    public TimeSpan MinSessionTimeout { get; init; } = TimeSpan.FromSeconds(6);
    /// <summary>The maximum session timeout of a classic member, not below the minimum: 30 minutes,
    /// <c>group.max.session.timeout.ms</c>.</summary>
    public TimeSpan MaxSessionTimeout { get; init; } = TimeSpan.FromMinutes(30);
    /// <summary>How long a first generation waits for more members after each join: 3 s in Kafka, <c>group.initial.rebalance.delay.ms</c>.
    /// Zero by default: the first member reads at once, and later ones cause a rebalance that moves few partitions.</summary>
    public TimeSpan InitialRebalanceDelay { get; init; } = TimeSpan.Zero;
    /// <summary>The maximum number of members, 1 or more: 10,000, <c>group.max.size</c>. Bounds the memory that a client can use by joining
    /// with ever new ids.</summary>
    public int MaxSize { get; init; } = 10_000;
    /// <summary>The maximum size of a committed offset's metadata in bytes, 0 or more: 4,096, <c>offset.metadata.max.bytes</c>.</summary>
    public int MaxOffsetMetadataBytes { get; init; } = 4096;
    /// <summary>The heartbeat interval of the consumer protocol, above zero: 5 s, <c>group.consumer.heartbeat.interval.ms</c>.</summary>
    public TimeSpan ConsumerHeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>The session timeout of the consumer protocol, above the heartbeat interval: 45 s,
    /// <c>group.consumer.session.timeout.ms</c>.</summary>
    public TimeSpan ConsumerSessionTimeout { get; init; } = TimeSpan.FromSeconds(45);
    /// <summary>The maximum number of members of a share group, 1 or more: 200, <c>group.share.max.size</c>.</summary>
    public int ShareMaxSize { get; init; } = 200;
    /// <summary>The most groups of a cluster, about, 1 to 10,000,000: 100,000. It counts every id that has members, offsets or a
    /// configuration, also those of groups that stay without members. A group beyond is refused with
    /// <see cref="ErrorCode.PolicyViolation"/>.</summary>
    public int MaxGroups { get; init; } = 100_000;
    /// <summary>The most transactions that may have offsets pending in a group at a time, 1 or more: 5,000. Each commit writes them all. An
    /// offset of another transaction is refused with <see cref="ErrorCode.CoordinatorLoadInProgress"/>, which clients retry.</summary>
    public int MaxPendingTransactions { get; init; } = 5_000;
    /// <summary>How long a member whose long poll broke off, as it does when the process or its connection dies, has to be heard of again
    /// before it is removed: 5 s, zero or more, and never more than its session timeout. A member that lives polls again at once.</summary>
    public TimeSpan BrokenPollGrace { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>How long offsets of a group without members are kept: forever by default (null), so that a consumer can resume after weeks.
    /// Kafka's default is 7 days, <c>offsets.retention.minutes</c>.</summary>
    public TimeSpan? OffsetsRetention { get; init; }
}
