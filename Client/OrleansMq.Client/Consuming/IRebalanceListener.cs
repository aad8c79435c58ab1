namespace OrleansMq.Client;

/// <summary>
/// Hears which partitions come and go. Called in the background, one call at a time, while records of other partitions go on; heartbeats go
/// on too, so a call may await. The consumer that it is given may be sought and may commit. What a call throws is logged, and the rebalance
/// goes on; partitions whose <see cref="OnAssignedAsync"/> failed are not read until they are sought.
/// </summary>
public interface IRebalanceListener
{
    /// <summary>Partitions that are the consumer's from now on. Their fetching starts when the call has completed: a
    /// <see cref="IConsumer.Seek"/> in it decides where.</summary>
    ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;

    /// <summary>Partitions that another will get, or that are given up at the end. No record of them is in flight any more (or
    /// <see cref="ConsumerOptions.DrainTimeout"/> is over), what is done is committed, and they may still be committed in the
    /// call.</summary>
    ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;

    /// <summary>Partitions that are another's already, since the consumer was cut off or fenced. Nothing can be committed for
    /// them.</summary>
    ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;
}
