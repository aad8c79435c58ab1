using System.Net;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Hosting;

/// <summary>What makes a broker a member of a replicated cluster.</summary>
public sealed record BrokerClusterOptions
{
    /// <summary>How to connect to the database in which the brokers find each other and keep the cluster's state, as Npgsql writes it.
    /// Null: the silo has its own clustering, and its own grain storage named <c>omq</c> that compares and swaps.</summary>
    public string? PostgreSql { get; init; }

    /// <summary>The cluster's name, the same for all its brokers: Orleans' cluster id and service id. A database may hold several
    /// clusters.</summary>
    public string ClusterId { get; init; } = "orleansmq";

    /// <summary>What fails together with this broker; null: unknown. Replicas are spread over racks.</summary>
    public string? Rack { get; init; }

    /// <summary>Where other brokers reach this silo. Null: as the silo's own <c>EndpointOptions</c> say.</summary>
    public SiloEndpoints? Endpoints { get; init; }

    /// <summary>Where clients reach this broker's HTTP API, such as <c>http://10.0.0.1:8080</c>; null: it has none.</summary>
    public string? Http { get; init; }

    /// <summary>Where Kafka clients reach this broker, as host and port; null: they do not.</summary>
    public string? Kafka { get; init; }

    /// <summary>Replicas of a topic that is created without a number; 0: three, or as many as there are brokers.</summary>
    public int DefaultReplicationFactor { get; init; }

    /// <summary>Whether a new broker gets its share of partitions without being asked.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>Whether a broker that was away leads again what it is the preferred leader of, without being asked, once it has been in
    /// sync for <see cref="RebalanceSettleTime"/>. On: else all that one broker restarts leaves the others with more to lead than their
    /// share.</summary>
    public bool AutoLeaderRebalance { get; init; } = true;

    /// <summary>For how long nobody may have joined or died before partitions are moved unasked: 30 seconds, so that a restart moves
    /// nothing.</summary>
    public TimeSpan RebalanceSettleTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Times of replication.</summary>
    public ReplicationOptions Replication { get; init; } = new();

    /// <summary>How long a start waits for the database, and for the other brokers: 2 minutes.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The longest that a graceful stop hands leaderships over: 10 seconds.</summary>
    public TimeSpan HandoverTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Whether a broker whose process is proved dead (its port refuses connections after it took them) is declared dead at once, before
    /// probes miss it. Off where silos do not talk by TCP at their endpoints, as in some tests: there each would look dead.
    /// </summary>
    public bool WatchProcesses { get; init; } = true;

    /// <summary>How long a broker that is asked for its replicas or groups may take before it is passed over: far above the millisecond it
    /// takes, below what a client notices in a failover. Longer in tests, whose brokers share one busy process.</summary>
    internal TimeSpan AnswerTimeout { get; init; } = DefaultAnswerTimeout;

    /// <summary>400 milliseconds.</summary>
    internal static TimeSpan DefaultAnswerTimeout { get; } = TimeSpan.FromMilliseconds(400);

    /// <summary>What ends this process when its cluster has declared it dead: gets the exit code and the reason. For tests.</summary>
    internal Action<int, string>? Exit { get; init; }

    /// <summary>Says nothing of the values: one of them holds a password.</summary>
    public override string ToString() => nameof(BrokerClusterOptions);
}

/// <summary>A silo's two endpoints.</summary>
/// <param name="Address">The address that others reach this machine by.</param>
/// <param name="SiloPort">For other silos.</param>
/// <param name="GatewayPort">For Orleans clients.</param>
public sealed record SiloEndpoints(IPAddress Address, int SiloPort, int GatewayPort)
{
    /// <summary>Where the silo listens for other silos; null: at the address that others use.</summary>
    public IPEndPoint? SiloListener { get; init; }

    /// <summary>Where the silo listens for Orleans clients; null: at the address that they use.</summary>
    public IPEndPoint? GatewayListener { get; init; }
}
