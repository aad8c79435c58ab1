using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Grains.Hosting;
using OrleansMq.Partitions;

namespace OrleansMq.Grains.Partitions;

/// <summary>The partitions whose grain is active on this silo. The grains add and remove them.</summary>
internal sealed class ServedPartitions(SiloBroker broker) : ILocalPartitions
{
    private readonly ConcurrentDictionary<TopicPartition, Partition> _served = new();

    /// <inheritdoc/>
    public IReadOnlyCollection<Partition> Held => broker.IsOpen ? broker.Partitions.Partitions : [];

    /// <inheritdoc/>
    public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found) => _served.TryGetValue(partition, out found);

    /// <summary>Routes calls from this silo directly to the engine from now on.</summary>
    public void Add(Partition partition) => _served[partition.TopicPartition] = partition;

    /// <summary>Routes calls through the grain again. A partition of a newer topic with the same name stays.</summary>
    public void Remove(Partition partition) => _served.TryRemove(new(partition.TopicPartition, partition));
}
