using OrleansMq.Access;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Groups;
using OrleansMq.Replication;
using OrleansMq.Security;
using OrleansMq.Tls;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>The host that drives the engine.</summary>
internal enum Flavour
{
    /// <summary>The cluster host if this build has one, else the standalone host.</summary>
    Best = 0,
    /// <summary>One process without a cluster.</summary>
    Standalone = 1,
    /// <summary>A silo of an Orleans cluster.</summary>
    Cluster = 2,
}

/// <summary>The operator's settings, validated; those left out have their defaults.</summary>
internal sealed record BrokerSettings
{
    /// <summary>All defaults.</summary>
    public static BrokerSettings Default { get; } = new();

    /// <summary>The data directory; relative to the working directory.</summary>
    public string DataDirectory { get; init; } = "./data";
    /// <summary>The address of the HTTP API.</summary>
    public ListenAddress Http { get; init; } = new(System.Net.IPAddress.Loopback, 8080);
    /// <summary>More host names by which requests may address the HTTP API.</summary>
    public IReadOnlyList<string> HttpHosts { get; init; } = [];
    /// <summary>The address of the Kafka protocol; null to turn it off.</summary>
    public ListenAddress? Kafka { get; init; } = new(System.Net.IPAddress.Loopback, 9092);
    /// <summary>The Kafka listeners, where they have names or protocols; empty: one in clear text at <see cref="Kafka"/>.</summary>
    public IReadOnlyList<KafkaListenerSetting> KafkaListeners { get; init; } = [];
    /// <summary>The host and port that Kafka clients connect to; null for the address at which they reached the broker.</summary>
    public string? KafkaAdvertised { get; init; }
    /// <summary>Whether a missing topic is created when a Kafka client requests it.</summary>
    public bool AutoCreateTopics { get; init; } = true;
    /// <summary>The certificate of this broker for the silos and Orleans clients of its cluster; null: they connect without TLS.</summary>
    public string? ClusterTlsCertificate { get; init; }
    /// <summary>The certificate's private key; null: it is in the certificate's file.</summary>
    public string? ClusterTlsKey { get; init; }
    /// <summary>The authorities of the cluster's certificates.</summary>
    public string? ClusterTlsCa { get; init; }
    /// <summary>Whether rules of access control are enforced; null: where <see cref="SuperUsers"/> or <see cref="AdminPassword"/> is
    /// given, and where <see cref="OAuthBearerJwks"/> or <see cref="TlsClientAuth"/> names clients.</summary>
    public AuthorizationMode? Authorization { get; init; }
    /// <summary>Principals that may do everything.</summary>
    public IReadOnlyList<string> SuperUsers { get; init; } = [];
    /// <summary>The principal of all Orleans clients.</summary>
    public string OrleansPrincipal { get; init; } = BrokerSession.Anonymous;
    /// <summary>The password of the user <see cref="SecurityOptions.AdminUser"/>, who is created with it, and may do everything: never
    /// logged. Null: no such user is created.</summary>
    public string? AdminPassword { get; init; }
    /// <summary>Whether everyone may do everything with a resource that no rule is about.</summary>
    public bool AllowEveryoneIfNoAclFound { get; init; }
    /// <summary>Whether anyone may read the metrics, also where rules are enforced.</summary>
    public bool OpenMetrics { get; init; }
    /// <summary>The SASL mechanisms that Kafka clients may authenticate with.</summary>
    public IReadOnlyList<string> SaslMechanisms { get; init; } = SaslExchange.Known;
    /// <summary>Where the keys of tokens are; null: no tokens are accepted.</summary>
    public string? OAuthBearerJwks { get; init; }
    /// <summary>The issuer of tokens.</summary>
    public string? OAuthBearerIssuer { get; init; }
    /// <summary>The audiences of tokens.</summary>
    public IReadOnlyList<string> OAuthBearerAudiences { get; init; } = [];
    /// <summary>The claim of a token that names the client.</summary>
    public string OAuthBearerSubClaim { get; init; } = TokenOptions.DefaultPrincipalClaim;
    /// <summary>How long a Kafka client's authentication is good for; zero: for ever.</summary>
    public TimeSpan KafkaMaxReauthentication { get; init; }
    /// <summary>The address of AMQP; null to turn it off.</summary>
    public ListenAddress? Amqp { get; init; }
    /// <summary>The address of AMQP's management API; null to turn it off.</summary>
    public ListenAddress? AmqpManagement { get; init; }
    /// <summary>The most AMQP connections from one address; 0: without a limit.</summary>
    public int AmqpMaxConnectionsPerAddress { get; init; }
    /// <summary>The memory of AMQP's messages in bytes; 0: a part of what the process may use.</summary>
    public long AmqpMemory { get; init; }
    /// <summary>The files of the certificates for all listeners with TLS.</summary>
    public IReadOnlyList<string> TlsCertificates { get; init; } = [];
    /// <summary>The files of their private keys; empty: in the certificates' files.</summary>
    public IReadOnlyList<string> TlsKeys { get; init; } = [];
    /// <summary>The password of the private keys: never logged.</summary>
    public string? TlsPassword { get; init; }
    /// <summary>Whether clients of the listeners with TLS have certificates.</summary>
    public ClientAuthentication TlsClientAuth { get; init; }
    /// <summary>The file of the authorities that issue the certificates of clients.</summary>
    public string? TlsClientCa { get; init; }
    /// <summary>How the subject of a client's certificate becomes its name.</summary>
    public string TlsPrincipalMappingRules { get; init; } = PrincipalMapping.DefaultRules;
    /// <summary>When appended records become durable, for topics without a policy of their own.</summary>
    public FlushPolicy Flush { get; init; } = FlushPolicy.None;
    /// <summary>This broker's id.</summary>
    public int BrokerId { get; init; }
    /// <summary>The host to run.</summary>
    public Flavour Flavour { get; init; }
    /// <summary>The connection string of a replicated cluster's database, with its password: never logged. Null for a cluster of one
    /// broker, or none.</summary>
    public string? PostgreSql { get; init; }
    /// <summary>The replicated cluster's name.</summary>
    public string ClusterId { get; init; } = "orleansmq";
    /// <summary>This broker's failure domain; null if unknown.</summary>
    public string? Rack { get; init; }
    /// <summary>The name or address at which others reach this machine; null for the one it binds.</summary>
    public string? AdvertisedHost { get; init; }
    /// <summary>In a cluster, where other silos reach this one. Null for 11111, or a free port if that is taken; 0 for a free
    /// port.</summary>
    public ListenPort? OrleansPort { get; init; }
    /// <summary>In a cluster, where Orleans clients reach this silo. Null for 30000, or a free port if that is taken; 0 for a free
    /// port.</summary>
    public ListenPort? GatewayPort { get; init; }
    /// <summary>The replication factor of a topic that is created without one. 0: three, or the number of brokers if that is
    /// less.</summary>
    public int ReplicationFactor { get; init; }
    /// <summary>How long a replica may be unreachable or behind before it leaves the ISR.</summary>
    public TimeSpan ReplicaLagTimeMax { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>The most bytes per second that this broker sends to catching-up replicas; 0 for no limit.</summary>
    public long ReplicaCatchUpMaxBytesPerSecond { get; init; }
    /// <summary>The most of the broker's time, in percent, that goes to catching-up replicas while records are appended on it.</summary>
    public int ReplicaCatchUpLiveShare { get; init; } = ReplicationOptions.DefaultCatchUpLiveShare;
    /// <summary>How long an acknowledgement proves leadership.</summary>
    public TimeSpan LeaderLease { get; init; } = TimeSpan.FromSeconds(2);
    /// <summary>Whether a new broker automatically gets its share of partitions.</summary>
    public bool AutoRebalance { get; init; }
    /// <summary>Whether leadership automatically returns to preferred replicas.</summary>
    public bool AutoLeaderRebalance { get; init; } = true;
    /// <summary>How long the start waits for the database and the other brokers.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(2);
    /// <summary>The number of threads for small produce requests of Kafka clients; 0 for the thread pool.</summary>
    public int KafkaLoops { get; init; } = KafkaGatewayOptions.DefaultLoops;
    /// <summary>The most Kafka connections from one address; 0 for no limit.</summary>
    public int KafkaMaxConnectionsPerAddress { get; init; }
    /// <summary>The most bytes of Kafka requests in flight on all connections.</summary>
    public long KafkaMaxInFlightBytes { get; init; } = KafkaGatewayOptions.DefaultMaxInFlightBytes;
    /// <summary>The number of partitions of a topic that is created without one.</summary>
    public int Partitions { get; init; } = 1;
    /// <summary>The free bytes of the volume below which appends are refused.</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
    /// <summary>The most connections of the HTTP API; 0: its share of the files that the process may open.</summary>
    public int HttpMaxConnections { get; init; }
    /// <summary>The most segment and index files kept open.</summary>
    public int MaxOpenFiles { get; init; } = 4096;
    /// <summary>The number of threads that write and flush.</summary>
    public int AppendThreads { get; init; } = 16;
    /// <summary>The most queues of a partition.</summary>
    public int MaxQueuesPerPartition { get; init; } = 1_000;
    /// <summary>The most message ids that all partitions remember.</summary>
    public int MaxMessageIds { get; init; } = 5_000_000;
    /// <summary>About the most groups of the cluster.</summary>
    public int MaxGroups { get; init; } = 100_000;
    /// <summary>Whether the records of compressed batches are checked when they are appended.</summary>
    public bool VerifyCompressed { get; init; }
    /// <summary>Whether the CRC of batches is checked when they are read from disk.</summary>
    public bool VerifyOnRead { get; init; } = true;
    /// <summary>How often retention and rolling by age are checked.</summary>
    public TimeSpan RetentionCheckInterval { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>How often recovery points are written.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromMinutes(1);
    /// <summary>How often compaction looks for work.</summary>
    public TimeSpan CompactionCheckInterval { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>How long after its last batch a producer id expires.</summary>
    public TimeSpan ProducerIdExpiration { get; init; } = TimeSpan.FromDays(1);
    /// <summary>Consumer protocol: how long after its last heartbeat a member leaves its group.</summary>
    public TimeSpan GroupConsumerSessionTimeout { get; init; } = TimeSpan.FromSeconds(45);
    /// <summary>Consumer protocol: the interval between a member's heartbeats.</summary>
    public TimeSpan GroupConsumerHeartbeatInterval { get; init; } = TimeSpan.FromSeconds(5);
    /// <summary>Classic protocol: how long the first generation of a group waits for more members, after each that joins.</summary>
    public TimeSpan GroupInitialRebalanceDelay { get; init; }
    /// <summary>How long requests in flight may take to complete when the broker stops.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>The lowest level that is logged.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;
    /// <summary>Default topic configuration, which overrides <see cref="Flush"/>.</summary>
    public IReadOnlyDictionary<string, string> TopicDefaults { get; init; } = new Dictionary<string, string>();

    /// <summary>Omits the values, since one of them may be a password.</summary>
    public override string ToString() => nameof(BrokerSettings);

    /// <summary>Whether a listener has TLS.</summary>
    public bool UsesTls => Http.IsSecure || Amqp is { IsSecure: true } || AmqpManagement is { IsSecure: true }
        || KafkaListeners.Any(static listener => listener.Protocol.UsesTls());

    /// <summary>The certificates of the listeners with TLS; null where none has.</summary>
    public TlsOptions? ToTls() => !UsesTls ? null : new TlsOptions
    {
        Certificates = [.. TlsCertificates.Select((file, index) =>
            new TlsCertificate(file) { KeyFile = TlsKeys.ElementAtOrDefault(index), Password = TlsPassword })],
        ClientAuthentication = TlsClientAuth,
        ClientAuthorities = TlsClientCa,
        PrincipalMappingRules = TlsPrincipalMappingRules,
    };

    /// <summary>Which tokens name a client; null where none are accepted.</summary>
    public TokenOptions? ToTokens() => OAuthBearerJwks is not { } keys ? null : new TokenOptions
    {
        Keys = keys,
        Issuer = OAuthBearerIssuer!,
        Audiences = OAuthBearerAudiences,
        PrincipalClaim = OAuthBearerSubClaim,
    };

    private SecurityOptions ToSecurity()
    {
        var security = new SecurityOptions
        {
            SuperUsers = [.. SuperUsers],
            AdminPassword = AdminPassword,
            AllowEveryoneIfNoAclFound = AllowEveryoneIfNoAclFound,
            SaslMechanisms = [.. SaslMechanisms],
            OrleansPrincipal = OrleansPrincipal,
            HasClientCertificates = TlsClientAuth != ClientAuthentication.None,
        };
        return Authorization is { } mode ? security with { Authorization = mode } : security;
    }

    /// <summary>Converts the settings to the engine's options.</summary>
    public BrokerOptions ToOptions(EngineLog log, TimeProvider timeProvider) => new()
    {
        DataDirectory = Path.GetFullPath(DataDirectory),
        BrokerId = new BrokerId(BrokerId),
        TimeProvider = timeProvider,
        Log = log,
        Codecs = StandardCodecs.All,
        Security = ToSecurity(),
        TopicDefaults = TopicConfigRules.Parse(TopicDefaults, TopicConfig.DefaultFor(Flush)).Next,
        DefaultPartitions = Partitions,
        MinFreeBytes = MinFreeBytes,
        MaxOpenFiles = MaxOpenFiles,
        AppendThreads = AppendThreads,
        MaxQueuesPerPartition = MaxQueuesPerPartition,
        MaxMessageIds = MaxMessageIds,
        VerifyCompressed = VerifyCompressed,
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
            MaxGroups = MaxGroups,
        },
    };
}
