using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// Keeps the mark <see cref="ReplicaMarks.CountedOnlyFlushed"/> in line with the topic's flush policy. With the mark, a replica stays the
/// same member after a power cut.
/// <code>
/// counts unflushed   -- the policy becomes sync                               --> awaits a flush
/// awaits a flush     -- all that may have been counted before is flushed      --> counts only flushed   (mark set, durably)
/// any                -- the policy becomes weaker                             --> counts unflushed      (mark cleared first, durably)
/// </code>
/// </summary>
/// <remarks>
/// State: the log end when the policy became <c>sync</c>. The lock orders changes of the policy with the mark; it is taken before the log's
/// own locks.
/// <para>Failures: as <see cref="Partition.TryOnLog"/>. While a full disk keeps the mark from being cleared, the partition flushes as under
/// <c>sync</c>; the next image brings the configuration again. While it keeps the mark from being set, each checkpoint tries again.</para>
/// </remarks>
internal sealed class FlushPromise(Partition partition)
{
    private const long None = -1;

    private readonly Lock _lock = new();
    private long _awaited = None;

    /// <summary>Puts a configuration in force.</summary>
    public void Follow(TopicConfig config)
    {
        lock (_lock)
        {
            if (FlushDecision.CountsOnlyFlushed(config))
            {
                partition.SetConfig(config);
                AwaitFlush();
                return;
            }
            _awaited = None;
            // Before a weaker policy is followed, the disk must know that the incarnation no longer survives a power cut.
            var isCleared = partition.TryOnLog(static log => log.GiveUpCountingOnlyFlushed()) is null;
            partition.SetConfig(isCleared ? config : FlushDecision.UntilConfigured(config));
        }
    }

    /// <summary>Sets the mark if the log is flushed far enough.</summary>
    public void OnFlushed(SegmentedLog log)
    {
        if (Volatile.Read(ref _awaited) == None)
            return;
        lock (_lock)
        {
            if (_awaited == None || !FlushDecision.HasFlushedCounted(log.SecuredOffset, _awaited, log.LogEndOffset))
                return;
            log.BeginCountingOnlyFlushed();
            _awaited = None;
        }
    }

    private void AwaitFlush()
    {
        if (_awaited != None || partition.Log is not { } log)
            return;
        var marks = log.Marks;
        if (marks.CountedOnlyFlushed || marks.Incarnation == Guid.Empty)
            return;
        // What is counted under the append lock from here on follows the new policy.
        lock (log.AppendLock)
            Volatile.Write(ref _awaited, log.LogEndOffset);
        partition.Flusher.WantCheckpoint();
    }
}
