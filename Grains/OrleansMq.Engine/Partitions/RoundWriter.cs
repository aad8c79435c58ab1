using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>Whether the volume has room for a round.</summary>
/// <param name="RefusesProduced">Why the batches of producers are refused; null: there is room.</param>
/// <param name="RefusesControl">Why control batches are refused; null: there is room.</param>
internal readonly record struct RoundRoom(string? RefusesProduced, string? RefusesControl)
{
    /// <summary>Why a batch is refused; null: there is room.</summary>
    public string? Refuses(in RecordBatchHeader header) => header.IsControl ? RefusesControl : RefusesProduced;
}

/// <summary>
/// Writes a partition's rounds: the <see cref="AppendCore"/> over its log and its replication. Used under the append lock only.
/// </summary>
/// <remarks>
/// A round's batches are written in groups: one for the round, and one more for each segment that is rolled. A failed write is undone and
/// fails its group; the round continues. A fault that cannot be undone is thrown and takes the partition offline.
/// </remarks>
internal sealed class RoundWriter(Partition partition) : IAppendTarget<AppendOperation>
{
    private readonly DedupeStage _dedupe = new(partition);
    private AppendRound _round = null!;
    private IPartitionReplication _replication = null!;
    private RoundRoom _room;
    private long _now;
    private long _bytes;
    private long _endBefore;
    private long _visible;

    private SegmentedLog Log => partition.Log!;

    private long StagedEnd => _round.Group.Count > 0 ? _round.Group[^1].Header.NextOffset : Log.LogEndOffset;

    /// <summary>Decides every operation of the round, and removes those that wait for other replicas from it.</summary>
    /// <param name="round">The round.</param>
    /// <param name="replication">The partition's replication.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="room">Whether the volume has room.</param>
    /// <returns>The bytes that became visible to readers.</returns>
    public long Run(AppendRound round, IPartitionReplication replication, long now, in RoundRoom room)
    {
        (_round, _replication, _now, _room) = (round, replication, now, room);
        (_bytes, _endBefore, _visible) = (0, Log.LogEndOffset, 0);
        try
        {
            AppendCore.Run(this, round.Operations);
            return _visible;
        }
        finally
        {
            round.Operations.RemoveAll(static operation => operation.IsWaiting);
            (_round, _replication) = (null!, null!);
        }
    }

    /// <inheritdoc/>
    public bool Refuses(AppendOperation operation)
    {
        var refused = _replication.RefuseAppend(operation.Acks, out var message);
        if (refused == ErrorCode.None && operation.Control is { } control && control.Epoch != partition.LeaderEpoch)
            (refused, message) = (ErrorCode.NotLeaderOrFollower, $"Epoch {control.Epoch} of the control batch has ended.");
        if (refused == ErrorCode.None && _room.Refuses(operation.Header) is { } full)
            (refused, message) = (ErrorCode.KafkaStorageError, full);
        if (refused == ErrorCode.None)
            return false;
        operation.Decide(ProduceResult.Failed(refused, message));
        return true;
    }

    /// <inheritdoc/>
    public ProducerDecision Check(AppendOperation operation)
    {
        if (operation.Control is MarkerAppend marker)
            return marker.Check(Log.State.Producers, operation.Header, StagedEnd);
        var decision = Log.State.Check(operation.Header, operation.Verified);
        return operation.Ids is null ? decision : _dedupe.Check(operation, decision, _now);
    }

    /// <inheritdoc/>
    public void DecideUnstaged(AppendOperation operation, in ProducerDecision decision)
    {
        if (decision.Outcome == ProducerOutcome.Duplicate)
        {
            operation.IsDuplicate = true;
            operation.OriginalOffset = decision.BaseOffset;
            operation.OriginalEnd = decision.LastOffset + 1;
            if (operation.Dedupe.LeftOut > 0)
                partition.Dedupe.NoteLeftOut(operation.Dedupe.LeftOut);
            operation.Decide(new ProduceResult(ErrorCode.None, decision.BaseOffset, LogStartOffset: Log.LogStartOffset));
            return;
        }
        var header = operation.Header;
        // Also one whose offset is forgotten is in the log. Its producer takes the answer for an acknowledgement, so it waits like one.
        if (decision.Outcome == ProducerOutcome.DuplicateSequence)
            (operation.IsDuplicate, operation.OriginalOffset, operation.OriginalEnd) = (true, -1, decision.LastOffset + 1);
        var refusal = decision.Outcome == ProducerOutcome.DuplicateSequence ? null : operation.Refusal;
        operation.Decide(refusal ?? ProduceResult.Failed(decision.ErrorCode, decision.Outcome switch
        {
            ProducerOutcome.FencedEpoch =>
                $"Producer {header.ProducerId} with epoch {header.ProducerEpoch} is fenced by epoch {decision.KnownEpoch}: a newer "
                    + "instance writes. Close this one.",
            ProducerOutcome.FencedCoordinator =>
                $"The coordinator of the transaction of producer {header.ProducerId} is fenced by epoch {decision.KnownEpoch}: a newer one "
                    + "has ended a later transaction.",
            ProducerOutcome.NotInTransaction =>
                $"Producer {header.ProducerId} has no transaction of epoch {header.ProducerEpoch} open in {partition.TopicPartition}: "
                    + "add the partition to its transaction first.",
            ProducerOutcome.InTransaction =>
                $"Producer {header.ProducerId} has a transaction open in {partition.TopicPartition}: a batch outside of it has to wait "
                    + "until it has ended.",
            ProducerOutcome.DuplicateSequence =>
                $"Sequence {header.BaseSequence} of producer {header.ProducerId} was appended so long ago that its offset is forgotten.",
            _ => $"Sequence {header.BaseSequence} of producer {header.ProducerId} does not follow: {decision.ExpectedSequence} was "
                + "expected. Open another producer.",
        }));
    }

    /// <inheritdoc/>
    public void Stage(AppendOperation operation)
    {
        // What is in the log is answered: a duplicate was before, and a batch that is left out adds no record.
        if (operation.Refusal is { } refusal)
        {
            operation.Decide(refusal);
            return;
        }
        if (operation.Control is null && !operation.IsLeftOut && partition.RefusesPublishes is { } full)
        {
            operation.Decide(ProduceResult.Failed(ErrorCode.PolicyViolation, full));
            return;
        }
        var header = operation.Header;
        var epoch = partition.LeaderEpoch;
        var endOffset = StagedEnd;
        var hasClaims = operation.Ids is not null && operation.Dedupe.HasClaims;
        var baseOffset = hasClaims ? endOffset + 1 : endOffset;
        if (partition.Config.TimestampType == TimestampType.LogAppendTime && operation.Owned is not null)
        {
            RecordBatchRewriter.StampLogAppendTime(operation.Batch.Span, _now);
            header = RecordBatchHeader.Read(operation.Batch.Span);
        }
        header = header with { BaseOffset = baseOffset, PartitionLeaderEpoch = epoch };
        var claimBytes = hasClaims ? operation.ClaimBytes : 0;
        if (Log.MustRoll(header, header.LastOffset, _round.GroupBytes, claimBytes) != RollReason.None)
        {
            Write();
            // Before the roll: without the group the segment may be empty.
            if (Log.LogEndOffset != endOffset)
            {
                // The group before it failed. The batch takes the next free offset, and is checked again without that group.
                AppendCore.Admit(this, operation);
                return;
            }
            if (!TryRoll(operation))
                return;
        }
        if (operation.Dedupe.Kept is not null)
        {
            if (_dedupe.Filter(operation) is { } failed)
            {
                operation.Decide(failed);
                return;
            }
            header = RecordBatchHeader.Read(operation.Batch.Span) with { BaseOffset = baseOffset, PartitionLeaderEpoch = epoch };
        }
        if (hasClaims)
            StageClaim(operation, endOffset, header, epoch);
        RecordBatchHeader.StampBaseOffset(operation.Batch.Span, baseOffset);
        RecordBatchHeader.StampLeaderEpoch(operation.Batch.Span, epoch);
        operation.Header = header;
        Log.State.Stage(header, operation.Batch.Span, _now);
        _round.Group.Add(operation);
        _round.Buffers.Add(operation.Batch);
        _round.GroupBytes += operation.Batch.Length;
    }

    private void StageClaim(AppendOperation operation, long offset, in RecordBatchHeader header, int epoch)
    {
        var claim = _dedupe.Claim(operation, header, _now);
        RecordBatchHeader.StampBaseOffset(claim, offset);
        RecordBatchHeader.StampLeaderEpoch(claim, epoch);
        operation.Claim = RecordBatchHeader.Read(claim);
        Log.State.Stage(operation.Claim, claim, _now);
        _round.Buffers.Add(claim);
        _round.GroupBytes += claim.Length;
    }

    /// <inheritdoc/>
    public void Write()
    {
        if (_round.Group.Count == 0)
            return;
        try
        {
            Log.Write(_round.Buffers);
        }
        catch (Exception fault) when (StorageFaults.IsUndone(fault))
        {
            FailGroup(StorageFaults.DescribeRefused(Log.Directory, fault));
            _round.ClearGroup();
            return;
        }
        foreach (var operation in _round.Group)
        {
            if (operation.Ids is not null)
                PublishClaim(operation);
            Log.Appended(operation.Header);
            operation.Decide(new ProduceResult(ErrorCode.None, AnsweredOffset(operation),
                operation.Header.IsLogAppendTime ? operation.Header.MaxTimestamp : -1, Log.LogStartOffset));
            if (operation.Control is { } control)
                control.OnWritten(operation.Header.BaseOffset);
            else
                _bytes += operation.Batch.Length;
        }
        _round.ClearGroup();
    }

    private void PublishClaim(AppendOperation operation)
    {
        if (operation.Dedupe.HasClaims)
            Log.Appended(operation.Claim);
        if (operation.Dedupe.LeftOut > 0)
            partition.Dedupe.NoteLeftOut(operation.Dedupe.LeftOut);
    }

    // The record of a single duplicate is where its original is.
    private static long AnsweredOffset(AppendOperation operation) =>
        operation is { Ids.Length: 1, Dedupe.FirstOriginal: >= 0 and var original } ? original : operation.Header.BaseOffset;

    /// <inheritdoc/>
    public void Await(AppendOperation operation) => _replication.Await(operation);

    /// <inheritdoc/>
    public void AfterAppends() => _visible = _replication.OnRoundWritten(Log.LogEndOffset - _endBefore, _bytes, _now);

    private bool TryRoll(AppendOperation operation)
    {
        try
        {
            partition.Roll(_now);
            return true;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, StorageFaults.DescribeRefused(Log.Directory, fault)));
            return false;
        }
    }

    private void FailGroup(string reason)
    {
        partition.Ports.FailedWrites.Write(EngineLogLevel.Warning, $"Partition {partition.TopicPartition}: {reason}");
        var failed = ProduceResult.Failed(ErrorCode.KafkaStorageError, reason);
        foreach (var operation in _round.Group)
            operation.Decide(failed);
        // A duplicate of a batch in this group has lost its original.
        foreach (var operation in _round.Operations)
        {
            if (operation.IsDuplicate && operation.OriginalEnd > Log.LogEndOffset)
                operation.Decide(failed);
        }
    }
}
