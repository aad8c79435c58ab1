using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Groups;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>Which host drives the engine.</summary>
internal enum Flavour
{
    /// <summary>The cluster host where this build has one, else the standalone host.</summary>
    Best = 0,
    /// <summary>One process without a cluster.</summary>
    Standalone = 1,
    /// <summary>A silo of an Orleans cluster.</summary>
    Cluster = 2,
}

/// <summary>What the operator configured, checked; what was left out has its default.</summary>
internal sealed record BrokerSettings
{
    /// <summary>All defaults.</summary>
    public static BrokerSettings Default { get; } = new();

    /// <summary>Where the data lives; relative to the working directory.</summary>
    public string DataDirectory { get; init; } = "./data";
    /// <summary>Where the HTTP API listens.</summary>
    public ListenAddress Http { get; init; } = new(System.Net.IPAddress.Loopback, 8080);
    /// <summary>Where the Kafka protocol is served; null: nowhere.</summary>
    public ListenAddress? Kafka { get; init; } = new(System.Net.IPAddress.Loopback, 9092);
    /// <summary>Host and port that Kafka clients are told to dial; null: follows from how they reach the broker.</summary>
    public string? KafkaAdvertised { get; init; }
    /// <summary>Whether a topic that a Kafka client asks for is created where it does not exist.</summary>
    public bool AutoCreateTopics { get; init; } = true;
    /// <summary>When appended bytes are made durable, for topics that say nothing else.</summary>
    public FlushPolicy Flush { get; init; } = FlushPolicy.None;
    /// <summary>This broker's number.</summary>
    public int BrokerId { get; init; }
    /// <summary>Which host to run.</summary>
    public Flavour Flavour { get; init; }
    /// <summary>How to connect to the database of a replicated cluster, with its password: never logged. Null: a cluster of one broker, or
    /// none.</summary>
    public string? PostgreSql { get; init; }
    /// <summary>The replicated cluster's name.</summary>
    public string ClusterId { get; init; } = "orleansmq";
    /// <summary>What fails together with this broker; null: unknown.</summary>
    public string? Rack { get; init; }
    /// <summary>Where others reach this machine: a name or an address; null: where it binds.</summary>
    public string? AdvertisedHost { get; init; }
    /// <summary>In a cluster: where other silos reach this one; null for 11111, or a free port where that is taken. 0: a free
    /// port.</summary>
    public ListenPort? OrleansPort { get; init; }
    /// <summary>In a cluster: where Orleans clients reach this silo; null for 30000, or a free port where that is taken. 0: a free
    /// port.</summary>
    public ListenPort? GatewayPort { get; init; }
    /// <summary>Replicas of a topic that is created without a number; 0: three, or as many as there are brokers.</summary>
    public int ReplicationFactor { get; init; }
    /// <summary>How long a replica may be unreachable or behind before it leaves the ISR.</summary>
    public TimeSpan ReplicaLagTimeMax { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>Bytes a second that this broker sends to replicas that catch up; 0 for no limit.</summary>
    public long ReplicaCatchUpMaxBytesPerSecond { get; init; }
    /// <summary>Percent of its time that the broker spends on replicas that catch up, at most, while records are appended on it.</summary>
    public int ReplicaCatchUpLiveShare { get; init; } = ReplicationOptions.DefaultCatchUpLiveShare;
    /// <summary>For how long an acknowledgement proves leadership.</summary>
    public TimeSpan LeaderLease { get; init; } = TimeSpan.FromSeconds(2);
    /// <summary>Whether a new broker gets its share of partitions without being asked.</summary>
    public bool AutoRebalance { get; init; }
    /// <summary>Whether leaderships go back to the preferred replica by themselves.</summary>
    public bool AutoLeaderRebalance { get; init; } = true;
    /// <summary>How long the start waits for the database and the other brokers.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(2);
    /// <summary>Threads that serve small produce requests of Kafka clients; 0: the thread pool does.</summary>
    public int KafkaLoops { get; init; } = KafkaGatewayOptions.DefaultLoops;
    /// <summary>Partitions of a topic created without a number.</summary>
    public int Partitions { get; init; } = 1;
    /// <summary>Appends are refused when the volume has fewer free bytes.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
    /// <summary>Open segment and index files at most.</summary>
    public int MaxOpenFiles { get; init; } = 4096;
    /// <summary>Threads that write and flush.</summary>
    public int AppendThreads { get; init; } = 16;
    /// <summary>Whether the CRC of batches is checked as they are read from disk.</summary>
    public bool VerifyOnRead { get; init; } = true;
    /// <summary>How often retention and rolling by age are looked at.</summary>
    public TimeSpan RetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>How often recovery points are written.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromMinutes(1);
    /// <summary>How often compaction looks for something to clean.</summary>
    public TimeSpan CompactionCheckInterval { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>After how long without a batch a producer id is forgotten.</summary>
    public TimeSpan ProducerIdExpiration { get; init; } = TimeSpan.FromDays(1);
    /// <summary>Consumer protocol: after how long without a heartbeat a member is out of its group.</summary>
    public TimeSpan GroupConsumerSessionTimeout { get; init; } = TimeSpan.FromSeconds(45);
    /// <summary>Consumer protocol: how often a member says that it is alive.</summary>
    public TimeSpan GroupConsumerHeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Classic protocol: how long the first generation of a group waits for more members, after each that joins.</summary>
    public TimeSpan GroupInitialRebalanceDelay { get; init; }
    /// <summary>How long requests in flight may take to end when the broker stops.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>The least that is logged.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;
    /// <summary>Topic configuration for topics that say nothing else, on top of what <see cref="Flush"/> stands for.</summary>
    public IReadOnlyDictionary<string, string> TopicDefaults { get; init; } = new Dictionary<string, string>();

    /// <summary>Says nothing of the values: one of them may be a password.</summary>
    public override string ToString() => nameof(BrokerSettings);

    /// <summary>What the engine is given.</summary>
    public BrokerOptions ToOptions(EngineLog log, TimeProvider timeProvider) => new()
    {
        DataDirectory = Path.GetFullPath(DataDirectory),
        BrokerId = new BrokerId(BrokerId),
        TimeProvider = timeProvider,
        Log = log,
        Codecs = StandardCodecs.All,
        TopicDefaults = TopicConfigRules.Parse(TopicDefaults, TopicConfig.DefaultFor(Flush)).Next,
        DefaultPartitions = Partitions,
        MinFreeBytes = MinFreeBytes,
        MaxOpenFiles = MaxOpenFiles,
        AppendThreads = AppendThreads,
        VerifyOnRead = VerifyOnRead,
        RetentionCheckInterval = RetentionCheckInterval,
        CheckpointInterval = CheckpointInterval,
        CompactionCheckInterval = CompactionCheckInterval,
        ProducerIdExpiration = ProducerIdExpiration,
        Groups = new GroupOptions
        {
            ConsumerSessionTimeout = GroupConsumerSessionTimeout,
            ConsumerHeartbeatInterval = GroupConsumerHeartbeatInterval,
            InitialRebalanceDelay = GroupInitialRebalanceDelay,
        },
    };
}
