using System.Globalization;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>Everything an operator can set: the one table that flags, environment, file, help and error messages are made from.</summary>
internal static class Settings
{
    /// <summary>The key of the object with topic defaults, which only the file has.</summary>
    public const string TopicDefaultsKey = "topicDefaults";

    /// <summary>All of them, in the order the help shows.</summary>
    public static IReadOnlyList<Setting> All { get; } =
    [
        new("data", "DIR", "the path of a directory", "The data directory, created where it does not exist. Default: ./data.",
            (s, text) => text.Length == 0 ? null : s with { DataDirectory = text }),
        new("http", "[HOST:]PORT", ListenAddress.Expected, "Where the HTTP API listens; port 0 takes a free one. Default: 127.0.0.1:8080.",
            (s, text) => ListenAddress.TryParse(text, out var address) ? s with { Http = address } : null),
        new("kafka", "[HOST:]PORT|off", "off, or " + ListenAddress.Expected,
            "Where the Kafka protocol is served; port 0 takes a free one, off serves it nowhere. Default: 127.0.0.1:9092.",
            (s, text) => text == "off" ? s with { Kafka = null } : ListenAddress.TryParse(text, out var address)
            ? s with { Kafka = address } : null),
        new("kafkaAdvertised", "HOST:PORT", "a host name or an IP address and a port from 1 to 65535, such as kafka.example.com:9092",
            "Where Kafka clients are told to reach this broker. Default: the address they dialled; in a replicated cluster the advertised "
            + "host and the listener's port.",
            (s, text) => Gateways.Kafka.KafkaAddress.TryParse(text, out var host, out _) && IsHost(host) ? s with { KafkaAdvertised = text }
            : null),
        new("autoCreateTopics", "true|false", "true or false",
            "Create a topic that a Kafka client asks for and that does not exist. Default: true.",
            (s, text) => bool.TryParse(text, out var create) ? s with { AutoCreateTopics = create } : null),
        new("kafkaLoops", "N", "a whole number from 0 to 256",
            "Threads that serve small produce requests of Kafka clients, each those of many connections together (Linux); connections "
            + "whose requests are 4 KB or less share half of them; 0 leaves all to the thread pool. Default: as many as there are "
            + "processors.",
            (s, text) => TryNumber(text, 0, 256, out var n) ? s with { KafkaLoops = (int)n } : null),
        new("flush", "none|interval|sync", "none, interval or sync",
            "When records are made durable, for topics that say nothing else: none leaves it to the operating system, interval flushes "
            + "every second, sync before anything is acknowledged. Default: none.",
            (s, text) => TryChoose<FlushPolicy>(text, out var flush) ? s with { Flush = flush } : null),
        new("brokerId", "N", "a whole number from 0", "This broker's number. Default: 0.",
            (s, text) => TryNumber(text, 0, int.MaxValue, out var n) ? s with { BrokerId = (int)n } : null),
        new("partitions", "N", "a whole number from 1 to 10000", "Partitions of a topic that is created without a number. Default: 1.",
            (s, text) => TryNumber(text, 1, 10_000, out var n) ? s with { Partitions = (int)n } : null),
        new("minFreeBytes", "N", "a whole number of bytes from 0",
            "Appends are refused when the volume has fewer free bytes. Default: 268435456.",
            (s, text) => TryNumber(text, 0, long.MaxValue, out var n) ? s with { MinFreeBytes = n } : null),
        new("maxOpenFiles", "N", "a whole number from 16 to 1000000", "Segment and index files kept open at most. Default: 4096.",
            (s, text) => TryNumber(text, 16, 1_000_000, out var n) ? s with { MaxOpenFiles = (int)n } : null),
        new("appendThreads", "N", "a whole number from 1 to 256", "Threads that write and flush. Default: 16.",
            (s, text) => TryNumber(text, 1, 256, out var n) ? s with { AppendThreads = (int)n } : null),
        new("verifyOnRead", "true|false", "true or false", "Check the CRC of batches as they are read from disk; what this process wrote "
        + "or has checked is not checked again while it stays in the page cache. Default: true.",
            (s, text) => bool.TryParse(text, out var verify) ? s with { VerifyOnRead = verify } : null),
        new("retentionCheckMs", "MS", Milliseconds, "How often retention and rolling by age are looked at. Default: 300000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { RetentionCheckInterval = interval } : null),
        new("checkpointMs", "MS", Milliseconds,
            "How often recovery points are written: bounds what a restart after a crash reads. Default: 60000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { CheckpointInterval = interval } : null),
        new("compactionCheckMs", "MS", Milliseconds, "How often compaction looks for something to clean. Default: 15000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { CompactionCheckInterval = interval } : null),
        new("producerIdExpirationMs", "MS", Milliseconds, "After how long without a batch a producer id is forgotten. Default: 86400000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { ProducerIdExpiration = interval } : null),
        new("groupConsumerSessionTimeoutMs", "MS", Milliseconds,
            "Consumer protocol: after how long without a heartbeat a member is out of its group; above the heartbeat interval. Default: "
            + "45000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { GroupConsumerSessionTimeout = interval } : null),
        new("groupConsumerHeartbeatIntervalMs", "MS", Milliseconds,
            "Consumer protocol: how often a member says that it is alive. Default: 5000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { GroupConsumerHeartbeatInterval = interval } : null),
        new("groupInitialRebalanceDelayMs", "MS", "a whole number of milliseconds from 0 to 2147483647",
            "Classic protocol: how long the first generation of a group waits for more members, after each that joins; 0 lets the first "
            + "one read at once. Default: 0.",
            (s, text) => TryInterval(text, 0, out var delay) ? s with { GroupInitialRebalanceDelay = delay } : null),
        new("drainTimeoutMs", "MS", "a whole number of milliseconds from 0 to 2147483647",
            "How long requests in flight may take to end when the broker stops. Default: 10000.",
            (s, text) => TryInterval(text, 0, out var timeout) ? s with { DrainTimeout = timeout } : null),
        new("logLevel", "LEVEL", "trace, debug, information, warning, error, critical or none",
            "The least that is logged, to standard error. Default: information.",
            (s, text) => TryChoose<LogLevel>(text, out var level) ? s with { LogLevel = level } : null),
        new("flavour", "best|standalone|cluster", "best, standalone or cluster",
            "Which host to run; best is the cluster host where this build has one. Default: best.",
            (s, text) => TryChoose<Flavour>(text, out var flavour) ? s with { Flavour = flavour } : null),
        new("clusterId", "NAME", ClusterNames,
            "In a replicated cluster: its name, the same for all its brokers; a database may hold several. Default: orleansmq.",
            (s, text) => IsName(text, 64) ? s with { ClusterId = text } : null),
        new("postgres", "CONNECTION", "a connection string as Npgsql writes it, such as \"Host=db;Database=omq;Username=omq;Password=...\"",
            "Makes this broker a member of a replicated cluster: the database in which its brokers find each other. The environment or the "
            + "file keeps a password out of the process list. Default: none, a cluster of one broker.",
            (s, text) => IsConnectionString(text) ? s with { PostgreSql = text } : null, IsSecret: true),
        new("rack", "NAME", Names,
            "In a replicated cluster: what fails together with this broker; replicas are spread over racks. Default: none.",
            (s, text) => IsName(text, 255) ? s with { Rack = text } : null),
        new("advertised", "HOST", "a host name or an IP address that others reach this machine by, not a wildcard",
            "In a replicated cluster: where other brokers and clients reach this one. Default: 127.0.0.1, or the address that "
            + "--orleans-port binds.",
            (s, text) => IsHost(text) ? s with { AdvertisedHost = text } : null),
        new("orleansPort", "[HOST:]PORT", ListenAddress.Expected,
            "In a cluster: where other brokers reach this one; port 0 takes a free one. Default: 11111, or a free one where that is taken, "
            + "on the advertised address.",
            (s, text) => ListenPort.TryParse(text, out var port) ? s with { OrleansPort = port } : null),
        new("gatewayPort", "[HOST:]PORT", ListenAddress.Expected,
            "In a cluster: where Orleans clients reach this broker; port 0 takes a free one. Default: 30000, or a free one where that is "
            + "taken, on the advertised address.",
            (s, text) => ListenPort.TryParse(text, out var port) ? s with { GatewayPort = port } : null),
        new("replicationFactor", "N|auto", "auto, or a whole number from 1 to 32",
            "In a replicated cluster: how many replicas the partitions of a topic have that is created without a number; auto is 3, or as "
            + "many as there are brokers. Default: auto.",
            (s, text) => text == "auto" ? s with { ReplicationFactor = 0 } : TryNumber(text, 1, 32, out var n)
            ? s with { ReplicationFactor = (int)n } : null),
        new("replicaLagTimeMaxMs", "MS", Milliseconds,
            "In a replicated cluster: how long a replica may be unreachable or behind before the others go on without it. Default: 10000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { ReplicaLagTimeMax = interval } : null),
        new("replicaCatchUpMaxBytesPerSecond", "BYTES", "a whole number of bytes, 0 for no limit",
            "In a replicated cluster: how fast this broker sends to replicas that catch up, all together; those in sync, and those that "
            + "appends wait for, are not slowed down. Default: 0, no limit.",
            (s, text) => TryNumber(text, 0, long.MaxValue, out var bytes) ? s with { ReplicaCatchUpMaxBytesPerSecond = bytes } : null),
        new("replicaCatchUpLiveShare", "PERCENT", "a whole number from 1 to 100",
            "In a replicated cluster: how much of its time this broker spends at most on replicas that catch up, as their leader and again "
            + "as their follower, while records are appended on it; without such records they have all of it. 100: they never give way. "
            + "Default: 25.",
            (s, text) => TryNumber(text, 1, 100, out var percent) ? s with { ReplicaCatchUpLiveShare = (int)percent } : null),
        new("leaderLeaseMs", "MS", Milliseconds, "In a replicated cluster: for how long the word of the other replicas proves that a "
        + "broker still leads a partition. Default: 2000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { LeaderLease = interval } : null),
        new("autoRebalance", "true|false", "true or false",
            "In a replicated cluster: give a new broker its share of partitions without being asked. Default: false.",
            (s, text) => bool.TryParse(text, out var rebalance) ? s with { AutoRebalance = rebalance } : null),
        new("autoLeaderRebalance", "true|false", "true or false",
            "In a replicated cluster: let a broker that was away lead again what it is the preferred leader of, a few partitions at a "
            + "time, once it has been in sync for 30 seconds. Default: true.",
            (s, text) => bool.TryParse(text, out var rebalance) ? s with { AutoLeaderRebalance = rebalance } : null),
        new("startTimeoutMs", "MS", Milliseconds,
            "In a replicated cluster: how long the start waits for PostgreSQL, and for the other brokers. Default: 120000.",
            (s, text) => TryInterval(text, 1, out var timeout) ? s with { StartTimeout = timeout } : null),
    ];

    private const string Names = "letters, digits, '.', '_' and '-', at most 255";
    private const string ClusterNames = "letters, digits, '.', '_' and '-', at most 64, not beginning with '-'";
    private const string Milliseconds = "a whole number of milliseconds from 1 to 2147483647";

    private static bool IsName(string text, int longest) => text.Length > 0 && text.Length <= longest && text[0] != '-'
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    private static bool IsHost(string text) => System.Net.IPAddress.TryParse(text, out var address)
        ? !address.Equals(System.Net.IPAddress.Any) && !address.Equals(System.Net.IPAddress.IPv6Any)
        : Uri.CheckHostName(text) == UriHostNameType.Dns;

    private static bool IsConnectionString(string text)
    {
        try
        {
            // The general form; which keys there are only Npgsql knows, and says.
            return new System.Data.Common.DbConnectionStringBuilder { ConnectionString = text }.ContainsKey("Host");
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static bool TryNumber(string text, long least, long most, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= least && number <= most;

    private static bool TryInterval(string text, long least, out TimeSpan interval)
    {
        // Timers take no more than 2^31 - 1 milliseconds, nearly 25 days.
        var known = TryNumber(text, least, int.MaxValue, out var milliseconds);
        interval = TimeSpan.FromMilliseconds(milliseconds);
        return known;
    }

    private static bool TryChoose<T>(string text, out T value) where T : struct, Enum =>
        // Enum.TryParse takes numbers too, which nobody documented.
        Enum.TryParse(text, ignoreCase: true, out value) && text.Length > 0 && char.IsAsciiLetter(text[0]) && Enum.IsDefined(value);
}
