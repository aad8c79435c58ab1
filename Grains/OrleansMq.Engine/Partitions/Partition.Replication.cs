using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

// What the partition's replication decides and does: who leads, how far the log is safe to show, and when it is flushed.
public sealed partial class Partition
{
    private volatile IPartitionReplication _replication;

    /// <summary>Which offsets were written in which epoch; null where the log could not be opened.</summary>
    internal LeaderEpochCache? Epochs => _epochs;

    /// <summary>Those who wait for records.</summary>
    internal FetchWaiters Waiters => _waiters;

    /// <summary>What its broker's partitions share.</summary>
    internal PartitionPorts Ports => _ports;

    /// <summary>Makes it one replica of several: it serves only while it leads, and its replicas decide its high watermark. Called before
    /// the partition serves.</summary>
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
        var config = FlushDecision.UntilConfigured(Config);
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

    /// <summary>Advances the high watermark to the log end. Under the append lock.</summary>
    internal void AdvanceHighWatermark()
    {
        var end = _log!.LogEndOffset;
        Invariant.Check(end >= _highWatermark, "The high watermark went back.");
        Volatile.Write(ref _highWatermark, end);
    }

    /// <summary>So many records were written: flushes them where the policy says so, and sees to it that the rest follows. Under the append
    /// lock.</summary>
    internal void FollowFlushPolicy(long records, long now)
    {
        var config = _config;
        if (FlushDecision.MustFlushRound(config))
        {
            FlushNow(now);
            NoteUnflushed(records, now);
            return;
        }
        FlushLater(config, records, now);
    }

    /// <summary>Notes records of one replica of several for the background flush, if the policy has one. Under the append lock; for a
    /// leader under <c>sync</c> see <see cref="FlushRound"/>.</summary>
    internal void FlushLater(TopicConfig config, long records, long now)
    {
        if (FlushDecision.FlushesInBackground(config))
            NoteUnflushed(records, now);
    }

    /// <summary>Flushes what a leader wrote under <c>sync</c>: beside its followers, which have the batches by now, and off the append
    /// lock. A flush that fails takes the partition offline and fails the round.</summary>
    /// <returns>Whether the log's durable end may have moved.</returns>
    internal bool FlushRound(AppendRound round)
    {
        if (!FlushDecision.MustFlushRound(_config) || OfflineReason is not null || _log!.SecuredOffset >= _log.LogEndOffset)
            return false;
        try
        {
            _log.Flush();
            return true;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            var reason = StorageFaults.Describe(_log.Directory, fault);
            GoOffline(reason, fault);
            foreach (var operation in round.Operations)
                operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, reason));
            return false;
        }
    }

    // How far was flushed is written down by the clockwork; by whoever still appends where its time has come, since one thread does it for
    // all partitions.
    private void FlushNow(long now)
    {
        var isLate = _unflushedRecords > 0 && FlushDecision.IsFlushedPointDue(_unflushedSince, now);
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
        if (FlushDecision.CountsOnlyFlushed(config) || _log is null || !_log.Marks.CountedOnlyFlushed)
            return;
        Guarded(static log => log.WriteMarks(log.Marks with { CountedOnlyFlushed = false }));
    }
}
