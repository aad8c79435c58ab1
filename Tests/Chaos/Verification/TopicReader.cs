using OrleansMq.Api;
using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>Reads a topic from its begin to its latest offset, and goes on there at the next call. Offsets without a record are passed
/// over. Not thread safe.</summary>
internal sealed class TopicReader(IBroker broker, string topic, int partitions)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly long[] _next = new long[partitions];

    /// <summary>Reads what has come.</summary>
    /// <param name="take">Receives each record, with its partition.</param>
    /// <param name="cancellationToken">Stops the read.</param>
    public async Task ReadAsync(Action<int, Record> take, CancellationToken cancellationToken)
    {
        for (var number = 0; number < partitions; number++)
            await ReadAsync(new TopicPartition(topic, number), take, cancellationToken);
    }

    private async Task ReadAsync(TopicPartition partition, Action<int, Record> take, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(Patience);
        var end = await LatestAsync(partition, patience, cancellationToken);
        while (_next[partition.Partition] < end)
        {
            var before = _next[partition.Partition];
            using var fetched = await broker.FetchAsync(new FetchRequest(partition, before) { MaxWait = TimeSpan.FromSeconds(1) },
                cancellationToken);
            Demand(partition, fetched.Error, fetched.Message);
            if (fetched.Error == ErrorCode.None)
                _next[partition.Partition] = Take(partition.Partition, fetched.Records, before, take);
            if (_next[partition.Partition] > before)
                patience.CancelAfter(Patience);
            else
                await PauseAsync(partition, $"ends at {end}, and has nothing to read at {before}", patience, cancellationToken);
        }
    }

    private static long Take(int partition, ReadOnlyMemory<byte> batches, long next, Action<int, Record> take)
    {
        while (batches.Length >= RecordBatchHeader.Size && RecordBatchHeader.Read(batches.Span) is var header
            && header.SizeInBytes <= batches.Length)
        {
            foreach (var record in RecordsOf(header, batches[..header.SizeInBytes]))
            {
                if (record.Offset >= next)
                    take(partition, record);
            }
            next = Math.Max(next, header.NextOffset);
            batches = batches[header.SizeInBytes..];
        }
        return next;
    }

    /// <summary>The records of a batch; none of a control batch.</summary>
    public static IEnumerable<Record> RecordsOf(RecordBatchHeader header, ReadOnlyMemory<byte> batch)
    {
        if (header.IsControl)
            yield break;
        using var reader = new RecordReader(batch, CompressionCodecs.Empty);
        while (reader.MoveNext())
            yield return reader.Current;
    }

    private async Task<long> LatestAsync(TopicPartition partition, CancellationTokenSource patience, CancellationToken cancellationToken)
    {
        while (true)
        {
            var latest = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken);
            if (latest.Error == ErrorCode.None)
                return latest.Offset;
            Demand(partition, latest.Error, latest.Message);
            await PauseAsync(partition, $"does not tell its latest offset: {latest.Message}", patience, cancellationToken);
        }
    }

    private static void Demand(TopicPartition partition, ErrorCode error, string? message)
    {
        if (error != ErrorCode.None && error.Action() != ErrorAction.Retry)
            throw new BrokerException(error, $"{partition}: {message}");
    }

    private static async Task PauseAsync(TopicPartition partition, string what, CancellationTokenSource patience,
        CancellationToken cancellationToken)
    {
        if (patience.IsCancellationRequested)
            throw new TimeoutException($"For {Patience.TotalSeconds} s {partition} {what}.");
        await Task.Delay(100, cancellationToken);
    }
}
