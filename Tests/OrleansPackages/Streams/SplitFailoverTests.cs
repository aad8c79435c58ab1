using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Explicit subscriptions that continue on their own, on three silos while one is lost.</summary>
public sealed class SplitFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Streams = 12;
    private const int Events = 40;

    private protected override void ConfigureSilo(ISiloBuilder silo) => silo.AddOrleansMqStreams("test", static options => options with
    {
        MaxAttempts = 1_000,
        RetryDelay = TimeSpan.FromMilliseconds(50),
        MaxRetryDelay = TimeSpan.FromSeconds(1),
        RefreshInterval = TimeSpan.FromMilliseconds(200),
        SessionTimeout = TimeSpan.FromSeconds(5),
        SplitAfter = TimeSpan.FromMilliseconds(300),
    });

    [SkippableTheory]
    [InlineData("split-killed", false)]
    [InlineData("split-stopped", true)]
    public async Task Silo_that_is_lost_while_subscriptions_are_split_takes_no_event_along(string topic, bool isStopped)
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 1, 3));
        await Cluster.UntilInSyncAsync(topic);
        // The first subscriber of each stream fails until it is told not to.
        var fails = true;
        StreamScript.On(topic, (_, grain) => Volatile.Read(ref fails) && grain.GetPrimaryKeyString().EndsWith('1')
            ? throw new InvalidOperationException("not yet") : Task.CompletedTask);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        for (var key = 0; key < Streams; key++)
        {
            await Reader(key, 1).SubscribeAsync();
            await Reader(key, 2).SubscribeAsync();
        }
        await using var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>();
        await SendAsync(0, Events / 2);
        await OthersReceivedAsync(Events / 2);
        if (isStopped)
            await Cluster.StopAsync(victim);
        else
            await Cluster.KillAsync(victim);
        await SendAsync(Events / 2, Events);
        await OthersReceivedAsync(Events);
        Assert.All(Enumerable.Range(0, Streams), key => Assert.Empty(Of(key, 1)));
        Volatile.Write(ref fails, false);
        await Wait.UntilAsync(() => Task.FromResult(Enumerable.Range(0, Streams).All(key => Of(key, 1).Distinct().Count() == Events)),
            "every event is received", () => Task.FromResult(string.Join('\n', Enumerable.Range(0, Streams)
                .Select(key => $"{key}: {string.Join(' ', Of(key, 1))}"))), TimeSpan.FromMinutes(3));
        for (var key = 0; key < Streams; key++)
        {
            StreamAssert.IsInOrder(Of(key, 1));
            StreamAssert.IsInOrder(Of(key, 2));
        }
        await Wait.UntilAsync(async () => !(await Cluster.Broker(survivor).Queues.ListAsync(new TopicPartition(topic, 0)))
            .Any(static queue => queue.Name.Contains('@', StringComparison.Ordinal)), "all have joined, and leave no queue");
        await Cluster.DemandEmptyAsync(survivor, $"{topic}.dead-letter");

        IReaderGrain Reader(int key, int number) => Grains(survivor).GetGrain<IReaderGrain>($"{topic}/{key}/{number}");

        int[] Of(int key, int number) => StreamScript.Received(topic, $"{key}", Reader(key, number).GetGrainId().ToString());

        Task OthersReceivedAsync(int count) => Wait.UntilAsync(() => Task.FromResult(Enumerable.Range(0, Streams)
            .All(key => Of(key, 2).Distinct().Count() == count)), $"the second subscribers have {count} events");

        async Task SendAsync(int from, int end)
        {
            for (var number = from; number < end; number++)
            {
                await Task.WhenAll(Enumerable.Range(0, Streams).Select(key =>
                    producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            }
        }
    }

    private IGrainFactory Grains(int broker) => Cluster.Get<IGrainFactory>(broker);
}
