using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains;
using OrleansMq.Grains.Partitions;
using OrleansMq.Partitioning;
using OrleansMq.Streams;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Streams on three silos while one is lost: no event is skipped, and each stream stays in order.</summary>
public sealed class StreamFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Streams = 12;
    private const int Events = 40;

    private protected override void ConfigureSilo(ISiloBuilder silo) => silo.AddOrleansMqStreams("test", static options => options with
    {
        RetryDelay = TimeSpan.FromMilliseconds(50),
        MaxRetryDelay = TimeSpan.FromSeconds(1),
        RefreshInterval = TimeSpan.FromMilliseconds(200),
        SessionTimeout = TimeSpan.FromSeconds(5),
    });

    [SkippableTheory]
    [InlineData("implicit-killed", false)]
    [InlineData("explicit-killed", false)]
    [InlineData("implicit-stopped", true)]
    [InlineData("explicit-stopped", true)]
    public async Task Silo_that_is_lost_in_the_middle_takes_no_event_along(string topic, bool isStopped)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 3, 3));
        await Cluster.UntilInSyncAsync(topic);
        // Every third event takes a while, so that some are in delivery at any time.
        StreamScript.On(topic, static (happened, _) => happened.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask);
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
        {
            for (var key = 0; key < Streams; key++)
                await Grains(1 + (key % 3)).GetGrain<IReaderGrain>($"{topic}/{key}/1").SubscribeAsync();
        }
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        await using var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>();
        var sending = SendAsync();
        await Wait.UntilAsync(() =>
        {
            Wait.Demand(sending);
            return Task.FromResult(Received(topic).Sum(numbers => numbers.Length) >= Streams * Events / 4);
        }, "a quarter is received", () => Task.FromResult(Describe(topic)));
        if (isStopped)
            await Cluster.StopAsync(victim);
        else
            await Cluster.KillAsync(victim);
        await sending;
        await Wait.UntilAsync(() => Task.FromResult(Received(topic).All(numbers => numbers.Distinct().Count() == Events)),
            "every event is received", () => Task.FromResult(Describe(topic)), TimeSpan.FromMinutes(3));
        Assert.All(Received(topic), StreamAssert.IsInOrder);
        await Cluster.DemandEmptyAsync(survivor, $"{topic}.dead-letter");

        async Task SendAsync()
        {
            for (var number = 0; number < Events; number++)
            {
                await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            }
        }
    }

    [SkippableTheory]
    [InlineData("implicit-handed-over")]
    [InlineData("explicit-handed-over")]
    public async Task Leaders_that_hand_over_while_all_silos_live_take_no_event_along(string topic)
    {
        const int Partitions = 3, Handovers = 6;
        var topicId = (await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, Partitions, 3))).TopicId;
        await Cluster.UntilInSyncAsync(topic);
        StreamScript.On(topic, static (happened, _) => happened.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask);
        if (topic.StartsWith("explicit", StringComparison.Ordinal))
        {
            for (var key = 0; key < Streams; key++)
                await Grains(1 + (key % 3)).GetGrain<IReaderGrain>($"{topic}/{key}/1").SubscribeAsync();
        }
        await using var producer = new OrleansMqClient(Cluster.Broker(1)).CreateProducer<string, string>();
        var epochs = await EpochsAsync();
        // A part of the events is sent before each handover, and is in delivery while it goes on.
        const int Part = Events / (Handovers + 1);
        for (var handover = 0; handover < Handovers; handover++)
        {
            var sending = SendAsync(handover * Part, (handover + 1) * Part);
            for (var partition = 0; partition < Partitions; partition++)
                await HandOverAsync(partition);
            await sending;
        }
        await SendAsync(Handovers * Part, Events);
        Assert.All((await EpochsAsync()).Zip(epochs), static epoch => Assert.True(epoch.First >= epoch.Second + Handovers));
        await Wait.UntilAsync(() => Task.FromResult(Received(topic).All(numbers => numbers.Distinct().Count() == Events)),
            "every event is received", () => Task.FromResult(Describe(topic)), TimeSpan.FromMinutes(3));
        Assert.All(Received(topic), StreamAssert.IsInOrder);
        await Cluster.DemandEmptyAsync(1, $"{topic}.dead-letter");

        async Task SendAsync(int from, int end)
        {
            for (var number = from; number < end; number++)
            {
                await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            }
        }

        async Task<int[]> EpochsAsync() =>
            [.. (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions.Select(static partition => partition.LeaderEpoch)];

        // The successor may not have caught up yet, and then is asked again.
        async Task HandOverAsync(int partition)
        {
            var before = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[partition];
            var successor = 1 + (before.Leader % 3);
            var grain = Grains(1).GetGrain<IPartitionLeaderGrain>(GrainKeys.Partition(topicId, partition));
            await Wait.UntilAsync(async () =>
            {
                try
                {
                    return await grain.HandOverAsync(successor) == successor;
                }
                catch (BrokerException leads) when (leads.Code == ErrorCode.ElectionNotNeeded)
                {
                    return true;
                }
                catch (BrokerException notReady) when (notReady.Action == ErrorAction.Retry)
                {
                    return false;
                }
            }, $"partition {partition} is led by broker {successor}");
        }
    }

    [SkippableTheory]
    [InlineData("replay-killed", false)]
    [InlineData("replay-stopped", true)]
    public async Task Silo_that_is_lost_in_the_middle_of_replays_takes_no_event_along(string topic, bool isStopped)
    {
        const int Partitions = 3;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, Partitions, 3));
        await Cluster.UntilInSyncAsync(topic);
        StreamScript.On(topic, static (happened, _) => happened.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        await using var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>();
        await SendAsync(0, Events / 2);
        for (var key = 0; key < Streams; key++)
        {
            var partition = Murmur2Partitioner.ForKey(Encoding.UTF8.GetBytes($"{key}"), Partitions);
            await Grains(1 + (key % 3)).GetGrain<IReaderGrain>($"{topic}/{key}/1").SubscribeFromAsync(new StreamOffset(partition, 0));
        }
        var sending = SendAsync(Events / 2, Events);
        await Wait.UntilAsync(() => Received(topic).Sum(numbers => numbers.Length) >= Streams * Events / 8, "a part is received");
        if (isStopped)
            await Cluster.StopAsync(victim);
        else
            await Cluster.KillAsync(victim);
        await sending;
        await Wait.UntilAsync(() => Task.FromResult(Received(topic).All(numbers => numbers.Distinct().Count() == Events)),
            "every event is received", () => Task.FromResult(Describe(topic)), TimeSpan.FromMinutes(3));
        Assert.All(Received(topic), StreamAssert.IsInOrder);
        await Wait.UntilAsync(async () =>
        {
            for (var partition = 0; partition < Partitions; partition++)
            {
                if ((await Cluster.Broker(survivor).Queues.ListAsync(new TopicPartition(topic, partition)))
                    .Any(static queue => queue.Name.Contains('@', StringComparison.Ordinal)))
                    return false;
            }
            return true;
        }, "the replays are over, and leave no queue");
        await Cluster.DemandEmptyAsync(survivor, $"{topic}.dead-letter");

        async Task SendAsync(int from, int end)
        {
            for (var number = from; number < end; number++)
            {
                await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            }
        }
    }

    [SkippableTheory]
    [InlineData("positioned-killed", false)]
    [InlineData("positioned-stopped", true)]
    public async Task Silo_that_is_lost_in_the_middle_of_replays_of_a_class_takes_no_event_along(string topic, bool isStopped)
    {
        const int Partitions = 3, First = Events / 4;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, Partitions, 3));
        await Cluster.UntilInSyncAsync(topic);
        StreamScript.On(topic, static (happened, _) => happened.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        await using var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>();
        var tokens = await SendAsync(0, Events / 2);
        await Wait.UntilAsync(() => Received().All(static numbers => numbers.Distinct().Count() == Events / 2), "the class has all");
        await UntilSettledAsync();
        // An event may have come again before it was settled, and no later. What the grains receive from here on is from the tokens on.
        var before = Received();
        Assert.All(before, StreamAssert.IsInOrder);
        for (var key = 0; key < Streams; key++)
        {
            // Each activation gives it; the first one of each grain in a call, which is in its middle when the silo is lost.
            PositionedGrain.Tokens[KeyOf(key)] = tokens[(key, First)];
            await Grains(1 + (key % 3)).GetGrain<IPositionedGrain>(KeyOf(key)).SubscribeFromAsync(tokens[(key, First)]);
        }
        var sending = SendAsync(Events / 2, Events);
        await Wait.UntilAsync(() => Replayed().Sum(static numbers => numbers.Length) >= Streams * Events / 8, "a part");
        if (isStopped)
            await Cluster.StopAsync(victim);
        else
            await Cluster.KillAsync(victim);
        await sending;
        await Wait.UntilAsync(() => Task.FromResult(Replayed().All(static numbers => numbers.Distinct().Count() == Events - First)),
            "every event is replayed", () => Task.FromResult(string.Join('\n', Received().Select(static numbers =>
                string.Join(' ', numbers)))), TimeSpan.FromMinutes(3));
        Assert.All(Replayed(), static numbers => StreamAssert.IsInOrder([.. numbers.Select(static number => number - First)]));
        await Cluster.DemandEmptyAsync(survivor, $"{topic}.dead-letter");

        string KeyOf(int key) => $"{topic}/{key}";

        IReadOnlyList<int[]> Received() => [.. Enumerable.Range(0, Streams).Select(key => StreamScript.Received(topic, KeyOf(key)))];

        IReadOnlyList<int[]> Replayed() => [.. Received().Zip(before, static (all, first) => all[first.Length..])];

        Task UntilSettledAsync() => Wait.UntilAsync(async () =>
        {
            for (var partition = 0; partition < Partitions; partition++)
            {
                if (await Cluster.Broker(survivor).Queues.ListAsync(new TopicPartition(topic, partition)) is not [{ Unsettled: 0 }])
                    return false;
            }
            return true;
        }, "the class's cursors have settled every event");

        async Task<Dictionary<(int Key, int Number), StreamSequenceToken>> SendAsync(int from, int end)
        {
            var sent = new Dictionary<(int Key, int Number), StreamSequenceToken>();
            for (var number = from; number < end; number++)
            {
                var written = await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, KeyOf(key), $$"""{"number":{{number}}}""")).AsTask()));
                for (var key = 0; key < Streams; key++)
                    sent[(key, number)] = new StreamOffset(written[key].TopicPartition.Partition, written[key].Offset);
            }
            return sent;
        }
    }

    [SkippableFact]
    public async Task Subscription_on_one_silo_is_seen_by_every_other_at_once()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("explicit-everywhere", 6, 3));
        await Cluster.UntilInSyncAsync("explicit-everywhere");
        for (var key = 0; key < 30; key++)
        {
            var reader = Grains(1 + (key % 3)).GetGrain<IReaderGrain>($"explicit-everywhere/{key}/1");
            await reader.SubscribeAsync();
            await Provider(1 + ((key + 1) % 3)).GetStream<Happened>("explicit-everywhere", $"{key}").OnNextAsync(new Happened(key));
        }
        await Wait.UntilAsync(() => Enumerable.Range(0, 30).All(key => StreamScript.Received("explicit-everywhere", $"{key}") is [var only]
            && only == key), "every event is received");
    }

    private IGrainFactory Grains(int broker) => Cluster.Get<IGrainFactory>(broker);

    private IStreamProvider Provider(int broker) => Cluster.Get<IServiceProvider>(broker).GetRequiredKeyedService<IStreamProvider>("test");

    private static IReadOnlyList<int[]> Received(string topic) =>
        [.. Enumerable.Range(0, Streams).Select(key => StreamScript.Received(topic, $"{key}"))];

    private static string Describe(string topic) => string.Join('\n', Received(topic).Select((numbers, key) =>
        $"{key}: missing {string.Join(' ', Enumerable.Range(0, Events).Except(numbers))}"));
}
