using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Partitions;

namespace OrleansMq.Hosting;

/// <summary>A broker that serves, as its host gives it to gateways.</summary>
/// <param name="BrokerId">The broker's number in its cluster.</param>
/// <param name="ClusterId">The cluster's id, as clients see it.</param>
/// <param name="Access">The door to it: the requests of clients go through its sessions.</param>
/// <param name="Broker">The broker itself, for what a gateway looks up on the broker's own behalf. It neither authorizes nor
/// counts.</param>
/// <param name="Metadata">Brokers, topics and the leaders of their partitions.</param>
/// <param name="Local">The partitions that are led in this process, for metrics.</param>
public sealed record HostedBroker(int BrokerId, string ClusterId, BrokerAccess Access, IBroker Broker, IClusterMetadata Metadata,
    ILocalPartitions Local)
{
    /// <summary>Returns the ids of the groups that this broker coordinates now, for metrics.</summary>
    public Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> LocalGroups { get; init; } = static _ => new([]);
}
