using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using Orleans.TestingHost;
using OrleansMq.Api;
using OrleansMq.Grains.Hosting;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Hosting;

/// <summary>Test clusters of three silos, as an application's tests have them: with one broker, and with three that replicate.</summary>
public sealed class TestingHostTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>, IDisposable
{
    private const string Provider = "test";
    private const int Streams = 6;
    private const int Third = 10;
    private static readonly TimeSpan s_longest = TimeSpan.FromMinutes(2);

    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Silos_beside_one_broker_die_and_no_event_is_lost()
    {
        var builder = new InProcessTestClusterBuilder(3);
        builder.ConfigureSilo((silo, host) =>
        {
            if (silo.SiloName.EndsWith('0'))
                host.AddOrleansMq(options => options with { DataDirectory = _data.Path, MinFreeBytes = 0 });
            else
                host.AddOrleansMqClient();
            AddStreams(host);
        });
        await using var cluster = builder.Build();
        await cluster.DeployAsync();
        await KillInTheMiddleAsync(cluster, "implicit-beside-one-broker", 1, 2);
    }

    [SkippableFact]
    public async Task Broker_dies_among_three_that_replicate_and_no_event_is_lost()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        var builder = new InProcessTestClusterBuilder(3) { Options = { ClusterId = "tested", ServiceId = "tested" } };
        builder.ConfigureSilo((silo, host) =>
        {
            var broker = 1 + int.Parse(silo.SiloName.AsSpan("Silo_".Length));
            host.AddOrleansMq(options => options with
            {
                BrokerId = new BrokerId(broker),
                DataDirectory = Path.Combine(_data.Path, $"{broker}"),
                MinFreeBytes = 0,
            }, new BrokerClusterOptions { PostgreSql = database, ClusterId = "tested", WatchProcesses = false });
            AddStreams(host);
        });
        await using var cluster = builder.Build();
        await cluster.DeployAsync();
        // Its broker leads a third of the partitions.
        await KillInTheMiddleAsync(cluster, "implicit-among-three-brokers", 3, 2);
    }

    private static void AddStreams(ISiloBuilder silo) => silo.AddOrleansMqStreams(Provider, static options => options with
    {
        RefreshInterval = TimeSpan.FromMilliseconds(200),
        SessionTimeout = TimeSpan.FromSeconds(5),
    });

    private static async Task KillInTheMiddleAsync(InProcessTestCluster cluster, string topic, short replicas, int victim)
    {
        var services = cluster.GetSiloServiceProvider(cluster.Silos[0].SiloAddress);
        var broker = services.GetRequiredService<IBroker>();
        await StreamCalls.RepeatAsync(() => broker.CreateTopicAsync(new NewTopic(topic, 3, replicas)).AsTask(),
            "the creation of the topic");
        var keys = Enumerable.Range(0, Streams).Select(static key => $"{key}").ToList();
        var (stayers, leavers) = (Readers("stays"), Readers("leaves"));
        foreach (var reader in stayers.Concat(leavers))
            await StreamCalls.RepeatAsync(reader.SubscribeAsync, "the subscription");
        var readers = keys.Select(key => (Key: key, Grain: cluster.Client.GetGrain<IImplicitGrain>(key).GetGrainId()))
            .Concat(stayers.Select(static (reader, key) => (Key: $"{key}", Grain: reader.GetGrainId()))).ToList();

        await SendAsync(0);
        await ReceivedAsync(Third);
        foreach (var leaver in leavers)
            await StreamCalls.RepeatAsync(() => leaver.UnsubscribeAsync(), "the unsubscribe");
        var sending = SendAsync(Third);
        await cluster.KillSiloAsync(cluster.Silos[victim]);
        await sending;
        await ReceivedAsync(2 * Third);
        await cluster.StartAdditionalSiloAsync();
        await SendAsync(2 * Third);
        await ReceivedAsync(3 * Third);
        foreach (var (key, grain) in readers)
            StreamAssert.IsInOrder(StreamScript.Received(topic, key, $"{grain}"));
        foreach (var (key, leaver) in leavers.Index())
            Assert.DoesNotContain(Third, StreamScript.Received(topic, $"{key}", $"{leaver.GetGrainId()}"));

        List<IConformingGrain> Readers(string name) =>
            [.. keys.Select(key => cluster.Client.GetGrain<IConformingGrain>($"{Provider}/{topic}/{key}/{name}"))];

        Task SendAsync(int first) => Task.WhenAll(keys.Select(async key =>
        {
            var stream = services.GetRequiredKeyedService<IStreamProvider>(Provider).GetStream<Happened>(topic, key);
            for (var number = first; number < first + Third; number++)
                await StreamCalls.RepeatAsync(() => stream.OnNextAsync(new Happened(number)), $"event {number} of stream {key}");
        }));

        Task ReceivedAsync(int count) => Wait.UntilAsync(() => Task.FromResult(readers.All(reader =>
            StreamScript.Received(topic, reader.Key, $"{reader.Grain}").Distinct().Count() == count)), "every event is received",
            () => Task.FromResult(string.Join('\n', readers.Select(reader =>
                $"{reader.Grain}: {string.Join(' ', StreamScript.Received(topic, reader.Key, $"{reader.Grain}"))}"))), s_longest);
    }
}
