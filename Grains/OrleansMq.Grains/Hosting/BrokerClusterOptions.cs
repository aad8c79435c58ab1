using System.Net;
using OrleansMq.Brokers;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Hosting;

/// <summary>Options of a broker in a replicated cluster.</summary>
public sealed record BrokerClusterOptions
{
    /// <summary>The Npgsql connection string of the database through which brokers find each other and which stores the cluster's state.
    /// Null, the default: the silo has its own clustering, and its own grain storage named <c>omq</c> with compare-and-swap.</summary>
    public string? PostgreSql { get; init; }

    /// <summary>The cluster's name, the same for all its brokers: Orleans' cluster id and service id. One database may hold several
    /// clusters. Orleans' ADO.NET storage finds grain state by the service id: an application that has such state gives that one. 1 to 150
    /// characters. Default <c>orleansmq</c>.</summary>
    public string ClusterId { get; init; } = "orleansmq";

    /// <summary>The broker's failure domain; null, the default, if unknown. Replicas are spread over racks.</summary>
    public string? Rack { get; init; }

    /// <summary>Where other brokers reach this silo. Null: as the silo's own <c>EndpointOptions</c> say.</summary>
    internal SiloEndpoints? Endpoints { get; init; }

    /// <summary>Where clients reach this broker's HTTP API, such as <c>http://10.0.0.1:8080</c>; null if it has none.</summary>
    public string? Http { get; init; }

    /// <summary>Where Kafka clients reach this broker, as host and port; null if they cannot.</summary>
    public string? Kafka { get; init; }

    /// <summary>Where Kafka clients reach this broker, as host and port by the name of their listener. Clients are sent to the listeners of
    /// the same name. Empty where there is one listener, at <see cref="Kafka"/>.</summary>
    public IReadOnlyDictionary<string, string> KafkaListeners { get; init; } = new Dictionary<string, string>();

    /// <summary>The replication factor of a topic that is created without one: 0 to 32; 0, the default, for three. While fewer brokers are
    /// alive, such a topic begins with fewer replicas; the others are added when brokers have joined.</summary>
    public int DefaultReplicationFactor { get; init; }

    /// <summary>Whether a new broker automatically gets its share of partitions.</summary>
    public bool AutoRebalance { get; init; }

    /// <summary>Whether a returned broker automatically leads its preferred partitions again, once it has been in sync for
    /// <see cref="RebalanceSettleTime"/>. Default on: otherwise each restart leaves the other brokers leading more than their
    /// share.</summary>
    public bool AutoLeaderRebalance { get; init; } = true;

    /// <summary>How long membership must be unchanged before partitions move automatically, and before topics get the replicas that there
    /// were no brokers for: 0 to 2,147,483,647 milliseconds. Default 30 seconds, so that a restart moves nothing.</summary>
    public TimeSpan RebalanceSettleTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Options of replication.</summary>
    public ReplicationOptions Replication { get; init; } = new();

    /// <summary>How long a start waits for the database, and for the other brokers: 1 to 2,147,483,647 milliseconds. Default 2
    /// minutes.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The time limit for handing leaderships over at a graceful stop: 0 to 2,147,483,647 milliseconds. Default 10
    /// seconds.</summary>
    public TimeSpan HandoverTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Whether a broker whose process is provably gone (its port refuses connections after it accepted them) is declared dead at once,
    /// before it misses probes. Turn it off if silos do not use TCP at their endpoints, as in some tests: every silo would look dead.
    /// </summary>
    public bool WatchProcesses { get; init; } = true;

    /// <summary>See <see cref="Coordination.CoordinatorRehearsal"/>. Off in tests, whose brokers share one process and count
    /// calls.</summary>
    internal bool Rehearses { get; init; } = true;

    /// <summary>How long to wait for a broker's answer about its replicas or groups before passing it over. That is far above the usual
    /// millisecond, and below what a client notices in a failover. Longer in tests, whose brokers share one busy process.</summary>
    internal TimeSpan AnswerTimeout { get; init; } = DefaultAnswerTimeout;

    /// <summary>400 milliseconds.</summary>
    internal static TimeSpan DefaultAnswerTimeout { get; } = TimeSpan.FromMilliseconds(400);

    /// <summary>Ends this process after the cluster declared it dead: gets the exit code and the reason. For tests.</summary>
    internal Action<int, string>? Exit { get; init; }

    /// <summary>Validates ranges.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        const string owner = nameof(BrokerClusterOptions);
        // The columns of Orleans' tables take no more.
        BrokerOptionRules.Require(ClusterId is { Length: >= 1 and <= 150 }, owner, nameof(ClusterId), "is 1 to 150 characters");
        BrokerOptionRules.Require(KafkaListeners is not null, owner, nameof(KafkaListeners), "is not null");
        BrokerOptionRules.Require(DefaultReplicationFactor is >= 0 and <= TopicState.MaxReplicationFactor, owner,
            nameof(DefaultReplicationFactor), "is 0 to 32");
        BrokerOptionRules.RequireInterval(RebalanceSettleTime, 0, owner, nameof(RebalanceSettleTime));
        BrokerOptionRules.RequireInterval(StartTimeout, 1, owner, nameof(StartTimeout));
        BrokerOptionRules.RequireInterval(HandoverTimeout, 0, owner, nameof(HandoverTimeout));
        BrokerOptionRules.Require(Replication is not null, owner, nameof(Replication), "is not null");
        Check(Replication!, $"{owner}.{nameof(Replication)}");
    }

    private static void Check(ReplicationOptions replication, string owner)
    {
        BrokerOptionRules.RequireInterval(replication.ReplicaLagTimeMax, 1, owner, nameof(replication.ReplicaLagTimeMax));
        BrokerOptionRules.RequireInterval(replication.LeaderLease, 1, owner, nameof(replication.LeaderLease));
        BrokerOptionRules.Require(replication.CatchUpMaxBytesPerSecond >= 0, owner, nameof(replication.CatchUpMaxBytesPerSecond),
            "is 0 or more");
        BrokerOptionRules.Require(replication.CatchUpLiveShare is >= 1 and <= 100, owner, nameof(replication.CatchUpLiveShare),
            "is 1 to 100");
        BrokerOptionRules.RequireInterval(replication.AppendTimeout, 1, owner, nameof(replication.AppendTimeout));
    }

    /// <summary>Omits the values, since one of them holds a password.</summary>
    public override string ToString() => nameof(BrokerClusterOptions);
}

/// <summary>A silo's two endpoints.</summary>
/// <param name="Address">The address at which others reach this machine.</param>
/// <param name="SiloPort">The port for other silos.</param>
/// <param name="GatewayPort">The port for Orleans clients.</param>
internal sealed record SiloEndpoints(IPAddress Address, int SiloPort, int GatewayPort)
{
    /// <summary>Where the silo listens for other silos; null for the address above.</summary>
    public IPEndPoint? SiloListener { get; init; }

    /// <summary>Where the silo listens for Orleans clients; null for the address above.</summary>
    public IPEndPoint? GatewayListener { get; init; }
}
