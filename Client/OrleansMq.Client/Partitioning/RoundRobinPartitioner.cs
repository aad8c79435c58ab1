using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace OrleansMq.Client;

/// <summary>Sends each record to the next partition, whatever its key. Even to the record, but with the smallest batches.</summary>
public sealed class RoundRobinPartitioner : IPartitioner
{
    private readonly ConcurrentDictionary<string, StrongBox<uint>> _nextByTopic = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public int Choose(string topic, ReadOnlySpan<byte> key, bool hasKey, int partitionCount)
    {
        var next = _nextByTopic.GetOrAdd(topic, static _ => new StrongBox<uint>());
        return (int)((Interlocked.Increment(ref next.Value) - 1) % (uint)partitionCount);
    }
}
