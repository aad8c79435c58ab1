using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// Leaves duplicates out of batches with message ids, and claims the ids of the rest: a part of <see cref="RoundWriter"/>. Used under the
/// append lock only.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>All records are duplicates, and the batch has no producer: nothing is appended. It is answered when the originals are as safe as
/// its acks ask, as a retry of an idempotent producer is.</item>
/// <item>All are, and it has a producer: a batch without records is appended. It keeps the producer's sequence, as after a
/// compaction. Claims without ids stand before it: librdkafka takes a fetch that has neither a record nor a control batch for one that is
/// cut off, asks for twice as much, and in the end reports a message that is too large.</item>
/// <item>Some are: the others are appended at the offsets that they would have had. The duplicates leave holes, as after a
/// compaction.</item>
/// </list>
/// The originals precede the batch in the log or in the same write, so what is appended is never visible, nor acknowledged, before them.
/// </remarks>
internal sealed class DedupeStage(Partition partition)
{
    private LogDedupe Known => partition.Log!.State.Dedupe;

    /// <summary>Decides on the ids of a batch that its producer may append.</summary>
    public ProducerDecision Check(AppendOperation operation, in ProducerDecision decision, long now)
    {
        var found = DedupeDecision.Decide(operation.Ids!, Known, partition.Dedupe.TimeOf(Known, now), partition.Config.DedupeWindowMs);
        operation.Dedupe = default;
        if (decision.Outcome == ProducerOutcome.Duplicate && operation.Ids is [_] && found.FirstOriginal >= 0
            && found.OriginalEnd <= decision.LastOffset)
            return decision with { BaseOffset = found.FirstOriginal };
        if (decision.Outcome != ProducerOutcome.Accept)
            return decision;
        operation.Dedupe = found;
        return found.LeftOut == operation.Ids!.Length && found.FirstOriginal >= 0 && !operation.Header.HasProducer
            ? new ProducerDecision(ProducerOutcome.Duplicate, found.FirstOriginal, found.OriginalEnd - 1)
            : decision;
    }

    /// <summary>Removes the duplicates from a batch that is about to be staged. Its bytes are then a copy.</summary>
    /// <returns>Null on success; otherwise the refusal.</returns>
    public ProduceResult? Filter(AppendOperation operation)
    {
        if (operation.Dedupe.Kept is not { } kept)
            return null;
        PooledBuffer? copy;
        if (operation.IsLeftOut)
        {
            copy = new PooledBuffer(RecordBatchHeader.Size);
            RecordBatchRewriter.RetainNone(operation.Batch.Span, copy);
        }
        else if (operation.IsFilteredAhead)
        {
            copy = operation.Filtered?.Take(kept);
            if (copy is null)
                return ProduceResult.Failed(ErrorCode.KafkaStorageError,
                    "Other records of the batch were appended while it was checked for known message ids. Nothing was appended; retry.");
            if (RecordBatchHeader.Read(operation.Batch.Span) is { IsLogAppendTime: true, MaxTimestamp: var stamped })
                RecordBatchRewriter.StampLogAppendTime(copy.WrittenMemory.Span, stamped);
        }
        else if (FilteredBatch.TryRetain(operation.Batch, kept, partition.Ports.Log.Codecs, recordBytes: 0, allowance: null, out copy)
            is { } failed)
        {
            return failed;
        }
        operation.Owned?.Dispose();
        operation.Owned = copy;
        operation.Batch = copy!.WrittenMemory;
        return null;
    }

    /// <summary>Makes the control batch that claims the ids of a batch, which follows it.</summary>
    /// <param name="operation">The append, without duplicates.</param>
    /// <param name="header">The header of its batch as it is written.</param>
    /// <param name="now">The broker's time, in milliseconds since 1970.</param>
    public byte[] Claim(AppendOperation operation, in RecordBatchHeader header, long now)
    {
        var (ids, kept, config) = (operation.Ids!, operation.Dedupe.Kept, partition.Config);
        var claimed = new List<(int, UInt128)>(ids.Length);
        for (var i = 0; i < ids.Length; i++)
        {
            if (ids[i] != MessageIds.None && kept?[i] != false)
                claimed.Add((i, ids[i]));
        }
        var time = partition.Dedupe.TimeOf(Known, now);
        var forgetBelow = Known.ForgetBelow(DedupeDecision.WindowStart(Known, time, config.DedupeWindowMs),
            partition.Dedupe.MostLeft(Known, claimed.Count), out var early);
        partition.Dedupe.NoteForgottenEarly(early);
        return DedupeRecord.Build(new DedupeClaims(forgetBelow, time, header.Crc, claimed), header);
    }
}
