using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Partitions;

namespace OrleansMq.Silo.Hosting;

/// <summary>
/// What drives the engine behind the HTTP API: one process by itself, or a silo of a cluster. Called in this order, once each:
/// <see cref="Configure"/>, then (with the web host started) <see cref="StartAsync"/>, and at the end, whatever happened, dispose.
/// </summary>
internal interface IBrokerHost : IAsyncDisposable
{
    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    string Flavour { get; }

    /// <summary>Adds what this host needs to the program's services before they are built.</summary>
    void Configure(WebApplicationBuilder builder);

    /// <summary>Opens the data directory and recovers; returns the broker when it can serve.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    Task<IBroker> StartAsync(IServiceProvider services, CancellationToken cancellationToken);

    /// <summary>What gateways answer from beside the broker; null before <see cref="StartAsync"/> is done.</summary>
    HostedCluster? Cluster => null;

    /// <summary>This broker as others reach it; null where none do, and before <see cref="StartAsync"/> is done.</summary>
    ClusterMemberEndpoints? Member => null;

    /// <summary>Gives away what others can do instead, while requests are still served: called once before the HTTP API drains.</summary>
    Task HandOverAsync() => Task.CompletedTask;

    /// <summary>The partitions on this broker, online or not, for metrics; empty before <see cref="StartAsync"/> is done.</summary>
    IReadOnlyCollection<Partition> LocalPartitions { get; }

    /// <summary>The ids of the groups that this broker coordinates now, for metrics; empty before <see cref="StartAsync"/> is
    /// done.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: not known at the moment.</exception>
    ValueTask<IReadOnlyCollection<string>> LocalGroupsAsync(CancellationToken cancellationToken) => new([]);
}

/// <summary>What a host knows of its cluster, and what it holds of it.</summary>
/// <param name="ClusterId">As clients are told.</param>
/// <param name="Metadata">Brokers, topics and who leads their partitions.</param>
/// <param name="Local">The partitions that are led in this process.</param>
internal sealed record HostedCluster(string ClusterId, IClusterMetadata Metadata, ILocalPartitions Local);

/// <summary>A broker in its cluster.</summary>
/// <param name="ClusterId">The cluster's name.</param>
/// <param name="Orleans">Where other brokers reach it.</param>
/// <param name="Gateway">Where Orleans clients reach it.</param>
internal sealed record ClusterMemberEndpoints(string ClusterId, string Orleans, string Gateway);
