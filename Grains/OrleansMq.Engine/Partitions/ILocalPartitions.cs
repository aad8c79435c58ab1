using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Partitions;

/// <summary>
/// The partitions that this process serves: all of a standalone broker; on a silo, those with an active grain there. A caller that finds a
/// partition here calls the engine directly: no serialization, no grain call.
/// </summary>
internal interface ILocalPartitions
{
    /// <summary>Every partition that this process has a replica of, led here or elsewhere, in no order. Empty while the broker starts and
    /// stops.</summary>
    IReadOnlyCollection<Partition> Held { get; }

    /// <summary>Finds a partition that is served here.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="found">The engine's partition. Its own epoch, not this lookup, decides whether it may still append.</param>
    bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found);
}
