using System.Diagnostics.CodeAnalysis;
using OrleansMq.Partitions;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// The partitions whose grain is active on this very silo. <see cref="GrainBroker"/> calls these directly: no serialization, no grain call.
/// </summary>
public interface ILocalPartitions
{
    /// <summary>The partition, if its grain is active here.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="found">The engine's partition. Its own epoch, not this look-up, decides whether it may still append.</param>
    bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found);
}
