using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Records;

namespace OrleansMq.Partitions;

/// <summary>
/// A batch without those of its records that are in the log. That of a large batch is made on the caller's thread: nothing that
/// takes long happens under the append lock, which the leader's lease needs, too.
/// </summary>
/// <remarks>
/// It is made by what the log remembers when the append begins, and used if the same records are known when the batch is staged. Otherwise
/// the append is refused, to be tried again: an id came in between, so the next attempt finds it. A batch of which no record, or every
/// record, is known needs none.
/// </remarks>
/// <param name="kept">Which records it has.</param>
/// <param name="bytes">The batch.</param>
internal sealed class FilteredBatch(bool[] kept, PooledBuffer bytes) : IDisposable
{
    /// <summary>Smaller batches are filtered under the append lock: compressing so much again takes less than a millisecond, and a write
    /// has up to 512 batches.</summary>
    public const int MostBytesUnderLock = 1 << 16;

    private PooledBuffer? _bytes = bytes;

    /// <summary>Filters a batch before it is queued.</summary>
    /// <param name="operation">The append.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="recordBytes">The bytes of the batch's records.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <returns>Null on success; otherwise the refusal.</returns>
    public static ProduceResult? TryPrepare(AppendOperation operation, Partition partition, int recordBytes,
        DecompressionAllowance? allowance)
    {
        var (log, ids) = (partition.Log!, operation.Ids!);
        DedupeDecision found;
        lock (log.AppendLock)
        {
            var time = partition.Dedupe.TimeOf(log.State.Dedupe, partition.Ports.Log.Now);
            found = DedupeDecision.Decide(ids, log.State.Dedupe, time, partition.Config.DedupeWindowMs);
        }
        operation.IsFilteredAhead = true;
        if (found.Kept is not { } kept || found.LeftOut == ids.Length)
            return null;
        // Three copies of its records would be in memory, of each of many callers.
        if (recordBytes > LargeBatches.MinBytes)
            return ProduceResult.Failed(ErrorCode.MessageTooLarge, $"{found.LeftOut} of the batch's records are in the log already, and "
                + $"the others are appended without them only from a batch of at most {LargeBatches.MinBytes >> 20} MiB. Nothing was "
                + "appended. Send smaller batches.");
        if (TryRetain(operation.Batch, kept, partition.Ports.Log.Codecs, recordBytes, allowance, out var bytes) is { } failed)
            return failed;
        operation.Filtered = new FilteredBatch(kept, bytes!);
        return null;
    }

    /// <summary>Copies a batch with some of its records.</summary>
    /// <returns>Null on success; otherwise the refusal.</returns>
    public static ProduceResult? TryRetain(ReadOnlyMemory<byte> batch, bool[] kept, CompressionCodecs codecs, int recordBytes,
        DecompressionAllowance? allowance, out PooledBuffer? bytes)
    {
        bytes = new PooledBuffer(batch.Length);
        ProduceResult failed;
        try
        {
            allowance?.Take(recordBytes);
            var next = 0;
            RecordBatchRewriter.Retain(batch, (in Record _) => kept[next++], codecs, bytes, takesTurns: true);
            return null;
        }
        catch (CodecUnavailableException fault)
        {
            failed = ProduceResult.Failed(ErrorCode.UnsupportedCompressionType, fault.Message);
        }
        catch (RecordBatchException fault)
        {
            failed = ProduceResult.Failed(fault.Error.ToErrorCode(), fault.Message);
        }
        bytes.Dispose();
        bytes = null;
        return failed;
    }

    /// <summary>Gives the batch away if it has exactly these records; otherwise null.</summary>
    public PooledBuffer? Take(bool[] wanted)
    {
        if (!kept.AsSpan().SequenceEqual(wanted))
            return null;
        var taken = _bytes;
        _bytes = null;
        return taken;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _bytes?.Dispose();
        _bytes = null;
    }
}
