namespace OrleansMq.Topics;

/// <summary>When appended bytes are made durable.</summary>
public enum FlushPolicy
{
    /// <summary>When the operating system chooses: survives a crash of the process, but not of the machine.</summary>
    None = 0,
    /// <summary>In the background, every <see cref="TopicConfig.FlushMs"/> or <see cref="TopicConfig.FlushMessages"/>.</summary>
    Interval = 1,
    /// <summary>Before any acknowledgement (<c>flush.messages=1</c>).</summary>
    Sync = 2,
}

/// <summary>The source of a record's timestamp.</summary>
public enum TimestampType
{
    /// <summary>The producer's time.</summary>
    CreateTime = 0,
    /// <summary>The broker's time of the append.</summary>
    LogAppendTime = 1,
}

/// <summary>
/// A topic's parsed configuration, with Kafka's names, defaults and units. Times are in milliseconds, sizes in bytes. -1 and
/// <see cref="long.MaxValue"/> mean "no limit" where they do in Kafka.
/// </summary>
public sealed record TopicConfig
{
    /// <summary>All defaults.</summary>
    public static TopicConfig Default { get; } = new();

    /// <summary><c>cleanup.policy</c> contains <c>delete</c>.</summary>
    public bool CleanupDelete { get; init; } = true;
    /// <summary><c>cleanup.policy</c> contains <c>compact</c>.</summary>
    public bool CleanupCompact { get; init; }
    /// <summary><c>retention.ms</c>: 7 days; -1 for no limit.</summary>
    public long RetentionMs { get; init; } = 604_800_000;
    /// <summary><c>retention.bytes</c>: -1 for no limit.</summary>
    public long RetentionBytes { get; init; } = -1;
    /// <summary><c>retention.records</c>: -1 for no limit.</summary>
    public long RetentionRecords { get; init; } = -1;
    /// <summary><c>retention.until.settled</c>: see <see cref="TopicConfigKeys"/>.</summary>
    public bool RetentionUntilSettled { get; init; }
    /// <summary><c>segment.bytes</c>: 1 GiB; at least 14 (Kafka's minimum; 1 MiB from 4.x on, which is not enforced here).</summary>
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
    /// <summary><c>dedupe.window.ms</c>: 0 for none.</summary>
    public long DedupeWindowMs { get; init; }
    /// <summary><c>dedupe.max.ids</c>: 100,000.</summary>
    public int DedupeMaxIds { get; init; } = 100_000;
    /// <summary><c>compression.type</c>: null for <c>producer</c>, otherwise the codec in which every batch is stored.</summary>
    public CompressionType? CompressionType { get; init; }
    /// <summary><c>min.insync.replicas</c>.</summary>
    public int MinInsyncReplicas { get; init; } = 1;
    /// <summary><c>unclean.leader.election.enable</c>.</summary>
    public bool UncleanLeaderElection { get; init; }
    /// <summary><c>delete.retention.ms</c>: how long a tombstone is kept after compaction, 1 day.</summary>
    public long DeleteRetentionMs { get; init; } = 86_400_000;
    /// <summary><c>min.compaction.lag.ms</c>.</summary>
    public long MinCompactionLagMs { get; init; }
    /// <summary><c>max.compaction.lag.ms</c>.</summary>
    public long MaxCompactionLagMs { get; init; } = long.MaxValue;
    /// <summary><c>min.cleanable.dirty.ratio</c>.</summary>
    public double MinCleanableDirtyRatio { get; init; } = 0.5;
    /// <summary><c>file.delete.delay.ms</c>: 1 minute.</summary>
    public long FileDeleteDelayMs { get; init; } = 60_000;

    /// <summary>The flush policy that results from <see cref="FlushMessages"/> and <see cref="FlushMs"/>.</summary>
    public FlushPolicy FlushPolicy => FlushMessages == 1 ? FlushPolicy.Sync
        : FlushMessages == long.MaxValue && FlushMs == long.MaxValue ? FlushPolicy.None : FlushPolicy.Interval;

    /// <summary>Returns this configuration as the default for topics with a replication factor. With three or more replicas
    /// <c>min.insync.replicas</c> is at least 2, so that a record acknowledged by all in-sync replicas survives the loss of a
    /// broker.</summary>
    public TopicConfig ForReplicas(int replicationFactor) =>
        replicationFactor >= 3 && MinInsyncReplicas < 2 ? this with { MinInsyncReplicas = 2 } : this;

    /// <summary>Returns the default configuration for a value of <c>--flush</c>.</summary>
    public static TopicConfig DefaultFor(FlushPolicy policy) => policy switch
    {
        FlushPolicy.Sync => Default with { FlushMessages = 1 },
        FlushPolicy.Interval => Default with { FlushMs = 1000 },
        _ => Default,
    };
}
