using OrleansMq.Grains.Hosting;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Partitions;

/// <summary>The only broker of a cluster without replication.</summary>
internal sealed class SoleBroker(SiloBroker broker) : IBrokerPeers
{
    /// <inheritdoc/>
    public event Action Changed
    {
        add { }
        remove { }
    }

    /// <inheritdoc/>
    public bool IsReplicated => false;

    /// <inheritdoc/>
    public int Self => broker.Options.BrokerId.Value;

    /// <inheritdoc/>
    public IReadOnlyCollection<int> Live => [Self];

    /// <inheritdoc/>
    public SiloAddress? Find(int broker) => null;

    /// <inheritdoc/>
    public bool IsActive(int broker) => broker == Self;

    /// <inheritdoc/>
    public TopicConfig? FindConfig(ReplicaKey key) => null;

    /// <inheritdoc/>
    public Task<IReadOnlyList<ReplicaReport?>> ReportAsync(int broker, IReadOnlyList<ReplicaKey> keys,
        CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<ReplicaReport?>>(new ReplicaReport?[keys.Count]);
}
