using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Kafka's clients on a topic with message ids: their claims stand before the batches, duplicates leave holes, and a batch of
/// nothing but duplicates is empty.</summary>
public sealed class TopicWithMessageIdsTests : RecordsAmongOthersTests
{
    private const int Batches = 40;
    private const int Ids = 60;

    protected override IReadOnlyDictionary<string, string> Configs { get; } =
        new Dictionary<string, string> { ["dedupe.window.ms"] = "86400000" };

    protected override int OffsetsOfEmptyEnd => 2;

    protected override async Task<IReadOnlyList<(long Offset, string Value)>> WriteAsync(IBroker broker, TopicPartition partition)
    {
        var random = new Random(7);
        var records = new List<(long, string)>();
        var (seen, sequence) = (new HashSet<string>(), 0);
        for (var number = 0; number <= Batches; number++)
        {
            // The last batch is an empty one.
            string[] ids = number == Batches ? [.. seen.Take(OffsetsOfEmptyEnd)]
                : [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => $"{random.Next(Ids)}")];
            using var builder = new RecordBatchBuilder();
            foreach (var id in ids)
                builder.Add(number, "key"u8, true, Encoding.UTF8.GetBytes(id), true,
                    [new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes(id))]);
            builder.SetProducer(1, 0, sequence);
            sequence += ids.Length;
            var result = await broker.ProduceAsync(partition, builder.Build().ToArray(), Acks.All);
            Assert.True(result.Error == ErrorCode.None, result.Message);
            for (var i = 0; i < ids.Length; i++)
            {
                if (seen.Add(ids[i]))
                    records.Add((result.BaseOffset + i, ids[i]));
            }
        }
        return records;
    }
}
