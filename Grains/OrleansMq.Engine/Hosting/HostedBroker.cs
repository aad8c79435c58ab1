using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Partitions;
using OrleansMq.Security;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Hosting;

/// <summary>A broker that serves, as its host gives it to gateways.</summary>
public sealed class HostedBroker
{
    internal HostedBroker(int brokerId, string clusterId, BrokerAccess access, IBroker broker, IClusterMetadata metadata,
        ILocalPartitions local)
    {
        BrokerId = brokerId;
        ClusterId = clusterId;
        Access = access;
        Broker = broker;
        Metadata = metadata;
        Local = local;
    }

    /// <summary>The broker's number in its cluster.</summary>
    public int BrokerId { get; }

    /// <summary>The cluster's id, as clients see it.</summary>
    public string ClusterId { get; }

    /// <summary>The door to it: the requests of clients go through its sessions.</summary>
    public BrokerAccess Access { get; }

    /// <summary>The broker itself, for what a gateway looks up on the broker's own behalf. It neither authorizes nor counts.</summary>
    public IBroker Broker { get; }

    /// <summary>Users and rules, by which gateways authenticate; null for a broker without them.</summary>
    internal BrokerSecurity? Security { get; init; }

    /// <summary>The tickets of grain calls; null for a broker without them.</summary>
    internal BrokerTickets? Tickets { get; init; }

    /// <summary>Brokers, topics and the leaders of their partitions.</summary>
    internal IClusterMetadata Metadata { get; }

    /// <summary>The partitions that are led in this process, for metrics.</summary>
    internal ILocalPartitions Local { get; }

    /// <summary>Returns the ids of the groups that this broker coordinates now, for metrics.</summary>
    internal Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> LocalGroups { get; init; } = static _ => new([]);

    /// <summary>The incarnation of this broker: no other run of it, or of another broker, has the same. Empty where it stands
    /// alone.</summary>
    internal string Incarnation { get; init; } = "";

    /// <summary>The gateways of the cluster's other brokers.</summary>
    internal IGatewayPeers Peers { get; init; } = NoPeers.Instance;

    /// <summary>Returns the virtual hosts of AMQP, opening them the first time. A gateway calls it when it is opened, and again where it
    /// has failed.</summary>
    internal Func<ValueTask<IVirtualHosts>> OpenVirtualHosts { get; init; } =
        static () => throw new NotSupportedException("This broker has no virtual hosts: AMQP is not available.");
}
