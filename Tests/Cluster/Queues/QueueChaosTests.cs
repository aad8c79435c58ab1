using System.Collections.Concurrent;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Records;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Queues;

/// <summary>A queue that dead-letters while leaders and consumers are killed and started again: nothing settled comes again, nothing is
/// missing, and the dead letters are complete.</summary>
public sealed class QueueChaosTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Kills = 6;
    private static readonly TopicPartition Jobs = new("jobs", 0);
    private static readonly TopicPartition Letters = new("jobs.dead-letter", 0);

    private readonly ConcurrentDictionary<long, bool> _handled = new();
    // By offset: a consumer's settlement that was answered.
    private readonly ConcurrentDictionary<long, bool> _settled = new();
    private readonly ConcurrentBag<long> _repeated = [];
    // By broker: how often its end was begun.
    private readonly ConcurrentDictionary<int, int> _kills = new();

    [SkippableFact]
    public async Task Nothing_is_lost_or_repeated_and_dead_letters_are_complete_while_leaders_and_consumers_are_killed()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Jobs.Topic, 1, 3)
        {
            Configs = new Dictionary<string, string> { ["retention.until.settled"] = "true", ["segment.bytes"] = "20000" },
        });
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Letters.Topic, 1, 3));
        await Cluster.UntilInSyncAsync(Jobs.Topic);
        await Cluster.UntilInSyncAsync(Letters.Topic);
        await AnyBroker().Queues.CreateAsync(Jobs, new NewQueue("work")
        {
            Options = new QueueOptions { MaxFailures = 2, DeadLetterTopic = Letters.Topic },
        });
        var acknowledged = new ConcurrentDictionary<long, bool>();
        using var ending = new CancellationTokenSource();
        var consumers = Enumerable.Range(1, 3).ToDictionary(broker => broker, broker => ConsumeAsync(broker, ending.Token));
        for (var kill = 0; kill < Kills; kill++)
        {
            var before = _settled.Count;
            await ProduceAsync(acknowledged, 150);
            await Wait.UntilAsync(() =>
            {
                Wait.Demand(consumers.Values);
                return _settled.Count >= before + 30;
            }, "consumers settle");
            var topic = kill % 2 == 0 ? Jobs.Topic : Letters.Topic;
            var victim = (await AnyBroker().DescribeTopicAsync(topic)).Partitions[0].Leader;
            _kills.AddOrUpdate(victim, 1, static (_, kills) => kills + 1);
            await Cluster.KillAsync(victim);
            // With the killed broker goes its consumer.
            await ProduceAsync(acknowledged, 150);
            await Cluster.StartAsync(victim);
            await consumers[victim].WaitAsync(Wait.Deadline);
            consumers[victim] = ConsumeAsync(victim, ending.Token);
            await Cluster.UntilInSyncAsync(Jobs.Topic);
            await Cluster.UntilInSyncAsync(Letters.Topic);
        }
        await Wait.UntilAsync(async () =>
        {
            Wait.Demand(consumers.Values);
            return (await AnyBroker().Queues.PeekAsync(Jobs, "work", 1)).Count == 0;
        }, "every record is settled", deadline: TimeSpan.FromMinutes(3));
        await ending.CancelAsync();
        await Task.WhenAll(consumers.Values).WaitAsync(Wait.Deadline);
        Assert.Empty(_repeated);
        var letters = await LettersAsync();
        Assert.Equal(letters.Distinct(), letters);
        Assert.All(letters, offset => Assert.True(IsRefused(offset), $"{offset} was not refused."));
        Assert.Equal(acknowledged.Keys.Where(IsRefused).Order(), letters.Where(acknowledged.ContainsKey).Order());
        Assert.All(_settled.Keys.Where(IsRefused), offset => Assert.Contains(offset, letters));
        Assert.All(acknowledged.Keys.Where(offset => !IsRefused(offset)), offset => Assert.True(_handled.ContainsKey(offset),
            $"{offset} was acknowledged, and never handled."));
        // The log starts above what is settled, and the settled segments are gone.
        await Wait.UntilAsync(async () => (await AnyBroker().FindOffsetAsync(Jobs, OffsetSpec.Earliest)).Offset > 0, "segments go");
    }

    private static bool IsRefused(long offset) => offset % 10 < 2;

    private IBroker AnyBroker() => Cluster.Broker(Cluster.Running.First());

    private async Task ConsumeAsync(int broker, CancellationToken cancellationToken)
    {
        var kills = _kills.GetValueOrDefault(broker);
        try
        {
            var served = Cluster.Broker(broker);
            await using var consumer = new OrleansMqClient(served).CreateQueueConsumer<string, string>(
                new QueueConsumerOptions
                {
                    Topic = Jobs.Topic,
                    Queue = "work",
                    Credit = 20,
                    SessionTimeout = TimeSpan.FromSeconds(3),
                    MaxWait = TimeSpan.FromSeconds(1),
                    Create = null,
                });
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var running = consumer.RunAsync((message, token) => HandleAsync(message, token), concurrency: 4, stop.Token);
            while (!running.IsCompleted && !cancellationToken.IsCancellationRequested && IsServed(broker, served))
                await Task.Delay(50, CancellationToken.None);
            await stop.CancelAsync();
            await running;
        }
        catch (Exception) when (_kills.GetValueOrDefault(broker) != kills || cancellationToken.IsCancellationRequested)
        {
            // Its broker was killed, and may be back.
        }
    }

    // Not by another start of the broker.
    private bool IsServed(int broker, IBroker served) => Cluster.Running.Contains(broker) && Cluster.Broker(broker) == served;

    private async ValueTask HandleAsync(QueueMessage<string, string> message, CancellationToken cancellationToken)
    {
        var offset = message.Offset;
        if (_settled.ContainsKey(offset))
            _repeated.Add(offset);
        _handled[offset] = true;
        if (offset % 10 == 1)
            throw new InvalidOperationException("It always fails.");
        await (offset % 10 == 0 ? message.DeadLetterAsync($"refused {offset}", cancellationToken)
            : message.CompleteAsync(cancellationToken));
        _settled[offset] = true;
    }

    private async Task ProduceAsync(ConcurrentDictionary<long, bool> acknowledged, int records)
    {
        using var patience = new CancellationTokenSource(Wait.Deadline);
        for (var left = records; left > 0;)
        {
            var result = await AnyBroker().ProduceAsync(Jobs, TestBatches.Of("one", "two", "three"), Acks.All, patience.Token);
            if (result.Error == ErrorCode.None)
            {
                for (var i = 0; i < 3; i++, left--)
                    acknowledged[result.BaseOffset + i] = true;
            }
            else
                await Task.Delay(50, patience.Token);
        }
    }

    private async Task<List<long>> LettersAsync()
    {
        var read = new List<long>();
        var broker = AnyBroker();
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
                read.Add(long.Parse(reader.Current.ReadHeaders().Single(header => header.Name() == DeadLetterHeaders.Offset).TextValue()!,
                    CultureInfo.InvariantCulture));
            }
        }
        return read;
    }
}
