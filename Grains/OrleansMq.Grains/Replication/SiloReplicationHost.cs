using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Replication;

/// <summary>The cluster around a silo's replicas: states through grain storage, messages through <see cref="IReplicaService"/>, live
/// brokers from Orleans' membership.</summary>
/// <param name="services">The silo's services, resolved on first use, since the replicas are opened before all of them can be
/// created.</param>
/// <param name="ownBroker">This broker.</param>
internal sealed class SiloReplicationHost(IServiceProvider services, int ownBroker) : IReplicationHost
{
    private readonly Lazy<IPartitionStates> _states = new(services.GetRequiredService<IPartitionStates>);
    private readonly Lazy<ReplicaServices> _others = new(services.GetRequiredService<ReplicaServices>);
    private readonly Lazy<ClusterMembership> _membership = new(services.GetRequiredService<ClusterMembership>);
    private readonly Lazy<IReplicaSpecs?> _specs = new(services.GetService<IReplicaSpecs>);
    private readonly Lazy<ILeadershipReports[]> _reports = new(() => [.. services.GetServices<ILeadershipReports>()]);

    /// <inheritdoc/>
    public Task<StoredPartitionState?> ReadStateAsync(ReplicaKey key, CancellationToken cancellationToken) =>
        _states.Value.ReadAsync(key).WaitAsync(cancellationToken);

    /// <inheritdoc/>
    public Task<string> WriteStateAsync(ReplicaKey key, PartitionState state, string etag, CancellationToken cancellationToken) =>
        _states.Value.WriteAsync(key, state, etag).WaitAsync(cancellationToken);

    /// <inheritdoc/>
    /// <remarks>The runtime writes the bundle to a connection without a copy, possibly after the call was cancelled.</remarks>
    public Task<ReadOnlyMemory<byte>> DeliverAsync(int broker, ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken) =>
        _others.Value.Of(broker).DeliverAsync(ownBroker, bundle).WaitAsync(cancellationToken);

    /// <inheritdoc/>
    public bool IsAlive(int broker) => _membership.Value.IsAlive(broker);

    /// <inheritdoc/>
    public bool IsStaying(int broker) => _membership.Value.IsActive(broker);

    /// <inheritdoc/>
    public ReplicaSpec? FindSpec(ReplicaKey key) => _specs.Value?.Find(key);

    /// <inheritdoc/>
    public bool IsDeleted(Guid topicId) => _specs.Value?.IsDeleted(topicId) ?? false;

    /// <inheritdoc/>
    public void OnLeadershipChanged(Replica replica)
    {
        foreach (var reports in _reports.Value)
            reports.Report(replica);
    }
}
