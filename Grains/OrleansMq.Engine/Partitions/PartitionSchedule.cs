using System.Collections.Concurrent;

namespace OrleansMq.Partitions;

/// <summary>Partitions for which something is to be done in the background; each stands here at most once, which it sees to itself.</summary>
/// <param name="run">Does it if its time has come, given the broker's clock; false when the partition is to stay here.</param>
internal sealed class PartitionSchedule(Func<Partition, long, bool> run)
{
    private readonly ConcurrentQueue<Partition> _waiting = new();

    /// <summary>How many wait.</summary>
    public int Count => _waiting.Count;

    /// <summary>Adds a partition that has something to do.</summary>
    public void Add(Partition partition) => _waiting.Enqueue(partition);

    /// <summary>Does it for those whose time has come; the others keep waiting.</summary>
    public void Run(long now)
    {
        for (var left = _waiting.Count; left > 0 && _waiting.TryDequeue(out var partition); left--)
        {
            if (!run(partition, now))
                _waiting.Enqueue(partition);
        }
    }
}
