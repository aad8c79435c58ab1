namespace OrleansMq.Client.PostgreSql;

/// <summary>A message as the relay queues it: without its value.</summary>
/// <param name="Id">Its place in the outbox.</param>
/// <param name="Topic">Its topic.</param>
/// <param name="Partition">Its partition; null: its key chooses.</param>
/// <param name="Key">Its key; null for none.</param>
/// <param name="Size">Its bytes.</param>
internal readonly record struct OutboxRow(long Id, string Topic, int? Partition, byte[]? Key, int Size);

/// <summary>Messages that are stored together with the partition, producer and sequence that they are sent under. Every relay that sends
/// them sends the same.</summary>
/// <param name="Target">The partition.</param>
/// <param name="ProducerId">The producer.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Sequence">The sequence of the first message.</param>
/// <param name="Ids">The messages, in order.</param>
internal sealed record OutboxBatch(TopicPartition Target, long ProducerId, short Epoch, int Sequence, IReadOnlyList<long> Ids);

/// <summary>Messages to read: those of a topic, or of all topics, with ids above one and up to another.</summary>
/// <param name="Topic">The topic; null for all.</param>
/// <param name="Above">The id before the first.</param>
/// <param name="UpTo">The last id.</param>
/// <param name="Limit">The most messages.</param>
/// <param name="Partition">The partition of the lane that reads; null: those of all lanes are placed. Keys choose partitions, so the
/// messages of the others are read with its own.</param>
internal sealed record OutboxRead(string? Topic, long Above, long UpTo, int Limit, int? Partition = null);

/// <summary>A message that its topic refused for good.</summary>
internal readonly record struct OutboxRefusal(long Id, string Cause);

/// <summary>Messages that a transaction of the relay loads, to send them.</summary>
/// <param name="Target">The partition.</param>
/// <param name="Ids">The messages, in order.</param>
/// <param name="Stored">The batch that they are; null: they become one in this transaction.</param>
internal sealed record OutboxTake(TopicPartition Target, IReadOnlyList<long> Ids, OutboxBatch? Stored);

/// <summary>What the relay's transaction writes at its end, and what is sent after its commit.</summary>
/// <param name="Stores">The batches to store, each instead of the one before of its partition.</param>
/// <param name="Removes">The partitions that have no batch any more.</param>
/// <param name="Sends">The batches to send when the transaction is committed.</param>
internal sealed record OutboxBinding(IReadOnlyList<OutboxBatch> Stores, IReadOnlyList<TopicPartition> Removes,
    IReadOnlyList<OutboxBatch> Sends);

/// <summary>What an answer of the broker means for a batch.</summary>
internal enum OutboxVerdict
{
    /// <summary>The messages are in the partition.</summary>
    Delivered = 0,
    /// <summary>They are not known to be, and are sent again under their sequences.</summary>
    Retry = 1,
    /// <summary>One of them is refused: they are sent one by one.</summary>
    Split = 2,
    /// <summary>The message is refused for good, and is parked.</summary>
    Refused = 3,
    /// <summary>The broker does not know the producer as it was: they are sent again under other sequences.</summary>
    Renewed = 4,
}
