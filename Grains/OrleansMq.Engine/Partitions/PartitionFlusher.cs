using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// Flushes a partition's log as <see cref="FlushDecision"/> requires: with the round that wrote, or in the background.
/// </summary>
/// <remarks>
/// State: the records noted for a background flush, and the wish for a checkpoint. Under <c>sync</c> noted records are flushed already,
/// but the flushed point on disk does not cover them yet. Records are noted under the log's append lock. The flush timer resets the count
/// without that lock: what was appended before the reset is part of the flush, what comes later is noted for the next.
/// <para>Failures: a failed flush takes the partition offline and fails the round that waits for it. It is never retried. A full disk, or a
/// file that cannot be opened for lack of handles, leaves the partition online: no flush was tried. The round fails, and the records stay
/// noted, so that the timer flushes them. So they do after a bug in a background flush, which is logged.</para>
/// </remarks>
internal sealed class PartitionFlusher(Partition partition)
{
    /// <summary>The least time between two checkpoints that rolled segments cause. Each costs some flushes, and small segments may roll
    /// many times a second.</summary>
    private const long MinCheckpointIntervalMs = 1000;

    private long _notedRecords;
    private long _notedSince;
    private long _lastCheckpoint;
    private volatile bool _isCheckpointWanted;
    private int _isScheduled;

    /// <summary>Flushes records that the only replica wrote, or notes them, as the policy requires. Under the append lock.</summary>
    /// <returns>A fault that passes and kept the records from being flushed: they do not count yet. Null otherwise.</returns>
    /// <exception cref="IOException">The flush failed.</exception>
    public Exception? AfterWrite(long records, long now)
    {
        var config = partition.Config;
        if (!FlushDecision.MustFlushRound(config))
        {
            AfterReplicatedWrite(config, records, now);
            return null;
        }
        // The timer writes the flushed point down. Its one thread serves all partitions: if it is late, this append does it.
        var isLate = _notedRecords > 0 && FlushDecision.IsFlushedPointDue(_notedSince, now);
        var log = partition.Log!;
        try
        {
            log.FlushTo(log.End, secure: isLate);
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            Note(records, now);
            return fault;
        }
        if (isLate)
            Volatile.Write(ref _notedSince, now);
        Note(records, now);
        return null;
    }

    /// <summary>Notes records of one replica of several, if the policy has a background flush. Under the append lock. Under <c>sync</c> a
    /// leader calls <see cref="FlushRound"/> without that lock, and a follower flushes before it acknowledges.</summary>
    public void AfterReplicatedWrite(TopicConfig config, long records, long now)
    {
        if (FlushDecision.FlushesInBackground(config))
            Note(records, now);
    }

    /// <summary>Flushes a leader's round where the policy requires it. Not under the append lock: followers, which have the batches by now,
    /// flush meanwhile. A failed flush takes the partition offline and fails the round.</summary>
    /// <returns>Whether the log's durable end may have moved.</returns>
    public bool FlushRound(AppendRound round)
    {
        var log = partition.Log!;
        if (!FlushDecision.MustFlushRound(partition.Config) || partition.OfflineReason is not null || log.SecuredOffset >= log.LogEndOffset)
            return false;
        try
        {
            log.Flush();
            return true;
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            FlushLater();
            FailUnflushed(round.Operations, fault);
            return false;
        }
        catch (Exception fault)
        {
            // A bug, too, ends this partition, and not the thread that others share.
            round.Fail(partition, fault);
            return false;
        }
    }

    /// <summary>Notes that records wait for a flush that could not begin: the timer flushes them. Not under the append lock.</summary>
    public void FlushLater()
    {
        var log = partition.Log!;
        lock (log.AppendLock)
            Note(1, partition.Ports.Log.Now);
    }

    /// <summary>Flushes what the only replica wrote, while appends go on. Not under the append lock. A failed flush takes the partition
    /// offline.</summary>
    /// <param name="end">The offset up to which the log is flushed now; with a fault, up to which it should be.</param>
    /// <returns>A fault that passes and kept the records from being flushed. Null otherwise.</returns>
    public Exception? FlushBeside(out long end)
    {
        var log = partition.Log!;
        LogPosition target;
        long now;
        bool isLate;
        lock (log.AppendLock)
        {
            (target, now) = (log.End, partition.Ports.Log.Now);
            isLate = _notedRecords > 0 && FlushDecision.IsFlushedPointDue(_notedSince, now);
        }
        end = target.Offset;
        Exception? passing = null;
        try
        {
            log.FlushTo(target, secure: isLate);
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            passing = fault;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            partition.GoOffline(StorageFaults.Describe(log.Directory, fault), fault);
            return null;
        }
        lock (log.AppendLock)
        {
            if (isLate && passing is null)
                Volatile.Write(ref _notedSince, now);
            Note(1, now);
        }
        return passing;
    }

    /// <summary>Fails the appends that are written, but could not be flushed for the moment. The batches stay in the log, so the
    /// error says that the outcome is unknown.</summary>
    public void FailUnflushed(List<AppendOperation> operations, Exception fault)
    {
        var reason = StorageFaults.DescribeUnflushed(partition.Log!.Directory, fault);
        partition.Ports.FailedWrites.Write(EngineLogLevel.Warning, $"Partition {partition.TopicPartition}: {reason}");
        foreach (var operation in operations)
        {
            if (operation.IsWritten)
                operation.Decide(ProduceResult.Failed(ErrorCode.RequestTimedOut, reason));
        }
    }

    /// <summary>Asks for a checkpoint, after a segment was rolled.</summary>
    public void WantCheckpoint()
    {
        _isCheckpointWanted = true;
        Schedule();
    }

    /// <summary>Flushes if that is due, and moves the recovery point if a checkpoint is wanted and due. The flush timer calls it.</summary>
    /// <returns>False if something remains for a later tick.</returns>
    public bool FlushIfDue(long now)
    {
        if (!partition.Availability.IsServing)
            return true;
        var isCheckpointDue = _isCheckpointWanted && FlushDecision.HasPassed(MinCheckpointIntervalMs, _lastCheckpoint, now);
        if (!isCheckpointDue && !IsFlushDue(now))
            return false;
        // Before the flush: records appended from here on schedule the next one.
        var (records, since) = (Volatile.Read(ref _notedRecords), Volatile.Read(ref _notedSince));
        Volatile.Write(ref _notedRecords, 0);
        if (isCheckpointDue)
            (_isCheckpointWanted, _lastCheckpoint) = (false, now);
        var isDone = !_isCheckpointWanted;
        if (isDone)
            Volatile.Write(ref _isScheduled, 0);
        if (!TryFlush(isCheckpointDue))
        {
            Restore(records, since);
            if (isCheckpointDue)
                WantCheckpoint();
        }
        return isDone;
    }

    // A bug concerns this partition alone, and the next tick tries again.
    private bool TryFlush(bool isCheckpoint)
    {
        try
        {
            if ((isCheckpoint ? partition.Checkpoint() : partition.Flush()) is not null)
                return false;
            partition.Replication.OnFlushed();
            return true;
        }
        catch (Exception bug)
        {
            partition.Ports.FailedFlushes.Write(EngineLogLevel.Error,
                $"A bug in OrleansMq stopped the background flush of {partition.TopicPartition}: {bug.Message} Please report it.", bug);
            return false;
        }
    }

    // The flush could not be done for the moment: its records are due at once.
    private void Restore(long records, long since)
    {
        if (records == 0)
            return;
        lock (partition.Log!.AppendLock)
        {
            Volatile.Write(ref _notedSince, since);
            Volatile.Write(ref _notedRecords, _notedRecords + records);
        }
        Schedule();
    }

    private bool IsFlushDue(long now) =>
        FlushDecision.IsBackgroundFlushDue(partition.Config, Volatile.Read(ref _notedRecords), Volatile.Read(ref _notedSince), now);

    private void Note(long records, long now)
    {
        if (_notedRecords == 0)
            Volatile.Write(ref _notedSince, now);
        Volatile.Write(ref _notedRecords, _notedRecords + records);
        Schedule();
    }

    private void Schedule()
    {
        if (Interlocked.Exchange(ref _isScheduled, 1) == 0)
            partition.Ports.Flushes.Add(this);
    }
}
