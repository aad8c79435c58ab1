using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>A log in which records and a queue's transitions take turns.</summary>
internal static class QueueTraffic
{
    private const int PerRound = 5;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    /// <summary>Writes records, <c>v0</c> and so on, and settles them one by one. The log's last batches are transitions.</summary>
    /// <returns>Offset and value of each record.</returns>
    public static async Task<IReadOnlyList<(long Offset, string Value)>> WriteAsync(IBroker broker, TopicPartition partition, int rounds)
    {
        var records = new List<(long Offset, string Value)>();
        await broker.Queues.CreateAsync(partition, new NewQueue("work"));
        var consumer = await broker.Queues.AttachAsync(partition, "work", new QueueAttachOptions { Prefetch = PerRound });
        for (var round = 0; round < rounds; round++)
        {
            var values = Enumerable.Range(round * PerRound, PerRound).Select(static number => $"v{number}").ToArray();
            var produced = await broker.ProduceAsync(partition, TestBatches.Of(values), Acks.All);
            Assert.True(produced.Error == ErrorCode.None, produced.Message);
            records.AddRange(values.Select((value, index) => (produced.BaseOffset + index, value)));
            for (var settled = 0; settled < PerRound;)
            {
                var delivery = (await broker.Queues.ReceiveAsync(partition, consumer, PerRound, Deadline))!;
                // From the last to the first: each is a transition of its own.
                foreach (var record in delivery.Records.Reverse())
                    Assert.Equal([ErrorCode.None], await broker.Queues.SettleAsync(partition, consumer,
                        [new QueueSettlement(delivery.Lock, record.Offset, record.Offset, QueueAction.Accept)]));
                settled += delivery.Records.Count;
            }
        }
        var end = (await broker.FindOffsetAsync(partition, OffsetSpec.Latest)).Offset;
        Assert.True(end > records[^1].Offset + 1, $"the log ends at {end}");
        Assert.True(records[^1].Offset >= rounds * PerRound * 3 / 2, $"the last record has offset {records[^1].Offset}");
        return records;
    }
}
