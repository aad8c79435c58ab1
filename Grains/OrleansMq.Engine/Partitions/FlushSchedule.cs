using System.Collections.Concurrent;

namespace OrleansMq.Partitions;

/// <summary>
/// The partitions with a background flush or a checkpoint ahead (<c>flush.ms</c>, <c>flush.messages</c>, a rolled segment). Each partition
/// is queued at most once.
/// </summary>
internal sealed class FlushSchedule
{
    private readonly ConcurrentQueue<PartitionFlusher> _waiting = new();

    /// <summary>Adds a partition.</summary>
    public void Add(PartitionFlusher partition) => _waiting.Enqueue(partition);

    /// <summary>Flushes the partitions that are due; the others stay.</summary>
    public void Run(long now)
    {
        for (var left = _waiting.Count; left > 0 && _waiting.TryDequeue(out var partition); left--)
        {
            if (!partition.FlushIfDue(now))
                _waiting.Enqueue(partition);
        }
    }
}
