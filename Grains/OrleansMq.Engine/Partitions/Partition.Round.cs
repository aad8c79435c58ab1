using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

// The append loop: one round of group commit, on an append thread or on that of a caller who may write.
public sealed partial class Partition : IAppendWork
{
    void IAppendWork.Run(AppendRound round) => RunTurn(round, sender: null);

    /// <summary>One turn of the loop.</summary>
    /// <param name="round">What it needs.</param>
    /// <param name="sender">Whose thread it runs on, and whose appends are completed there; null for an append thread.</param>
    private void RunTurn(AppendRound round, object? sender)
    {
        _queue.TakeRound(round);
        var replication = _replication;
        var visible = RunRound(round, replication);
        replication.AfterRound(round);
        Complete(round.Operations, sender);
        round.Clear();
        if (visible > 0)
            _waiters.Advance(visible);
        if (_queue.EndTurn())
            _ports.Threads.Schedule(this);
    }

    // One work item completes some: each is done in a moment, a work item of its own would cost more than that.
    private static void Complete(List<AppendOperation> operations, object? sender)
    {
        const int together = 16;
        AppendOperation? first = null, last = null;
        var count = 0;
        foreach (var operation in operations)
        {
            if (sender is not null && ReferenceEquals(operation.Sender, sender))
            {
                operation.CompleteNow();
                continue;
            }
            if (first is not null && (operation.Home is { } home ? home != first.Home : count == together || first.Home is not null))
            {
                first.Complete();
                (last, count) = (null, 0);
            }
            if (last is null)
                first = operation;
            else
                last.Next = operation;
            last = operation;
            count++;
        }
        first?.Complete();
    }

    /// <summary>
    /// Decides every operation of the round: deduplicates, stamps, writes, and hands what is written to the replication.
    /// </summary>
    /// <returns>Bytes that became visible to readers.</returns>
    private long RunRound(AppendRound round, IPartitionReplication replication)
    {
        try
        {
            lock (_log!.AppendLock)
            {
                if (RefuseAll(round))
                    return 0;
                var before = _log.LogEndOffset;
                var now = _ports.Log.Now;
                var bytes = 0L;
                foreach (var operation in round.Operations)
                    bytes += Admit(operation, round, replication, now);
                bytes += WriteGroup(round);
                return replication.OnRoundWritten(round, _log.LogEndOffset - before, bytes, now);
            }
        }
        catch (Exception fault)
        {
            // A storage fault that gets here left the file in a state nobody knows; anything else is a bug of ours. Either way the
            // partition stops.
            var reason = StorageFaults.IsStorageFault(fault)
                ? StorageFaults.Describe(_log!.Directory, fault)
                : $"A bug in OrleansMq stopped the partition: {fault.Message} Please report it; then restart the broker.";
            GoOffline(reason, fault);
            // Also those that were written: without the flush, or the high watermark, nothing was promised.
            foreach (var operation in round.Operations)
                operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, reason));
            return 0;
        }
    }

    private bool RefuseAll(AppendRound round)
    {
        var error = Refusal(out var message);
        if (_closed && error == ErrorCode.NotLeaderOrFollower)
            error = ErrorCode.None; // What was taken in before the close is still written.
        if (error == ErrorCode.None)
        {
            var bytes = 0L;
            foreach (var operation in round.Operations)
                bytes += operation.Batch.Length;
            if (_ports.Space.Check(bytes) is not { } full)
                return false;
            (error, message) = (ErrorCode.KafkaStorageError, full);
        }
        foreach (var operation in round.Operations)
            operation.Decide(ProduceResult.Failed(error, message));
        return true;
    }

    /// <summary>Stamps a batch and adds it to the group, or decides at once what becomes of it. Returns bytes written on the way.</summary>
    private long Admit(AppendOperation operation, AppendRound round, IPartitionReplication replication, long now)
    {
        var written = 0L;
        var header = operation.Header;
        if (replication.RefuseAppend(operation.Acks, out var refusal) is not ErrorCode.None and var refused)
        {
            operation.Decide(ProduceResult.Failed(refused, refusal));
            return 0;
        }
        var decision = _log!.State.Check(header);
        if (decision.Outcome != ProducerOutcome.Accept)
        {
            DecideRefused(operation, decision);
            return 0;
        }
        var baseOffset = round.Group.Count > 0 ? round.Group[^1].Header.NextOffset : _log.LogEndOffset;
        if (_config.TimestampType == TimestampType.LogAppendTime && operation.Owned is not null)
        {
            RecordBatchRewriter.StampLogAppendTime(operation.Batch.Span, now);
            header = RecordBatchHeader.Read(operation.Batch.Span);
        }
        header = header with { BaseOffset = baseOffset, PartitionLeaderEpoch = _leaderEpoch };
        if (_log.MustRoll(header, header.LastOffset, round.GroupBytes) != RollReason.None)
        {
            written = WriteGroup(round);
            if (!TryRoll(operation, now))
                return written;
            if (_log.LogEndOffset != baseOffset)
            {
                // The group before it failed: the batch takes the offset that is free now, and what it was checked against is no longer so.
                return written + Admit(operation, round, replication, now);
            }
        }
        RecordBatchHeader.StampBaseOffset(operation.Batch.Span, baseOffset);
        RecordBatchHeader.StampLeaderEpoch(operation.Batch.Span, _leaderEpoch);
        operation.Header = header;
        _log.State.Stage(header, now);
        round.Group.Add(operation);
        round.Buffers.Add(operation.Batch);
        round.GroupBytes += operation.Batch.Length;
        return written;
    }

    private void DecideRefused(AppendOperation operation, in ProducerDecision decision)
    {
        if (decision.Outcome == ProducerOutcome.Duplicate)
        {
            operation.IsDuplicate = true;
            operation.OriginalOffset = decision.BaseOffset;
            operation.OriginalEnd = decision.LastOffset + 1;
            operation.Decide(new ProduceResult(ErrorCode.None, decision.BaseOffset, LogStartOffset: LogStartOffset));
            return;
        }
        var header = operation.Header;
        operation.Decide(ProduceResult.Failed(decision.ErrorCode, decision.Outcome switch
        {
            ProducerOutcome.FencedEpoch =>
                $"Producer {header.ProducerId} with epoch {header.ProducerEpoch} is fenced by epoch {decision.KnownEpoch}: a newer "
                    + "instance writes. Close this one.",
            ProducerOutcome.DuplicateSequence =>
                $"Sequence {header.BaseSequence} of producer {header.ProducerId} was appended so long ago that its offset is forgotten.",
            _ => $"Sequence {header.BaseSequence} of producer {header.ProducerId} does not follow: {decision.ExpectedSequence} was "
                + "expected. Open another producer.",
        }));
    }

    private bool TryRoll(AppendOperation operation, long now)
    {
        try
        {
            _log!.Roll(now);
            // The rolled segment is flushed in the background, and a restart need not read it.
            WantCheckpoint();
            return true;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, StorageFaults.DescribeRefused(_log!.Directory, fault)));
            return false;
        }
    }

    /// <summary>Writes the group with one call; a fault that could be undone fails only the group. Returns the bytes written.</summary>
    private long WriteGroup(AppendRound round)
    {
        if (round.Group.Count == 0)
            return 0;
        try
        {
            _log!.Write(round.Buffers);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            _log!.UndoWrite();
            FailGroup(round, StorageFaults.DescribeRefused(_log.Directory, fault));
            round.ClearGroup();
            return 0;
        }
        foreach (var operation in round.Group)
        {
            _log.Appended(operation.Header);
            operation.Decide(new ProduceResult(ErrorCode.None, operation.Header.BaseOffset,
                operation.Header.IsLogAppendTime ? operation.Header.MaxTimestamp : -1, LogStartOffset));
        }
        var bytes = round.GroupBytes;
        round.ClearGroup();
        return bytes;
    }

    private void FailGroup(AppendRound round, string reason)
    {
        _ports.Log.Log.Write(EngineLogLevel.Warning, $"Partition {TopicPartition}: {reason}");
        var failed = ProduceResult.Failed(ErrorCode.KafkaStorageError, reason);
        foreach (var operation in round.Group)
            operation.Decide(failed);
        // A duplicate of a batch of this very group has no original any more.
        foreach (var operation in round.Operations)
        {
            if (operation.IsDuplicate && operation.OriginalOffset >= _log!.LogEndOffset)
                operation.Decide(failed);
        }
    }
}
