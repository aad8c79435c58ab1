using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Records;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Queues;

/// <summary>Dead letters while brokers are lost: each record is in the target exactly once.</summary>
public sealed class DeadLetterFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Records = 300;
    private static readonly TopicPartition Jobs = new("jobs", 0);
    private static readonly TopicPartition Letters = new("jobs.dead-letter", 0);

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Record_is_dead_lettered_once_when_the_leader_of_source_or_target_is_killed(bool isSource)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Jobs.Topic, 1, 3));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Letters.Topic, 1, 3));
        await Cluster.UntilInSyncAsync(Jobs.Topic);
        await Cluster.UntilInSyncAsync(Letters.Topic);
        for (var first = 0; first < Records; first += 10)
        {
            var values = Enumerable.Range(first, 10).Select(value => $"{value}").ToArray();
            Assert.Equal(ErrorCode.None, (await Cluster.Broker(1).ProduceAsync(Jobs, TestBatches.Of(values), Acks.All)).Error);
        }
        var leader = (await Cluster.Broker(1).DescribeTopicAsync(isSource ? Jobs.Topic : Letters.Topic)).Partitions[0].Leader;
        var broker = Cluster.Broker(1 + (leader % 3));
        await using var consumer = new OrleansMqClient(broker).CreateQueueConsumer<string, string>(new QueueConsumerOptions
        {
            Topic = Jobs.Topic,
            Queue = "work",
            Credit = 20,
            Create = new QueueOptions { DeadLetterTopic = Letters.Topic },
        });
        var rejected = new ConcurrentDictionary<string, bool>();
        using var stop = new CancellationTokenSource();
        var running = consumer.RunAsync(async (message, cancellationToken) =>
        {
            var value = message.Value;
            await message.DeadLetterAsync($"reason {value}", cancellationToken);
            rejected[value] = true;
        }, concurrency: 5, stop.Token);
        await Wait.UntilAsync(() =>
        {
            Wait.Demand(running);
            return rejected.Count >= Records / 4;
        }, "a quarter is rejected");
        await Cluster.KillAsync(leader);
        await Wait.UntilAsync(async () =>
        {
            Wait.Demand(running);
            return (await broker.Queues.PeekAsync(Jobs, "work", 1)).Count == 0;
        }, "every record is dead-lettered", deadline: TimeSpan.FromMinutes(3));
        await stop.CancelAsync();
        await running;
        var letters = await ReadAsync(broker);
        Assert.Equal(Records, letters.Count);
        Assert.Equal(Records, letters.Select(letter => letter.Value).Distinct().Count());
        Assert.All(letters, letter => Assert.Equal($"reason {letter.Value}", letter.Reason));
        // Those that were answered are among them by their order at the source's leaders.
        Assert.All(rejected.Keys, value => Assert.Contains(letters, letter => letter.Value == value));
    }

    private static async Task<List<(string Value, string Reason)>> ReadAsync(IBroker broker)
    {
        var read = new List<(string, string)>();
        var end = (await broker.FindOffsetAsync(Letters, OffsetSpec.Latest)).Offset;
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        for (var next = 0L; next < end;)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(Letters, next) { MaxWait = TimeSpan.FromSeconds(1) },
                deadline.Token);
            Assert.Equal(ErrorCode.None, fetched.Error);
            using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
            while (reader.MoveNext())
            {
                next = reader.Current.Offset + 1;
                read.Add((Encoding.UTF8.GetString(reader.Current.Value!.Value.Span), reader.Current.ReadHeaders()
                    .Where(header => header.Name() == DeadLetterHeaders.Reason).Select(header => header.TextValue()!).Single()));
            }
        }
        return read;
    }
}
