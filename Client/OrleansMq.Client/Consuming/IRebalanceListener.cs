namespace OrleansMq.Client;

/// <summary>
/// Receives assignments and revocations of partitions. Called in the background, one call at a time, while records of other partitions are
/// still handed out. Heartbeats continue, so a call may await. It may seek and commit with the consumer it receives. An exception is
/// logged, and the rebalance continues; partitions whose <see cref="OnAssignedAsync"/> failed are not read until they are sought.
/// </summary>
public interface IRebalanceListener
{
    /// <summary>Called for partitions newly assigned to the consumer. Fetching starts when the call has completed, at the position of a
    /// <see cref="IConsumer.Seek"/> within it, if any.</summary>
    ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;

    /// <summary>Called for partitions that move to another member, or are revoked on close. Their records are no longer in flight (or
    /// <see cref="ConsumerOptions.DrainTimeout"/> has passed), and what is done is committed. The call may still commit.</summary>
    ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;

    /// <summary>Called for partitions that may already be assigned to other members, since the consumer's session timed out or it was
    /// fenced. Nothing can be committed for them.</summary>
    ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) => default;
}
