using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.OrleansPackages.Timers;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The answer of a delivery is lost between two live silos of three: what was delivered comes again to its activation, which skips
/// it, and what is behind it comes.</summary>
public sealed class LostAnswerTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Attempts = 10;
    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_refresh = TimeSpan.FromMilliseconds(200);

    private readonly LostMessages _lost = new();

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        SharedStorage.AddTo(silo);
        _lost.AddTo(silo);
        silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Wait,
            Serves = static type => type == typeof(LossyGrain),
            RetryDelay = s_retry,
            RefreshInterval = s_refresh,
            AskInterval = s_interval,
        });
        silo.AddOrleansMqTimers(static options => options with
        {
            Partitions = 1,
            RetryDelay = s_retry,
            RefreshInterval = s_refresh,
            AskInterval = s_interval,
        });
        silo.AddOrleansMqStreams("test", static options => options with
        {
            RetryDelay = s_retry,
            RefreshInterval = s_refresh,
            AskInterval = s_interval,
        });
    }

    [SkippableFact]
    public Task Record_whose_answer_is_lost_is_settled_and_the_next_one_of_its_key_comes() =>
        UntilLostBetweenSilosAsync(LossyGrain.Records, "grains:lossy", key => SendAsync(LossyGrain.Records, key),
            static key => ConsumerScript.Received(LossyGrain.Records, key));

    [SkippableFact]
    public Task Event_whose_answer_is_lost_is_settled_and_the_next_one_of_its_stream_comes() =>
        UntilLostBetweenSilosAsync(LossyGrain.Events, "streams:test:lossy", key => SendAsync(LossyGrain.Events, key),
            static key => StreamScript.Received(LossyGrain.Events, key));

    [SkippableFact]
    public async Task Timer_whose_answer_is_lost_is_settled_and_the_next_one_of_its_grain_comes()
    {
        var timers = Cluster.Get<IDurableTimers>(1);
        // The topics are made on first use.
        await timers.ScheduleAsync(GrainOf(1, "timer"), DateTimeOffset.UtcNow.AddDays(1), new Ping(-1), "far");
        await UntilLostBetweenSilosAsync("grain-timers", "timers", async key =>
        {
            for (var number = 0; number < 2; number++)
                await timers.ScheduleAsync(GrainOf(1, key), DateTimeOffset.UtcNow, new Ping(number), $"{number}");
        }, static key => [.. TimerScript.Received(key).Order()]);
    }

    // The partition may be led elsewhere, or the grain be activated elsewhere, from the placement to the delivery. The answer is then lost
    // within one silo: its records are settled as well, and the next grain is tried.
    private async Task UntilLostBetweenSilosAsync(string topic, string queue, Func<string, Task> send, Func<string, int[]> received)
    {
        if (topic != "grain-timers")
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 1, 3));
        var silos = new List<string>();
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var key = $"{topic}-{attempt}";
            var grain = await PlaceAsync(topic, key);
            await send(key);
            await Wait.UntilAsync(() => received(key).Length >= 2, "both");
            await DemandSettledAsync(topic, queue);
            Assert.Equal([0, 1], received(key));
            Assert.True(_lost.Calls(grain, LostMessages.Delivery) >= 2);
            if (_lost.LostBy[grain] != _lost.ReceivedBy[grain])
                return;
            silos.Add(_lost.LostBy[grain].ToString());
        }
        Assert.Fail($"Each answer was lost within one silo: {string.Join(", ", silos)}.");
    }

    // Activates a grain on another silo than that which delivers, the leader's, and loses the answer of its first delivery.
    private async Task<GrainId> PlaceAsync(string topic, string key)
    {
        await Cluster.UntilInSyncAsync(topic);
        // There is none while the leader does not answer.
        var leader = -1;
        await Wait.UntilAsync(async () => (leader = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions[0].Leader) >= 0,
            $"a leader of {topic}");
        var other = 1 + (leader % 3);
        var grain = GrainOf(other, key);
        Assert.Equal(Cluster.Get<ILocalSiloDetails>(other).SiloAddress, await grain.PlaceAsync());
        _lost.Lose(grain.GetGrainId(), LostPart.Answer);
        return grain.GetGrainId();
    }

    private ILossyGrain GrainOf(int broker, string key) => Cluster.Get<IGrainFactory>(broker).GetGrain<ILossyGrain>(key);

    private async Task SendAsync(string topic, string key)
    {
        await using var producer = new OrleansMqClient(Cluster.Broker(1)).CreateProducer<string, string>();
        for (var number = 0; number < 2; number++)
            await producer.SendAsync(new(topic, key, $$"""{"number":{{number}}}"""));
    }

    private async Task DemandSettledAsync(string topic, string queue)
    {
        await Wait.UntilAsync(async () => (await Cluster.Broker(1).Queues.ListAsync(new TopicPartition(topic, 0)))
            .SingleOrDefault(found => found.Name == queue) is { Unsettled: 0 }, "everything is settled");
        await Cluster.DemandEmptyAsync(1, $"{topic}.dead-letter");
    }
}
