using OrleansMq.Diagnostics;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>Batches that queues pass over: no broker can read them, since their producers sent them so. Their offsets have no records, as
/// those of control batches. A header may claim millions of them, so they are named as one range.</summary>
internal static class UnreadableBatches
{
    /// <summary>Decides whether queues pass over a batch. If so, the log names its offsets, in one line a minute for each
    /// partition.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="batch">The batch.</param>
    /// <param name="offsets">Those of its offsets that are not read.</param>
    /// <param name="fault">Why not.</param>
    /// <returns>False where it may be read later, or by others: its codec is missing here, it takes more memory than there is now, or the
    /// disk has damaged it.</returns>
    public static bool TryPassOver(Partition partition, ReadOnlySpan<byte> batch, OffsetRange offsets, Exception fault)
    {
        if (fault is not RecordBatchException { Error: RecordBatchError.BadRecord or RecordBatchError.BadOffsets
            or RecordBatchError.BadRecordCount or RecordBatchError.BadCompression or RecordBatchError.TooLong }
            || !RecordBatches.IsIntact(batch))
            return false;
        partition.PassedOver.Write(EngineLogLevel.Warning, $"Partition {partition.TopicPartition}: queues pass over the offsets "
            + $"{offsets.First} to {offsets.Last}, which no broker can read: {fault.Message}");
        return true;
    }
}
