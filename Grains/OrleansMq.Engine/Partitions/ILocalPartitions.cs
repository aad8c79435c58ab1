using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Partitions;

/// <summary>
/// The partitions that this process serves: all of a standalone broker, and on a silo those whose grain is active there. A caller that
/// finds one here calls the engine directly: no serialization, no grain call.
/// </summary>
public interface ILocalPartitions
{
    /// <summary>Every partition that this process has a replica of, whoever leads it, in no order; empty while the broker starts and
    /// stops.</summary>
    IReadOnlyCollection<Partition> Held { get; }

    /// <summary>The partition, if it is served here.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="found">The engine's partition. Its own epoch, not this look-up, decides whether it may still append.</param>
    bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found);
}
