using System.Buffers.Binary;
using OrleansMq.Partitioning;

namespace OrleansMq.Outboxes;

/// <summary>Chooses the partitions of messages.</summary>
internal static class OutboxPartitions
{
    /// <summary>Returns the partition of a message: by its key, as every producer chooses it, or by the outbox, so that messages without a
    /// key stay in order.</summary>
    public static int Choose(long outboxId, OutboxMessage message, int partitions)
    {
        if (message.Key is { } key)
            return Murmur2Partitioner.ForKey(key, partitions);
        Span<byte> id = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(id, outboxId);
        return Murmur2Partitioner.ForKey(id, partitions);
    }
}
