namespace OrleansMq.Topics;

/// <summary>When appended bytes are made durable.</summary>
public enum FlushPolicy
{
    /// <summary>When the operating system likes: survives the death of the process, not that of the machine.</summary>
    None = 0,
    /// <summary>Every <see cref="TopicConfig.FlushMs"/> or <see cref="TopicConfig.FlushMessages"/>, in the background.</summary>
    Interval = 1,
    /// <summary>Before anything is acknowledged (<c>flush.messages=1</c>).</summary>
    Sync = 2,
}

/// <summary>Whose time a record's timestamp is.</summary>
public enum TimestampType
{
    /// <summary>The producer's.</summary>
    CreateTime = 0,
    /// <summary>The broker's, when it appends.</summary>
    LogAppendTime = 1,
}

/// <summary>
/// A topic's configuration, parsed: Kafka's names, defaults and units. Times are in milliseconds, sizes in bytes; -1 and
/// <see cref="long.MaxValue"/> mean "no limit" where Kafka says so.
/// </summary>
public sealed record TopicConfig
{
    /// <summary>All defaults.</summary>
    public static TopicConfig Default { get; } = new();

    /// <summary><c>cleanup.policy</c> contains <c>delete</c>.</summary>
    public bool CleanupDelete { get; init; } = true;
    /// <summary><c>cleanup.policy</c> contains <c>compact</c>.</summary>
    public bool CleanupCompact { get; init; }
    /// <summary><c>retention.ms</c>: 7 days; -1 for ever.</summary>
    public long RetentionMs { get; init; } = 604_800_000;
    /// <summary><c>retention.bytes</c>: -1 without limit.</summary>
    public long RetentionBytes { get; init; } = -1;
    /// <summary><c>segment.bytes</c>: 1 GiB; at least 14 (Kafka's minimum; 1 MiB from 4.x on, which we do not enforce).</summary>
    public int SegmentBytes { get; init; } = 1 << 30;
    /// <summary><c>segment.ms</c>: 7 days.</summary>
    public long SegmentMs { get; init; } = 604_800_000;
    /// <summary><c>segment.jitter.ms</c>: 0.</summary>
    public long SegmentJitterMs { get; init; }
    /// <summary><c>segment.index.bytes</c>: 10 MiB.</summary>
    public int SegmentIndexBytes { get; init; } = 10 << 20;
    /// <summary><c>index.interval.bytes</c>: 4,096.</summary>
    public int IndexIntervalBytes { get; init; } = 4096;
    /// <summary><c>flush.messages</c>: no limit; 1 is the policy <c>sync</c>.</summary>
    public long FlushMessages { get; init; } = long.MaxValue;
    /// <summary><c>flush.ms</c>: no limit.</summary>
    public long FlushMs { get; init; } = long.MaxValue;
    /// <summary><c>max.message.bytes</c>: the largest batch, 1,048,588.</summary>
    public int MaxMessageBytes { get; init; } = 1_048_588;
    /// <summary><c>message.timestamp.type</c>.</summary>
    public TimestampType TimestampType { get; init; }
    /// <summary><c>message.timestamp.before.max.ms</c>: no limit.</summary>
    public long TimestampBeforeMaxMs { get; init; } = long.MaxValue;
    /// <summary><c>message.timestamp.after.max.ms</c>: 1 hour.</summary>
    public long TimestampAfterMaxMs { get; init; } = 3_600_000;
    /// <summary><c>compression.type</c>: null for <c>producer</c>, else the codec every batch is stored in.</summary>
    public Records.CompressionType? CompressionType { get; init; }
    /// <summary><c>min.insync.replicas</c>.</summary>
    public int MinInsyncReplicas { get; init; } = 1;
    /// <summary><c>unclean.leader.election.enable</c>.</summary>
    public bool UncleanLeaderElection { get; init; }
    /// <summary><c>delete.retention.ms</c>: how long a compacted tombstone stays, 1 day.</summary>
    public long DeleteRetentionMs { get; init; } = 86_400_000;
    /// <summary><c>min.compaction.lag.ms</c>.</summary>
    public long MinCompactionLagMs { get; init; }
    /// <summary><c>max.compaction.lag.ms</c>.</summary>
    public long MaxCompactionLagMs { get; init; } = long.MaxValue;
    /// <summary><c>min.cleanable.dirty.ratio</c>.</summary>
    public double MinCleanableDirtyRatio { get; init; } = 0.5;
    /// <summary><c>file.delete.delay.ms</c>: 1 minute.</summary>
    public long FileDeleteDelayMs { get; init; } = 60_000;

    /// <summary>The flush policy that <see cref="FlushMessages"/> and <see cref="FlushMs"/> amount to.</summary>
    public FlushPolicy FlushPolicy => FlushMessages == 1 ? FlushPolicy.Sync
        : FlushMessages == long.MaxValue && FlushMs == long.MaxValue ? FlushPolicy.None : FlushPolicy.Interval;

    /// <summary>This configuration as the default of topics with so many replicas: with three or more, <c>min.insync.replicas</c> is 2
    /// unless the default says more, so that a record that is acknowledged by all outlives a broker.</summary>
    public TopicConfig ForReplicas(int replicationFactor) =>
        replicationFactor >= 3 && MinInsyncReplicas < 2 ? this with { MinInsyncReplicas = 2 } : this;

    /// <summary>This configuration with the defaults that <c>--flush</c> stands for.</summary>
    public static TopicConfig DefaultFor(FlushPolicy policy) => policy switch
    {
        FlushPolicy.Sync => Default with { FlushMessages = 1 },
        FlushPolicy.Interval => Default with { FlushMs = 1000 },
        _ => Default,
    };
}
