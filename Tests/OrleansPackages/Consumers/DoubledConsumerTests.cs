using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Grain consumers with several activations at a time, on three silos: no record is missing, the records of a key come in order,
/// and effects in grain state happen once.</summary>
public sealed class DoubledConsumerTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Topic = "consume-once-doubled";
    private const int Keys = 6;
    // Half of the records comes while the directory is split.
    private const int Half = 12;
    private const int Records = 2 * Half;

    private readonly SplitDirectory _directory = new();
    private readonly ConcurrentDictionary<(string Key, SiloAddress Silo), bool> _apart = [];

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        SharedStorage.AddTo(silo);
        _directory.AddTo(silo);
        silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Wait,
            // A cursor hands records that come alone to the silos in turn, and each of them has an activation of its own.
            PreferLeader = false,
            RetryDelay = TimeSpan.FromMilliseconds(20),
            RefreshInterval = TimeSpan.FromMilliseconds(200),
        });
    }

    [SkippableFact]
    public async Task Grain_with_an_activation_on_each_silo_misses_no_record_and_doubles_no_effect_in_its_state()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Topic, 3, 3));
        await Cluster.UntilInSyncAsync(Topic);
        ConsumerScript.On(Topic, call =>
        {
            if (call.Number < Half)
                _apart[(call.Grain.GetPrimaryKeyString(), ((IGrainBase)call.Grain).GrainContext.Address.SiloAddress!)] = true;
            return Task.CompletedTask;
        });
        await Wait.UntilAsync(async () => (await Task.WhenAll(Enumerable.Range(0, 3).Select(ConsumersAsync)))
            .All(static count => count == 3), "every silo consumes every partition");
        await using var producer = new OrleansMqClient(Cluster.Broker(1)).CreateProducer<string, string>();
        // From the beginning: a silo that has called an activation goes on calling it, whatever the directory says.
        _directory.IsSplit = true;
        for (var key = 0; key < Keys; key++)
        {
            for (var number = 0; number < Half; number++)
            {
                await SendOneAsync(key, number);
                await Wait.UntilAsync(() => Received(key).Contains(number), $"record {number} alone of key {key}");
                // The record of a key that has another one under way goes to the same silo.
                await SettledAsync();
            }
        }
        _directory.IsSplit = false;
        for (var number = Half; number < Records; number++)
            await SendAsync(number);
        await ReceivedAsync(Records);

        Assert.All(Enumerable.Range(0, Keys), key => Assert.InRange(_apart.Keys.Count(place => place.Key == $"{key}"), 2, 3));
        Assert.All(Enumerable.Range(0, Keys), key => StreamAssert.IsInOrder(Received(key)));
        // The last call may be received and its effect not stored yet.
        await Wait.UntilAsync(async () => (await TalliesAsync()).All(static tally => tally.Length >= Records), "every effect is stored");
        Assert.All(await TalliesAsync(), static tally => Assert.Equal(Enumerable.Range(0, Records), tally));
        await Cluster.DemandEmptyAsync(1, $"{Topic}.dead-letter");

        Task SendAsync(int number) => Task.WhenAll(Enumerable.Range(0, Keys).Select(key => SendOneAsync(key, number)));

        Task SendOneAsync(int key, int number) => producer.SendAsync(new(Topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask();

        Task<int[][]> TalliesAsync() => Task.WhenAll(Enumerable.Range(0, Keys).Select(key =>
            Cluster.Get<IGrainFactory>(1).GetGrain<IDoubledTallyGrain>($"{key}").GetAsync()));
    }

    private async Task<int> ConsumersAsync(int partition) => (await FindQueueAsync(partition))?.Consumers ?? 0;

    private Task SettledAsync() => Wait.UntilAsync(async () => (await Task.WhenAll(Enumerable.Range(0, 3).Select(FindQueueAsync)))
        .All(static queue => queue is { Unsettled: 0 }), "every record is settled");

    private async Task<QueueDescription?> FindQueueAsync(int partition) =>
        (await Cluster.Broker(1).Queues.ListAsync(new TopicPartition(Topic, partition)))
            .SingleOrDefault(static queue => queue.Name == "grains:doubledtally");

    private static int[] Received(int key) => ConsumerScript.Received(Topic, $"{key}");

    private static Task ReceivedAsync(int count) => Wait.UntilAsync(() => Task.FromResult(Enumerable.Range(0, Keys).All(key =>
        Received(key).Distinct().Count() >= count)), $"{count} records of each key", () => Task.FromResult(string.Join('\n',
        Enumerable.Range(0, Keys).Select(key => $"{key}: {string.Join(' ', Received(key))}"))));
}
