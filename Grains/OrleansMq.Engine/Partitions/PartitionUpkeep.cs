using OrleansMq.Log;

namespace OrleansMq.Partitions;

/// <summary>
/// The work on a partition's log beside its appends: background flushes, checkpoints, retention, delete-records, and the last checkpoint at
/// the end.
/// </summary>
/// <remarks>
/// State: the upkeep lock, which admits one task at a time. It is taken before the log's own locks. Compaction, which may take hours, has a
/// lock of its own (<see cref="PartitionCompaction"/>).
/// <para>Failures: as <see cref="Partition.TryOnLog"/>. A full disk leaves the partition online, and the task is repeated when it is due
/// again. Another storage fault takes the partition offline, and later tasks do nothing.</para>
/// </remarks>
internal sealed class PartitionUpkeep(Partition partition, FlushPromise promise)
{
    // A leader's cursors are silent for a lease after its election.
    private static readonly TimeSpan StatementTimeout = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();

    /// <summary>Makes all that was appended durable, and writes the flushed point down.</summary>
    /// <returns>As <see cref="Partition.TryOnLog"/>.</returns>
    public Exception? Flush() => Run(static log => log.Flush());

    /// <summary>Moves the recovery point to the log's end, if that has moved, and deletes files that are due.</summary>
    /// <returns>As <see cref="Partition.TryOnLog"/>.</returns>
    public Exception? Checkpoint() => Run(log =>
    {
        log.MoveRecoveryPoint();
        promise.OnFlushed(log);
        log.DeleteRemoved(partition.Ports.Log.Now);
    });

    /// <summary>Rolls by age, applies retention, and forgets idle producers.</summary>
    public void Maintain(long now) => Run(log =>
    {
        log.RollIfOld(now);
        if (log.Retain(partition.HighWatermark, now, SettledBelow(log), out var wantedStart) > 0)
            partition.Epochs!.TruncateFromStart(log.LogStartOffset);
        // The statements of its cursors and message ids hold the rest. The next run finds them repeated.
        if (wantedStart > log.LogStartOffset && partition.Replication.Leadership is not null && HasCursors(log))
            partition.Cursors.Restate(wantedStart);
        var toldBelow = wantedStart;
        lock (log.AppendLock)
        {
            partition.Dedupe.Report(log.State.Dedupe.Count);
            // Where no id is left the newest change is all that keeps the cleaner from what is behind it.
            if (partition.Config.CleanupCompact && log.State.Dedupe.Count == 0)
                toldBelow = Math.Max(wantedStart, log.Segments[^1].BaseOffset);
        }
        partition.Dedupe.Maintain(toldBelow, log.Segments.TakeWhile(segment => segment.NextOffset <= toldBelow)
            .Sum(static segment => segment.Size));
        lock (log.AppendLock)
            log.State.RemoveExpired(now, partition.Ports.ProducerIdExpiration, log.LogStartOffset);
        log.DeleteRemoved(now);
    });

    /// <inheritdoc cref="Partition.DeleteRecordsAsync"/>
    public async ValueTask<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (partition.CanRead(out var refusal) is not ErrorCode.None and var refused)
            throw new BrokerException(refused, refusal);
        if (!partition.Config.CleanupDelete)
            throw new BrokerException(ErrorCode.PolicyViolation,
                $"The topic '{partition.TopicPartition.Topic}' is only compacted: records cannot be deleted by offset. Add "
                + "'delete' to its cleanup.policy.");
        var limit = partition.HighWatermark;
        var offset = beforeOffset == -1 ? limit : beforeOffset;
        if (offset < 0 || offset > limit)
            throw new BrokerException(ErrorCode.OffsetOutOfRange,
                $"Records of {partition.TopicPartition} can be deleted up to offset {limit}; {beforeOffset} was asked for.");
        if (SettledBelow(partition.Log!) is { } settled && offset > settled)
            throw new BrokerException(ErrorCode.PolicyViolation,
                $"Queues of {partition.TopicPartition} have settled the records below offset {settled} only, and the topic has "
                + "retention.until.settled: purge the queues first.");
        for (var isMoved = false; !isMoved;)
        {
            await StateCursorsAsync(offset, cancellationToken).ConfigureAwait(false);
            // The caller's thread may be a grain's, which must not wait for a flush.
            var passing = await Task.Run(() => Run(log => isMoved = TryMoveLogStart(log, offset)), CancellationToken.None)
                .ConfigureAwait(false);
            if (partition.Availability.Refuse(out refusal) is not ErrorCode.None and var failed)
                throw new BrokerException(failed, refusal);
            if (passing is not null)
                throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.DescribeRefused(partition.Log!.Directory, passing),
                    passing);
        }
        if (await partition.Replication.ReplicateLogStartAsync(offset).WaitAsync(cancellationToken).ConfigureAwait(false)
            is { } unknown)
            throw new BrokerException(ErrorCode.RequestTimedOut,
                $"Records of {partition.TopicPartition} below offset {offset} are deleted on this broker. A new leader may still have "
                + $"them, since {unknown}");
        return partition.LogStartOffset;
    }

    /// <summary>Writes everything out for a clean restart: indexes, recovery point, high watermark.</summary>
    /// <returns>As <see cref="Partition.TryOnLog"/>.</returns>
    public Exception? Finish() => Run(static log =>
    {
        log.WriteIndexes();
        if (!log.MoveRecoveryPoint())
            log.WriteHighWatermark();
        log.DeleteAllRemoved();
    });

    /// <summary>Waits for the task under way. Tasks that begin later find the partition closed or deleted.</summary>
    public void WaitUntilIdle()
    {
        lock (_lock)
        {
            // The task has ended.
        }
    }

    // Null: the topic's own retention decides. A follower's log starts where its leader's does: it may not know of a queue yet.
    private long? SettledBelow(SegmentedLog log)
    {
        if (!log.Config.RetentionUntilSettled)
            return null;
        if (partition.Replication.Leadership is null)
            return 0;
        if (!HasCursors(log))
            return null;
        // The configuration may be new.
        partition.Cursors.Signal();
        return partition.Cursors.SettledBelow;
    }

    private static bool HasCursors(SegmentedLog log)
    {
        lock (log.AppendLock)
            return log.State.Cursors.IsUsed;
    }

    // A cursor's newest statement stays in the log, and so do message ids.
    private async Task StateCursorsAsync(long offset, CancellationToken cancellationToken)
    {
        if (partition.Log!.StartBound(partition.HighWatermark) >= offset)
            return;
        await partition.Dedupe.RestateAsync(offset, cancellationToken).ConfigureAwait(false);
        if (partition.Log!.StartBound(partition.HighWatermark) >= offset)
            return;
        try
        {
            await partition.Cursors.RestateAsync(offset, StatementTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, $"Records of {partition.TopicPartition} below offset {offset} are needed: "
                + "its cursors could not be written anew above it, or dead-letter some of them. Nothing was deleted; retry.");
        }
    }

    // Not if a transition came after the statements that needs a record below the offset.
    private bool TryMoveLogStart(SegmentedLog log, long offset)
    {
        var isMoved = log.TryMoveLogStart(offset, partition.HighWatermark, partition.Ports.Log.Now);
        if (isMoved)
            partition.Epochs!.TruncateFromStart(log.LogStartOffset);
        return isMoved;
    }

    private Exception? Run(Action<SegmentedLog> task)
    {
        lock (_lock)
            return partition.TryOnLog(task);
    }
}
