using System.Collections.Concurrent;

namespace OrleansMq.Partitions;

/// <summary>
/// The partitions that have written since their last flush and are to be flushed in the background (<c>flush.ms</c>,
/// <c>flush.messages</c>);
/// each stands here at most once.
/// </summary>
internal sealed class FlushSchedule
{
    private readonly ConcurrentQueue<Partition> _waiting = new();

    /// <summary>How many wait.</summary>
    public int Count => _waiting.Count;

    /// <summary>Adds a partition that has something to flush.</summary>
    public void Add(Partition partition) => _waiting.Enqueue(partition);

    /// <summary>Flushes those whose time has come; the others keep waiting.</summary>
    public void Run(long now)
    {
        for (var left = _waiting.Count; left > 0 && _waiting.TryDequeue(out var partition); left--)
        {
            if (!partition.FlushIfDue(now))
                _waiting.Enqueue(partition);
        }
    }
}
