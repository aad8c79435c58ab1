using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Clusters;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Partitions;

/// <summary>The brokers of a replicated cluster, from its membership. This broker's own replicas are asked directly.</summary>
internal sealed class ReplicatedBrokers(IServiceProvider services, SiloBroker broker, ClusterMembership membership) : IBrokerPeers,
    ILocalReplicas
{
    // Resolved on first use, since they are created after their dependants.
    private readonly Lazy<SiloReplicas> _replicas = new(services.GetRequiredService<SiloReplicas>);
    private readonly Lazy<ReplicaServices> _others = new(services.GetRequiredService<ReplicaServices>);
    private readonly Lazy<PartitionLeadership> _leadership = new(services.GetRequiredService<PartitionLeadership>);
    private readonly Lazy<IClusterMetadata> _metadata = new(services.GetRequiredService<IClusterMetadata>);
    private readonly Lazy<IReplicaSpecs?> _specs = new(services.GetService<IReplicaSpecs>);

    /// <inheritdoc/>
    public event Action Changed
    {
        add => membership.Changed += value;
        remove => membership.Changed -= value;
    }

    /// <inheritdoc/>
    public bool IsReplicated => true;

    /// <inheritdoc/>
    public int Self => broker.Options.BrokerId.Value;

    /// <inheritdoc/>
    public IReadOnlyCollection<int> Live => [.. membership.Brokers.Silos.Keys];

    /// <inheritdoc/>
    public ReplicaManager Manager => _replicas.Value.Manager;

    /// <inheritdoc/>
    public bool LeadsHere(ReplicaKey key) => _replicas.Value.Find(key) is { HoldsLease: true };

    /// <inheritdoc/>
    public SiloAddress? Find(int broker) => membership.AddressOf(broker);

    /// <inheritdoc/>
    public bool IsActive(int broker) => membership.IsActive(broker);

    /// <inheritdoc/>
    public int? FindExpectedLeader(ReplicaKey key)
    {
        var image = _metadata.Value.Image;
        if (!image.TryGetPartition(key, out _, out var partition))
            return image.Version == 0 ? LeaderChoice.Nobody : null;
        foreach (var broker in partition.Replicas)
        {
            if (IsActive(broker) && (partition.Isr.IsEmpty || partition.Isr.Contains(broker)))
                return broker;
        }
        return null;
    }

    /// <inheritdoc/>
    public TopicConfig? FindConfig(ReplicaKey key) =>
        Manager.TryGet(key, out var replica) ? replica.Partition.Config : _specs.Value?.Find(key)?.Config;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ReplicaReport?>> ReportAsync(int broker, IReadOnlyList<ReplicaKey> keys,
        CancellationToken cancellationToken)
    {
        if (broker == Self)
            return [.. keys.Select(key => Manager.TryGet(key, out var replica) ? _leadership.Value.Report(replica) : null)];
        var reports = await _others.Value.ReportAsync(broker, keys, cancellationToken).ConfigureAwait(false);
        var byKey = reports.ToDictionary(report => report.Key);
        return [.. keys.Select(byKey.GetValueOrDefault)];
    }
}
