using System.Collections.Concurrent;
using OrleansMq.Partitioning;

namespace OrleansMq.Client;

/// <summary>
/// Kafka's default partitioner. A key always maps to the same partition (murmur2 of its bytes), so that its records stay in order and land
/// where Kafka's clients put them. Records without a key stick to one partition until its batch is closed, then to another chosen at random
/// (KIP-480), which fills batches.
/// </summary>
public sealed class DefaultPartitioner : IPartitioner
{
    private readonly ConcurrentDictionary<string, Sticky> _stickyByTopic = new(StringComparer.Ordinal);
    private readonly Random _random;
    private Sticky? _last;

    /// <summary>Creates a partitioner for one producer.</summary>
    /// <param name="random">The source of sticky partitions; null for <see cref="Random.Shared"/>. Must be thread-safe if the producer is
    /// shared.</param>
    public DefaultPartitioner(Random? random = null) => _random = random ?? Random.Shared;

    /// <inheritdoc/>
    public int Choose(string topic, ReadOnlySpan<byte> key, bool hasKey, int partitionCount)
    {
        if (hasKey)
            return Murmur2Partitioner.ForKey(key, partitionCount);
        if (partitionCount == 1)
            return 0;
        var sticky = Volatile.Read(ref _last);
        if (sticky is null || !ReferenceEquals(sticky.Topic, topic))
        {
            sticky = _stickyByTopic.GetOrAdd(topic, static name => new Sticky(name));
            Volatile.Write(ref _last, sticky);
        }
        var partition = Volatile.Read(ref sticky.Partition);
        if ((uint)partition >= (uint)partitionCount)
        {
            partition = _random.Next(partitionCount);
            Volatile.Write(ref sticky.Partition, partition);
        }
        return partition;
    }

    /// <inheritdoc/>
    public void OnBatchClosed(string topic, int partition, int partitionCount)
    {
        if (partitionCount < 2 || !_stickyByTopic.TryGetValue(topic, out var sticky))
            return;
        // Never the same partition again, which would load partitions unevenly.
        var next = _random.Next(partitionCount - 1);
        Interlocked.CompareExchange(ref sticky.Partition, next >= partition ? next + 1 : next, partition);
    }

    private sealed class Sticky(string topic)
    {
        public readonly string Topic = topic;
        public int Partition = -1;
    }
}
