using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Records;

namespace OrleansMq.Samples.Orders;

/// <summary>One partition of the orders, written by one idempotent producer and read by one reader.</summary>
internal sealed class OrderLog(IGrainFactory grains, Guid topicId, int partition, ProducerIdentity producer)
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(5);

    private readonly IPartitionGrain _partition = grains.GetPartition(topicId, partition);
    private int _sequence;

    /// <summary>Finds the offset of the next record.</summary>
    public async Task<long> FindEndAsync(CancellationToken cancellationToken) =>
        (await Retrying.CallAsync(() => _partition.FindOffsetAsync(OffsetSpec.Latest, cancellationToken),
            found => (found.Error, found.Message), cancellationToken)).Offset;

    /// <summary>
    /// Appends orders of a customer. After any failure the same batch with the same sequence number may be sent again. If it was appended
    /// before, the broker returns the offset of the original.
    /// </summary>
    public async Task AppendAsync(string customer, int[] orders, CancellationToken cancellationToken)
    {
        using var batch = new RecordBatchBuilder();
        var key = Encoding.UTF8.GetBytes(customer);
        var value = new byte[sizeof(int)];
        foreach (var order in orders)
        {
            BinaryPrimitives.WriteInt32BigEndian(value, order);
            batch.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), key, hasKey: true, value, hasValue: true, []);
        }
        batch.SetProducer(producer.ProducerId, producer.ProducerEpoch, _sequence);
        ReadOnlyMemory<byte> bytes = batch.Build();
        await Retrying.CallAsync(() => _partition.AppendAsync(bytes, Acks.All, cancellationToken),
            appended => (appended.Error, appended.Message), cancellationToken);
        _sequence += orders.Length;
    }

    /// <summary>Reads the values of a number of records from an offset on. Waits for those that are not written yet.</summary>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(long offset, int count,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        while (count > 0)
        {
            var read = new PartitionRead(offset) { MaxWait = LongPoll };
            using var result = await Retrying.CallAsync(() => _partition.ReadAsync(read, cancellationToken),
                fetched => (fetched.Error, fetched.Message), cancellationToken);
            using var records = new RecordReader(result.Records, CompressionCodecs.Empty);
            while (count > 0 && records.MoveNext())
            {
                // A read begins with the batch that contains the offset.
                if (records.Current.Offset < offset)
                    continue;
                offset = records.Current.Offset + 1;
                // Control batches are the broker's own.
                if (records.Batch.IsControl)
                    continue;
                count--;
                yield return records.Current.Value!.Value;
            }
        }
    }
}
