using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Partitions;

namespace OrleansMq.Silo.Hosting;

/// <summary>
/// Drives the engine behind the HTTP API: a single process, or a silo of a cluster. Each member is called once, in this order:
/// <see cref="Configure"/>, then (with the web host started) <see cref="StartAsync"/>, and finally, after a failure too, dispose.
/// </summary>
internal interface IBrokerHost : IAsyncDisposable
{
    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    string Flavour { get; }

    /// <summary>Adds this host's services to the program's before they are built.</summary>
    void Configure(WebApplicationBuilder builder);

    /// <summary>Opens and recovers the data directory; returns the broker when it can serve requests.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    Task<IBroker> StartAsync(IServiceProvider services, CancellationToken cancellationToken);

    /// <summary>What gateways need beside the broker; null before <see cref="StartAsync"/> has completed.</summary>
    HostedCluster? Cluster => null;

    /// <summary>This broker's endpoints for other brokers; null if it has none, and before <see cref="StartAsync"/> has
    /// completed.</summary>
    ClusterMemberEndpoints? Member => null;

    /// <summary>Hands work over to other brokers while requests are still served. Called once, before the HTTP API drains.</summary>
    Task HandOverAsync() => Task.CompletedTask;

    /// <summary>The partitions on this broker, online or not, for metrics; empty before <see cref="StartAsync"/> has completed.</summary>
    IReadOnlyCollection<Partition> LocalPartitions { get; }

    /// <summary>Returns the ids of the groups that this broker coordinates, for metrics; empty before <see cref="StartAsync"/> has
    /// completed.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: not known at the moment.</exception>
    ValueTask<IReadOnlyCollection<string>> LocalGroupsAsync(CancellationToken cancellationToken) => new([]);
}

/// <summary>A host's view of its cluster, and its partitions.</summary>
/// <param name="ClusterId">The cluster's id, as reported to clients.</param>
/// <param name="Metadata">Brokers, topics and partition leaders.</param>
/// <param name="Local">The partitions led in this process.</param>
internal sealed record HostedCluster(string ClusterId, IClusterMetadata Metadata, ILocalPartitions Local);

/// <summary>A broker's endpoints in its cluster.</summary>
/// <param name="ClusterId">The cluster's name.</param>
/// <param name="Orleans">The endpoint for other brokers.</param>
/// <param name="Gateway">The endpoint for Orleans clients.</param>
internal sealed record ClusterMemberEndpoints(string ClusterId, string Orleans, string Gateway);
