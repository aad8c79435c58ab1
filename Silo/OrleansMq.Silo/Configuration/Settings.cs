using System.Globalization;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Security;
using OrleansMq.Tls;
using OrleansMq.Topics;

namespace OrleansMq.Silo.Configuration;

/// <summary>The operator's settings: the single table behind flags, environment, file, help and error messages.</summary>
internal static class Settings
{
    /// <summary>The key of the object with topic defaults, which only the file has.</summary>
    public const string TopicDefaultsKey = "topicDefaults";

    /// <summary>All settings, in the order of the help. Behind each secret one is the one that names a file with its value.</summary>
    public static IReadOnlyList<Setting> All { get; } = WithFiles(
    [
        new("data", "DIR", "the path of a directory", "The data directory, created if missing. Default: ./data.",
            (s, text) => text.Length == 0 ? null : s with { DataDirectory = text }),
        new("http", "[https://][HOST:]PORT", ListenAddress.Expected + ", with https:// in front for TLS",
            "The address of the HTTP API, with TLS after https://; port 0 takes a free port. Default: 127.0.0.1:8080.",
            (s, text) => ListenAddress.TryParse(text, "http", "https", out var address) ? s with { Http = address } : null),
        new("httpHosts", "NAME[,NAME...]", "host names, such as broker-1.example.com, *.example.com for all below a domain, or * for all",
            "More host names by which requests may address the HTTP API and RabbitMQ's management API. They refuse others, since a web "
            + "page can have its own name resolve to the broker. Default: localhost, the machine's name, the advertised hosts and every IP "
            + "address are always allowed.",
            (s, text) => HostPatterns(text) is { } hosts ? s with { HttpHosts = hosts } : null),
        new("httpMaxConnections", "N", "a whole number from 0 to 1000000",
            "The most connections of the HTTP API, a quarter of them from one address other than the machine's own; further ones are "
            + "closed. Kafka clients keep a part of what the process may open. 0: a quarter of what its data leaves, all of it without "
            + "Kafka, and at most 10000. Default: 0.",
            (s, text) => TryNumber(text, 0, 1_000_000, out var n) ? s with { HttpMaxConnections = (int)n } : null),
        new("kafka", "[NAME=][HOST:]PORT[,PROTOCOL[,ADVERTISED]]|off",
            "off, " + ListenAddress.Expected + ", or " + KafkaListenerSetting.Expected,
            "The address of the Kafka protocol; port 0 takes a free port, off turns it off. PROTOCOL is PLAINTEXT (the default), SSL, "
            + "SASL_PLAINTEXT or SASL_SSL. Given several times, or separated by semicolons, or as an array in the file: several listeners. "
            + "Each has a NAME, which is its protocol's by default, and ADVERTISED, the host and port that its clients are told to connect "
            + "to. Clients are sent to the listeners of the same name on the other brokers. Default: 127.0.0.1:9092.",
            Kafka, IsList: true),
        new("kafkaAdvertised", "HOST:PORT", "a host name or an IP address and a port from 1 to 65535, such as kafka.example.com:9092",
            "The address that Kafka clients are told to connect to. Default: the address they connected to; in a replicated cluster, the "
            + "advertised host and the listener's port.",
            (s, text) => IsKafkaAddress(text) ? s with { KafkaAdvertised = text } : null),
        new("autoCreateTopics", "true|false", "true or false",
            "Create a missing topic when a Kafka client requests it. Default: true.",
            (s, text) => bool.TryParse(text, out var create) ? s with { AutoCreateTopics = create } : null),
        new("kafkaLoops", "N", "a whole number from 0 to 256",
            "The number of threads for small produce requests of Kafka clients, each for many connections (Linux). 0: the thread pool "
            + "serves all. Default: the number of processors.",
            (s, text) => TryNumber(text, 0, 256, out var n) ? s with { KafkaLoops = (int)n } : null),
        new("kafkaMaxConnectionsPerAddress", "N", "a whole number from 0 to 1000000",
            "The most Kafka connections from one address; further ones are closed. 0: as many as the process may open. Default: 0.",
            (s, text) => TryNumber(text, 0, 1_000_000, out var n) ? s with { KafkaMaxConnectionsPerAddress = (int)n } : null),
        new("kafkaMaxInFlightBytes", "N", "a whole number of bytes from 8388608",
            "The memory of Kafka requests in flight on all connections, in bytes, at least 8388608. Above it connections are not read from "
            + "until some of it is free; one request may grow beyond it. Default: 536870912.",
            (s, text) => TryNumber(text, FrameBudget.LeastLimit, long.MaxValue, out var n) ? s with { KafkaMaxInFlightBytes = n } : null),
        new("clusterTlsCertificate", "FILE", "the path of a file",
            "In a cluster: this broker's certificate for other brokers and Orleans clients, PEM or PKCS#12. With it, they connect by TLS, "
            + "and need a certificate of --cluster-tls-ca themselves. All brokers of the cluster have it, or none. Default: none.",
            (s, text) => text.Length > 0 ? s with { ClusterTlsCertificate = text } : null),
        new("clusterTlsKey", "FILE", "the path of a file",
            "The private key of --cluster-tls-certificate; its password is --tls-password. Default: it is in the certificate's file.",
            (s, text) => text.Length > 0 ? s with { ClusterTlsKey = text } : null),
        new("clusterTlsCa", "FILE", "the path of a file",
            "The authority that issues the certificates of the cluster's brokers and Orleans clients, PEM. Whoever has a certificate of it "
            + "is let in: use one of the cluster's own. Needed with --cluster-tls-certificate. Default: none.",
            (s, text) => text.Length > 0 ? s with { ClusterTlsCa = text } : null),
        new("authorization", "off|warn|enforce", "off, warn or enforce",
            "Whether clients may only do what rules allow (omq acl). warn: everything is allowed; what rules would refuse is logged and "
            + "counted. Default: enforce with --super-users, --admin-password, --oauthbearer-jwks, or --tls-client-auth requested or "
            + "required, else off.",
            (s, text) => TryChoose<AuthorizationMode>(text, out var mode) ? s with { Authorization = mode } : null),
        new("superUsers", "PRINCIPAL[;PRINCIPAL...]", "principals such as User:admin, separated by semicolons",
            "Principals that may do everything, whatever the rules are. Default: none.",
            (s, text) => Principals(text) is { } principals ? s with { SuperUsers = principals } : null),
        new("orleansPrincipal", "PRINCIPAL", "a principal such as User:services",
            "In a cluster: the principal of Orleans clients that do not log in, so that rules can tell them from others without a name. "
            + "--cluster-tls-ca decides who may connect as one. Give it to all brokers. Default: User:ANONYMOUS.",
            (s, text) => AclRule.PrincipalFault(text) is null ? s with { OrleansPrincipal = text } : null),
        new("adminPassword", "PASSWORD", "a password of 1 to 1024 characters",
            "Creates the user admin with this password, unless there is one, and lets it do everything. A new AMQP broker has it in place "
            + "of guest. Use --admin-password-file, the environment or the configuration file to keep it out of the process list. "
            + "Default: none.",
            (s, text) => SecurityOptions.IsAdminPassword(text) ? s with { AdminPassword = text } : null,
            IsSecret: true),
        new("allowEveryoneIfNoAclFound", "true|false", "true or false",
            "Let everyone do everything with a resource that no rule is about. Default: false.",
            (s, text) => bool.TryParse(text, out var allow) ? s with { AllowEveryoneIfNoAclFound = allow } : null),
        new("openMetrics", "true|false", "true or false",
            "Let anyone read /metrics, also where rules are enforced. They name topics and groups. Default: false.",
            (s, text) => bool.TryParse(text, out var open) ? s with { OpenMetrics = open } : null),
        new("saslMechanisms", "NAME[,NAME...]", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER, separated by commas",
            "The SASL mechanisms that Kafka clients may authenticate with, and of which Orleans clients use PLAIN and OAUTHBEARER. PLAIN "
            + "sends the password itself. Default: all; OAUTHBEARER with --oauthbearer-jwks.",
            (s, text) => Mechanisms(text) is { } mechanisms ? s with { SaslMechanisms = mechanisms } : null),
        new("oauthbearerJwks", "FILE|URL", "the path of a file, an https URL, or an http URL of this machine",
            "The keys of an issuer of JSON Web Tokens, a JSON Web Key Set, which is read again every 5 minutes. With it, clients "
            + "authenticate by tokens, too: over Kafka with OAUTHBEARER, over HTTP with 'Authorization: Bearer', and as Orleans clients "
            + "with UseLogin. Default: none.",
            (s, text) => TokenOptions.IsPlace(text) ? s with { OAuthBearerJwks = text } : null),
        new("oauthbearerIssuer", "ISSUER", "the issuer's name, which often is a URL",
            "The issuer of tokens, their claim iss. Needed with --oauthbearer-jwks. Default: none.",
            (s, text) => text.Length > 0 ? s with { OAuthBearerIssuer = text } : null),
        new("oauthbearerAudience", "AUDIENCE[,AUDIENCE...]", "names, separated by commas",
            "The audiences of tokens, of which their claim aud has at least one: those for other services are refused. Needed with "
            + "--oauthbearer-jwks. Default: none.",
            (s, text) => Words(text) is { } audiences ? s with { OAuthBearerAudiences = audiences } : null),
        new("oauthbearerSubClaim", "NAME", "the name of a claim, such as sub or client_id",
            "The claim of a token that names the client: alice is the principal User:alice, as the user alice is. Default: sub.",
            (s, text) => text.Length > 0 ? s with { OAuthBearerSubClaim = text } : null),
        new("kafkaMaxReauthenticationMs", "MS", "a whole number of milliseconds from 0 to 2147483647",
            "How long a Kafka client's authentication is good for; then it authenticates again, or its connection is closed. 0: for ever. "
            + "Default: 0.",
            (s, text) => TryInterval(text, 0, out var interval) ? s with { KafkaMaxReauthentication = interval } : null),
        new("amqp", "[amqps://][HOST:]PORT|off", "off, or " + ListenAddress.Expected + ", with amqps:// in front for TLS",
            "The address of AMQP 0-9-1, for RabbitMQ's clients, with TLS after amqps://; port 0 takes a free port, off turns it off. "
            + "In a cluster the brokers serve the same virtual hosts and queues. Default: off.",
            (s, text) => text == "off" ? s with { Amqp = null } : ListenAddress.TryParse(text, "amqp", "amqps", out var address)
            ? s with { Amqp = address } : null),
        new("amqpManagement", "[https://][HOST:]PORT|off", "off, or " + ListenAddress.Expected + ", with https:// in front for TLS",
            "The address of RabbitMQ's management API over HTTP, with TLS after https://: users, virtual hosts, policies, "
            + "definitions; port 0 takes a free port, off turns it off. Default: off.",
            (s, text) => text == "off" ? s with { AmqpManagement = null } : ListenAddress.TryParse(text, "http", "https", out var address)
            ? s with { AmqpManagement = address } : null),
        new("amqpMaxConnectionsPerAddress", "N", "a whole number from 0 to 1000000",
            "The most AMQP connections from one address; further ones are closed. 0: as many as the process may open. Default: 0.",
            (s, text) => TryNumber(text, 0, 1_000_000, out var n) ? s with { AmqpMaxConnectionsPerAddress = (int)n } : null),
        new("amqpMemory", "N", "0, or a whole number of bytes from 67108864",
            "The memory of AMQP's messages in bytes: those of queues in memory, on their way to the log, and incomplete. Above it "
            + "publishers are told connection.blocked and not read from, until a fifth is free. 0: a quarter of the memory that the "
            + "process may use. Default: 0.",
            (s, text) => TryNumber(text, 0, long.MaxValue, out var n) && n is 0 or >= MemoryBudget.LeastLimit
                ? s with { AmqpMemory = n } : null),
        new("tlsCertificate", "FILE[;FILE...]", "the path of a file, several separated by semicolons",
            "The certificate of all listeners with TLS, PEM with its intermediate authorities behind it, or PKCS#12 (PFX). Of several, "
            + "also by repeating the flag, a client gets the first whose names include the host that it asks for. Files that change are "
            + "used for new connections within 10 seconds, without a restart. Default: none.",
            (s, text) => Paths(text) is { } paths ? s with { TlsCertificates = paths } : null, IsList: true),
        new("tlsKey", "FILE[;FILE...]", "the path of a file, several separated by semicolons",
            "The private keys of the PEM certificates, PEM, in the same order. Default: in the certificates' files.",
            (s, text) => Paths(text) is { } paths ? s with { TlsKeys = paths } : null, IsList: true),
        new("tlsPassword", "PASSWORD", "a password",
            "The password of the private keys or PKCS#12 files. Use --tls-password-file, the environment or the configuration file to keep "
            + "it out of the process list. Default: none.",
            (s, text) => text.Length > 0 ? s with { TlsPassword = text } : null, IsSecret: true),
        new("tlsClientAuth", "none|requested|required", "none, requested or required",
            "Whether clients of the listeners with TLS have certificates. requested: they may; required: they must. The subject of a "
            + "certificate is the client's name where it does not authenticate by SASL or a password. Default: none.",
            (s, text) => TryChoose<ClientAuthentication>(text, out var clients) ? s with { TlsClientAuth = clients } : null),
        new("tlsClientCa", "FILE", "the path of a file",
            "The authorities that issue the certificates of clients, PEM. Default: none.",
            (s, text) => text.Length > 0 ? s with { TlsClientCa = text } : null),
        new("tlsPrincipalMappingRules", "RULE[,RULE...]", "rules such as RULE:^CN=(.*?),.*$/$1/L,DEFAULT",
            "How the subject of a client's certificate becomes its name, as Kafka's ssl.principal.mapping.rules: "
            + "RULE:pattern/replacement/[LU], where the pattern matches the whole subject, and DEFAULT, the subject itself. Default: "
            + "DEFAULT.",
            (s, text) => IsMapping(text) ? s with { TlsPrincipalMappingRules = text } : null),
        new("flush", "none|interval|sync", "none, interval or sync",
            "When records become durable, unless the topic overrides it. none: when the operating system writes them; interval: every "
            + "second; sync: before they are acknowledged. Default: none.",
            (s, text) => TryChoose<FlushPolicy>(text, out var flush) ? s with { Flush = flush } : null),
        new("brokerId", "N", "a whole number from 0", "This broker's id. Default: 0.",
            (s, text) => TryNumber(text, 0, int.MaxValue, out var n) ? s with { BrokerId = (int)n } : null),
        new("partitions", "N", "a whole number from 1 to 10000",
            "The number of partitions of a topic that is created without one. Default: 1.",
            (s, text) => TryNumber(text, 1, 10_000, out var n) ? s with { Partitions = (int)n } : null),
        new("minFreeBytes", "N", "a whole number of bytes from 0",
            "The broker refuses appends when the volume has fewer free bytes, and settlements of queues below a quarter of them. "
                + "Default: 268435456.",
            (s, text) => TryNumber(text, 0, long.MaxValue, out var n) ? s with { MinFreeBytes = n } : null),
        new("maxOpenFiles", "N", "a whole number from 16 to 1000000", "The most segment and index files kept open. Default: 4096.",
            (s, text) => TryNumber(text, 16, 1_000_000, out var n) ? s with { MaxOpenFiles = (int)n } : null),
        new("appendThreads", "N", "a whole number from 1 to 256", "The number of threads that write and flush. Default: 16.",
            (s, text) => TryNumber(text, 1, 256, out var n) ? s with { AppendThreads = (int)n } : null),
        new("maxQueuesPerPartition", "N", "a whole number from 1 to 100000",
            "The most queues of a partition; no more are created. Default: 1000.",
            (s, text) => TryNumber(text, 1, 100_000, out var n) ? s with { MaxQueuesPerPartition = (int)n } : null),
        new("maxMessageIds", "N", "a whole number from 1 to 1000000000",
            "The most message ids that all partitions on the broker remember, about 100 bytes of memory each. Above it those with more "
            + "than their share forget the oldest before their time. Default: 5000000.",
            (s, text) => TryNumber(text, 1, 1_000_000_000, out var n) ? s with { MaxMessageIds = (int)n } : null),
        new("maxGroups", "N", "a whole number from 1 to 10000000",
            "About the most consumer and share groups of the cluster, with those that have no members but offsets, cursors or a "
            + "configuration; no more are created. Default: 100000.",
            (s, text) => TryNumber(text, 1, 10_000_000, out var n) ? s with { MaxGroups = (int)n } : null),
        new("verifyCompressed", "true|false", "true or false",
            "Decompress compressed batches when they are appended, and refuse those that no reader could read. It takes several times as "
            + "long as the append. Uncompressed ones, those of compacted topics, and those that claim more records than bytes, are always "
            + "checked. Default: false.",
            (s, text) => bool.TryParse(text, out var verify) ? s with { VerifyCompressed = verify } : null),
        new("verifyOnRead", "true|false", "true or false",
            "Check the CRC of batches when they are read from disk, except for batches in "
            + "the page cache that this process has written or checked before. Default: true.",
            (s, text) => bool.TryParse(text, out var verify) ? s with { VerifyOnRead = verify } : null),
        new("retentionCheckMs", "MS", Milliseconds, "How often retention and rolling by age are checked. Default: 300000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { RetentionCheckInterval = interval } : null),
        new("checkpointMs", "MS", Milliseconds,
            "How often recovery points are written, which bounds what a restart after a crash must read. Default: 60000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { CheckpointInterval = interval } : null),
        new("compactionCheckMs", "MS", Milliseconds, "How often compaction looks for work. Default: 15000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { CompactionCheckInterval = interval } : null),
        new("producerIdExpirationMs", "MS", Milliseconds, "How long after its last batch a producer id expires. Default: 86400000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { ProducerIdExpiration = interval } : null),
        new("groupConsumerSessionTimeoutMs", "MS", Milliseconds,
            "Consumer protocol: how long after its last heartbeat a member is removed from its group. Must exceed the heartbeat interval. "
            + "Default: 45000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { GroupConsumerSessionTimeout = interval } : null),
        new("groupConsumerHeartbeatIntervalMs", "MS", Milliseconds,
            "Consumer protocol: the interval between a member's heartbeats. Default: 5000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { GroupConsumerHeartbeatInterval = interval } : null),
        new("groupInitialRebalanceDelayMs", "MS", "a whole number of milliseconds from 0 to 2147483647",
            "Classic protocol: how long the first generation of a group waits for more members, after each that joins. 0: the first "
            + "member reads at once. Default: 0.",
            (s, text) => TryInterval(text, 0, out var delay) ? s with { GroupInitialRebalanceDelay = delay } : null),
        new("drainTimeoutMs", "MS", "a whole number of milliseconds from 0 to 2147483647",
            "How long requests in flight may take to complete when the broker stops. Default: 10000.",
            (s, text) => TryInterval(text, 0, out var timeout) ? s with { DrainTimeout = timeout } : null),
        new("logLevel", "LEVEL", "trace, debug, information, warning, error, critical or none",
            "The lowest level that is logged, to standard error. Default: information.",
            (s, text) => TryChoose<LogLevel>(text, out var level) ? s with { LogLevel = level } : null),
        new("flavour", "best|standalone|cluster", "best, standalone or cluster",
            "The host to run; best is the cluster host if this build has one. Default: best.",
            (s, text) => TryChoose<Flavour>(text, out var flavour) ? s with { Flavour = flavour } : null),
        new("clusterId", "NAME", ClusterNames,
            "In a replicated cluster: its name, the same for all its brokers. A database may hold several clusters. Default: orleansmq.",
            (s, text) => IsName(text, 64) ? s with { ClusterId = text } : null),
        new("postgres", "CONNECTION", "a connection string as Npgsql writes it, such as \"Host=db;Database=omq;Username=omq;Password=...\"",
            "Makes this broker a member of a replicated cluster; its brokers find each other through this database. Use --postgres-file, "
            + "the environment or the configuration file to keep a password out of the process list. Default: none, a cluster of one "
            + "broker.",
            (s, text) => IsConnectionString(text) ? s with { PostgreSql = text } : null, IsSecret: true),
        new("rack", "NAME", NameCharacters,
            "In a replicated cluster: this broker's failure domain; replicas are spread over racks. Default: none.",
            (s, text) => IsName(text, 255) ? s with { Rack = text } : null),
        new("advertised", "HOST", "a host name or an IP address that others reach this machine by, not a wildcard",
            "In a replicated cluster: the host at which other brokers and clients reach this one. Default: 127.0.0.1, or the address that "
            + "--orleans-port binds.",
            (s, text) => IsHost(text) ? s with { AdvertisedHost = text } : null),
        new("orleansPort", "[HOST:]PORT", ListenAddress.Expected,
            "In a cluster: the address for other brokers; port 0 takes a free port. Default: 11111, or a free port if that is taken, on "
            + "the advertised address.",
            (s, text) => ListenPort.TryParse(text, out var port) ? s with { OrleansPort = port } : null),
        new("gatewayPort", "[HOST:]PORT", ListenAddress.Expected,
            "In a cluster: the address for Orleans clients; port 0 takes a free port. Default: 30000, or a free port if that is taken, "
            + "on the advertised address.",
            (s, text) => ListenPort.TryParse(text, out var port) ? s with { GatewayPort = port } : null),
        new("replicationFactor", "N|auto", "auto, or a whole number from 1 to 32",
            "In a replicated cluster: the replication factor of a topic that is created without one. auto: 3. While fewer brokers are "
            + "alive, such a topic begins with fewer replicas, and gets the others when brokers have joined. Default: auto.",
            (s, text) => text == "auto" ? s with { ReplicationFactor = 0 } : TryNumber(text, 1, 32, out var n)
            ? s with { ReplicationFactor = (int)n } : null),
        new("replicaLagTimeMaxMs", "MS", Milliseconds,
            "In a replicated cluster: how long a replica may be unreachable or behind before it leaves the ISR. Default: 10000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { ReplicaLagTimeMax = interval } : null),
        new("replicaCatchUpMaxBytesPerSecond", "BYTES", "a whole number of bytes, 0 for no limit",
            "In a replicated cluster: the most bytes per second that this broker sends to all catching-up replicas together. Replicas that "
            + "are in sync, or that appends wait for, are not limited. Default: 0, no limit.",
            (s, text) => TryNumber(text, 0, long.MaxValue, out var bytes) ? s with { ReplicaCatchUpMaxBytesPerSecond = bytes } : null),
        new("replicaCatchUpLiveShare", "PERCENT", "a whole number from 1 to 100",
            "In a replicated cluster: the most of its time that this broker spends on catching-up replicas while records are appended on "
            + "it, as leader and again as follower. Without such appends there is no limit. 100: catch-up never gives way to appends. "
            + "Default: 25.",
            (s, text) => TryNumber(text, 1, 100, out var percent) ? s with { ReplicaCatchUpLiveShare = (int)percent } : null),
        new("leaderLeaseMs", "MS", Milliseconds,
            "In a replicated cluster: the leader lease, that is how long acknowledgements of "
            + "the other replicas prove leadership of a partition. Default: 2000.",
            (s, text) => TryInterval(text, 1, out var interval) ? s with { LeaderLease = interval } : null),
        new("autoRebalance", "true|false", "true or false",
            "In a replicated cluster: give a new broker its share of partitions automatically. Default: false.",
            (s, text) => bool.TryParse(text, out var rebalance) ? s with { AutoRebalance = rebalance } : null),
        new("autoLeaderRebalance", "true|false", "true or false",
            "In a replicated cluster: return leadership to preferred leaders automatically, a few partitions at a time, once they have "
            + "been in sync for 30 seconds. Default: true.",
            (s, text) => bool.TryParse(text, out var rebalance) ? s with { AutoLeaderRebalance = rebalance } : null),
        new("startTimeoutMs", "MS", Milliseconds,
            "In a replicated cluster: how long the start waits for PostgreSQL and the other brokers. Default: 120000.",
            (s, text) => TryInterval(text, 1, out var timeout) ? s with { StartTimeout = timeout } : null),
    ]);

    private const string NameCharacters = "letters, digits, '.', '_' and '-', at most 255";
    private const string ClusterNames = "letters, digits, '.', '_' and '-', at most 64, not beginning with '-'";
    private const string Milliseconds = "a whole number of milliseconds from 1 to 2147483647";

    /// <summary>Whether the text is a host and a port that clients can be sent to.</summary>
    internal static bool IsKafkaAddress(string text) =>
        Gateways.Kafka.KafkaAddress.TryParse(text, out var host, out _) && IsHost(host);

    private static Setting[] WithFiles(Setting[] table) =>
        [.. table.SelectMany(static setting => setting.IsSecret ? new[] { setting, setting.ToFile() } : [setting])];

    private static BrokerSettings? Kafka(BrokerSettings settings, string text)
    {
        if (text == "off")
            return settings with { Kafka = null, KafkaListeners = [] };
        if (ListenAddress.TryParse(text, out var address))
            return settings with { Kafka = address, KafkaListeners = [] };
        return KafkaListenerSetting.TryParse(text) is { } listeners
            ? settings with { Kafka = listeners[0].Listen, KafkaListeners = listeners } : null;
    }

    private static string[]? Paths(string text)
    {
        var paths = text.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return paths.Length > 0 ? paths : null;
    }

    private static bool IsMapping(string text)
    {
        try
        {
            PrincipalMapping.Parse(text);
            return true;
        }
        catch (TlsConfigurationException)
        {
            return false;
        }
    }

    /// <summary>Whether the text is a name of letters, digits, '.', '_' and '-'.</summary>
    internal static bool IsName(string text, int longest) => text.Length > 0 && text.Length <= longest && text[0] != '-'
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    private static bool IsHost(string text) => System.Net.IPAddress.TryParse(text, out var address)
        ? !address.Equals(System.Net.IPAddress.Any) && !address.Equals(System.Net.IPAddress.IPv6Any)
        : Uri.CheckHostName(text) == UriHostNameType.Dns;

    private static string[]? HostPatterns(string text)
    {
        var names = text.Split(',', StringSplitOptions.TrimEntries);
        return names.All(static name => name == "*"
            || Uri.CheckHostName(name.StartsWith("*.", StringComparison.Ordinal) ? name[2..] : name) == UriHostNameType.Dns) ? names : null;
    }

    private static string[]? Principals(string text)
    {
        var principals = text.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return principals.Length > 0 && principals.All(static one => AclRule.PrincipalFault(one) is null) ? principals : null;
    }

    private static string[]? Words(string text)
    {
        var names = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return names.Length > 0 ? names : null;
    }

    private static string[]? Mechanisms(string text) =>
        Words(text) is { } names && names.All(SaslExchange.Known.Contains) ? names : null;

    private static bool IsConnectionString(string text)
    {
        try
        {
            // Checks the general form; only Npgsql knows the valid keys, and reports wrong ones.
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
        // Timers accept at most 2^31 - 1 milliseconds, nearly 25 days.
        var known = TryNumber(text, least, int.MaxValue, out var milliseconds);
        interval = TimeSpan.FromMilliseconds(milliseconds);
        return known;
    }

    private static bool TryChoose<T>(string text, out T value) where T : struct, Enum =>
        // Enum.TryParse also accepts numbers, which are not documented.
        Enum.TryParse(text, ignoreCase: true, out value) && text.Length > 0 && char.IsAsciiLetter(text[0]) && Enum.IsDefined(value);
}
