using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

// A partition with replicas elsewhere: who leads it, and how far its log is safe to show, is said from outside.
public sealed partial class Partition
{
    private volatile IPartitionReplication? _replication;

    /// <summary>Whether it is one replica of several, or could be: then its replicas decide what is acknowledged.</summary>
    public bool IsReplicated => _replication is not null;

    /// <summary>Which offsets were written in which epoch; null where the log could not be opened.</summary>
    internal LeaderEpochCache? Epochs => _epochs;

    /// <summary>Those who wait for records.</summary>
    internal FetchWaiters Waiters => _waiters;

    /// <summary>What its broker's partitions share.</summary>
    internal PartitionPorts Ports => _ports;

    /// <summary>From now on it is one replica of several: it serves only while it leads, and its high watermark is what it is told. Before
    /// it serves anybody.</summary>
    internal void Replicate(IPartitionReplication replication)
    {
        if (_log is not null)
        {
            lock (_log.AppendLock)
                SetHighWatermark(Math.Clamp(_log.Marks.HighWatermark, _log.LogStartOffset, _log.LogEndOffset));
        }
        _replication = replication;
    }

    /// <summary>Flushes as under <c>sync</c> until the topic's configuration comes by <see cref="UpdateConfig"/>. Before it serves
    /// anybody.</summary>
    internal void FlushUntilConfigured()
    {
        var config = Config with { FlushMessages = 1 };
        Volatile.Write(ref _config, config);
        _log!.Config = config;
    }

    /// <summary>Appends are stamped with this epoch from now on. Under the append lock.</summary>
    internal void LeadIn(int epoch) => Volatile.Write(ref _leaderEpoch, epoch);

    /// <summary>Readers see what lies below. Under the append lock.</summary>
    internal void SetHighWatermark(long offset)
    {
        Invariant.Check(offset <= _log!.LogEndOffset, "The high watermark lies beyond the log's end.");
        Volatile.Write(ref _highWatermark, offset);
        _log.NoteHighWatermark(offset);
    }

    /// <summary>So many records were written: flushes them where the policy says so, and sees to it that the rest follows. Under the append
    /// lock.</summary>
    internal void FollowFlushPolicy(long records, long now)
    {
        if (_config.FlushPolicy == FlushPolicy.None)
            return;
        if (_config.FlushPolicy == FlushPolicy.Sync)
            FlushNow(now);
        NoteUnflushed(records, now);
    }

    // How far was flushed is written down by the clockwork; by whoever still appends where its time has come, since one thread does it for
    // all partitions.
    private void FlushNow(long now)
    {
        var isLate = _unflushedRecords > 0 && HasPassed(FlushedPointLagMs, _unflushedSince, now);
        _log!.FlushTo(_log.End, writeDown: isLate);
        if (isLate)
            Volatile.Write(ref _unflushedSince, now);
    }

    /// <summary>Begins a new segment; the rolled one is flushed in the background. Under the append lock.</summary>
    internal void Roll(long now)
    {
        _log!.Roll(now);
        WantCheckpoint();
    }

    // What the flush policy promised for as long as this incarnation exists must not be broken before it is written down that it no longer
    // holds.
    private void GiveUpCountingOnlyFlushed(TopicConfig config)
    {
        if (config.FlushPolicy == FlushPolicy.Sync || _log is null || !_log.Marks.CountedOnlyFlushed)
            return;
        Guarded(static log => log.WriteMarks(log.Marks with { CountedOnlyFlushed = false }));
    }
}
