using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

// What happens beside the appends: background flushes, recovery points, retention, delete-records, the end.
public sealed partial class Partition
{
    /// <summary>Rolling asks for a recovery point; small segments may ask many times a second, and each costs some flushes.</summary>
    private const long MinCheckpointIntervalMs = 1000;

    // One upkeep at a time: taken before the log's own locks. Compaction, which may take hours, is not part of it.
    private readonly Lock _upkeepLock = new();
    // Appended since the last flush in the background; under sync they are flushed, but nothing on disk says so.
    private long _unflushedRecords;
    private long _unflushedSince;
    private long _lastCheckpoint;
    private volatile bool _checkpointWanted;
    private int _flushScheduled;

    /// <summary>Moves the log start offset; durable when it returns.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.OffsetOutOfRange"/>, <see cref="ErrorCode.PolicyViolation"/> (a topic that
    /// is only
    /// compacted), <see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async ValueTask<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (RefuseRead(out var refusal) is not ErrorCode.None and var refused)
            throw new BrokerException(refused, refusal);
        if (!Config.CleanupDelete)
            throw new BrokerException(ErrorCode.PolicyViolation,
                $"The topic '{TopicPartition.Topic}' is only compacted: records cannot be deleted by offset. Add "
                + "'delete' to its cleanup.policy.");
        var limit = HighWatermark;
        var offset = beforeOffset == -1 ? limit : beforeOffset;
        if (offset < 0 || offset > limit)
            throw new BrokerException(ErrorCode.OffsetOutOfRange,
                $"Records of {TopicPartition} can be deleted up to offset {limit}; {beforeOffset} was asked for.");
        // Flushes block: not on the caller's thread, which may be a grain's.
        var full = await Task.Run(() => Upkeep(log => MoveLogStart(log, offset)), CancellationToken.None).ConfigureAwait(false);
        if (Refusal(out refusal) is not ErrorCode.None and var failed)
            throw new BrokerException(failed, refusal);
        if (full is not null)
            throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.DescribeRefused(_log!.Directory, full), full);
        return LogStartOffset;
    }

    /// <summary>
    /// Flushes if <c>flush.ms</c> or <c>flush.messages</c> says so, writes down how far was flushed, and moves the recovery point if a
    /// segment was rolled.
    /// </summary>
    /// <returns>False when something is left to do later.</returns>
    internal bool FlushIfDue(long now)
    {
        if (_deleted || _closed || OfflineReason is not null)
            return true;
        var checkpointIsDue = _checkpointWanted && FlushDecision.HasPassed(MinCheckpointIntervalMs, _lastCheckpoint, now);
        if (!checkpointIsDue
            && !FlushDecision.IsBackgroundFlushDue(Config, Volatile.Read(ref _unflushedRecords), Volatile.Read(ref _unflushedSince), now))
            return false;
        // What is appended from here on schedules the next flush; what was, is in this one.
        Volatile.Write(ref _unflushedRecords, 0);
        if (!checkpointIsDue)
        {
            var done = !_checkpointWanted;
            if (done)
                Volatile.Write(ref _flushScheduled, 0);
            Flush();
            return done;
        }
        _checkpointWanted = false;
        _lastCheckpoint = now;
        Volatile.Write(ref _flushScheduled, 0);
        Checkpoint();
        return true;
    }

    /// <summary>Makes all that was appended durable, and writes down that it is.</summary>
    internal void Flush() => Upkeep(static log => log.Flush());

    /// <summary>Moves the recovery point to the log's end, if that has moved; deletes files whose time has come.</summary>
    internal void Checkpoint() => Upkeep(log =>
    {
        log.MoveRecoveryPoint();
        log.DeleteRemoved(_ports.Log.Now);
    });

    /// <summary>Rolls by age, drops what retention says, forgets idle producers.</summary>
    internal void Maintain(long now) => Upkeep(log =>
    {
        log.RollIfOld(now);
        if (log.Retain(HighWatermark, now) > 0)
            _epochs!.TruncateFromStart(log.LogStartOffset);
        lock (log.AppendLock)
            log.State.RemoveExpired(now, _ports.ProducerIdExpiration);
        log.DeleteRemoved(now);
    });

    /// <summary>
    /// Ends the partition in good order: what waits is written, all is flushed, the recovery point is the log's end.
    /// </summary>
    /// <returns>Whether it did; not so when it is or went offline.</returns>
    internal async Task<bool> CloseAsync()
    {
        _closed = true;
        await _queue.CloseAsync().ConfigureAwait(false);
        _waiters.WakeAll();
        Upkeep(log =>
        {
            log.WriteIndexes();
            if (!log.MoveRecoveryPoint())
                log.WriteHighWatermark();
            log.DeleteAllRemoved();
        });
        _log?.CloseFiles();
        return OfflineReason is null;
    }

    /// <summary>Ends the partition because its topic is deleted; the caller removes the directory afterwards.</summary>
    internal async Task AbandonAsync()
    {
        _deleted = true;
        await StopCompactionAsync().ConfigureAwait(false);
        await _queue.CloseAsync().ConfigureAwait(false);
        _waiters.WakeAll();
        await Task.Run(() => Upkeep(static _ => { })).ConfigureAwait(false); // Waits for an upkeep that began before.
        _log?.CloseFiles();
    }

    private void MoveLogStart(SegmentedLog log, long offset)
    {
        log.MoveLogStart(offset, _ports.Log.Now);
        _epochs!.TruncateFromStart(log.LogStartOffset);
    }

    // Under the append lock, as the next.
    private void NoteUnflushed(long records, long now)
    {
        if (_unflushedRecords == 0)
            Volatile.Write(ref _unflushedSince, now);
        Volatile.Write(ref _unflushedRecords, _unflushedRecords + records);
        ScheduleFlush();
    }

    private void WantCheckpoint()
    {
        _checkpointWanted = true;
        ScheduleFlush();
    }

    private void ScheduleFlush()
    {
        if (Interlocked.Exchange(ref _flushScheduled, 1) == 0)
            _ports.Flushes.Add(this);
    }

    private DiskFullException? Upkeep(Action<SegmentedLog> action)
    {
        lock (_upkeepLock)
            return Guarded(action);
    }

    /// <summary>Runs something on the log; a fault of the disk takes the partition offline.</summary>
    /// <returns>The full disk that kept it from being done; null where it was done, and where the partition is offline.</returns>
    private DiskFullException? Guarded(Action<SegmentedLog> action)
    {
        if (_log is null || OfflineReason is not null || _deleted)
            return null;
        try
        {
            action(_log);
        }
        catch (DiskFullException fault)
        {
            // Nothing is lost by waiting: what could not be written down is tried again the next time.
            _ports.Log.EngineLog.Write(EngineLogLevel.Warning,
                $"Partition {TopicPartition}: {StorageFaults.DescribeRefused(_log.Directory, fault)}", fault);
            return fault;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            if (!_deleted)
                GoOffline(StorageFaults.Describe(_log.Directory, fault), fault);
        }
        return null;
    }
}
