using System.Text;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Shared;

/// <summary>Transactions in a partition's log: it gets their batches as from a leader, without a coordinator.</summary>
internal static class LoggedTransactions
{
    /// <summary>Appends a batch to the open transaction of a producer, or begins one.</summary>
    public static void Append(Partition partition, long timestamp, long producerId, int sequence, params string[] values)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var value in values)
            builder.Add(timestamp, Encoding.UTF8.GetBytes("k" + value), true, Encoding.UTF8.GetBytes(value), true);
        builder.SetProducer(producerId, 0, sequence, transactional: true);
        var batch = builder.Build().ToArray();
        var log = partition.Log!;
        lock (log.AppendLock)
        {
            RecordBatchHeader.StampBaseOffset(batch, log.LogEndOffset);
            RecordBatchHeader.StampLeaderEpoch(batch, partition.LeaderEpoch);
            log.Write([batch]);
            log.ApplyAppended(RecordBatchHeader.Read(batch), batch, timestamp);
        }
    }

    /// <summary>Ends the open transaction of a producer.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="producerId">The producer.</param>
    /// <param name="isCommit">Whether it commits.</param>
    /// <param name="number">The transaction's number, above that of the one before.</param>
    public static async Task EndAsync(Partition partition, long producerId, bool isCommit, long number)
    {
        var marker = await partition.Appends.AppendMarkerAsync(producerId, 0, new TransactionMarker(isCommit, 3, number),
            raisesEpoch: false);
        Assert.Equal(ErrorCode.None, marker.Error);
    }
}
