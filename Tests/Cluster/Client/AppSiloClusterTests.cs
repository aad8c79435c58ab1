using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains.Groups;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Client;

/// <summary>A silo of an application beside three brokers.</summary>
public sealed class AppSiloClusterTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private readonly ForwardedCallsLog _forwarded = new();

    private protected override void ConfigureSilo(ISiloBuilder silo) =>
        silo.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Trace).AddProvider(_forwarded));

    [SkippableFact]
    public async Task Silo_of_an_application_reaches_each_leader_and_coordinator_also_after_one_is_killed()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("orders", 6, 3));
        await Cluster.UntilInSyncAsync("orders");
        using var app = await StartAppAsync();
        var client = app.Services.GetRequiredService<OrleansMqClient>();
        await AppSiloTests.UseAsync(client, "orders", "shop-1");
        var leaders = Cluster.ImageOf(1).FindServed("orders")!.Partitions.Select(static partition => partition.Leader);
        Assert.Equal([1, 2, 3], leaders.Distinct().Order());
        await Cluster.KillAsync(3);
        await AppSiloTests.UseAsync(client, "orders", "shop-2");
        await app.StopAsync();
    }

    [SkippableFact]
    public async Task Calls_go_straight_to_the_leader_after_the_first_one_also_those_of_a_client_and_after_the_leader_has_moved()
    {
        const int Partitions = 12;
        var gateway = FreePort.Choose();
        using var app = await StartAppAsync(gateway);
        using var outside = await StartClientAsync(gateway);
        // Each has grains of its own: what the silo has found for one would help the other.
        var callers = new[] { (Host: app, Topic: "straight-app"), (Host: outside, Topic: "straight-client") };
        foreach (var (host, topic) in callers)
        {
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, Partitions, 3));
            await Cluster.UntilInSyncAsync(topic);
            _forwarded.Grains = $"{(await Cluster.Broker(1).DescribeTopicAsync(topic)).TopicId:N}/";
            var before = _forwarded.Count;
            await CallEachAsync(host, topic);
            // Any broker takes the first call of a partition, and passes it on.
            Assert.InRange(_forwarded.Count - before, 1, int.MaxValue);
            await AssertStraightAsync(host, topic);
        }

        await Cluster.StopAsync(3);
        foreach (var (host, topic) in callers)
        {
            _forwarded.Grains = $"{(await Cluster.Broker(1).DescribeTopicAsync(topic)).TopicId:N}/";
            await CallEachAsync(host, topic);
            await AssertStraightAsync(host, topic);
        }
        await outside.StopAsync();
        await app.StopAsync();

        // Calls to a leader that has just moved are passed on: what counts is a measurement in which none has.
        async Task AssertStraightAsync(IHost host, string topic)
        {
            var forwarded = 0;
            await Wait.UntilAsync(async () =>
            {
                var epochs = await EpochsAsync(topic);
                await CallEachAsync(host, topic);
                var before = _forwarded.Count;
                for (var round = 0; round < 5; round++)
                    await CallEachAsync(host, topic);
                forwarded = _forwarded.Count - before;
                return epochs.SequenceEqual(await EpochsAsync(topic));
            }, $"the leaders of {topic} stay where they are");
            Assert.Equal(0, forwarded);
        }

        async Task<List<int>> EpochsAsync(string topic) =>
            [.. (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions.Select(static partition => partition.LeaderEpoch)];

        static async Task CallEachAsync(IHost host, string topic)
        {
            var broker = host.Services.GetRequiredService<OrleansMqClient>().Broker;
            for (var partition = 0; partition < Partitions; partition++)
            {
                await Wait.UntilAsync(async () => (await broker.FindOffsetAsync(new TopicPartition(topic, partition),
                    OffsetSpec.Latest)).Error == ErrorCode.None, $"the end of partition {partition}");
            }
        }
    }

    private static async Task<IHost> StartClientAsync(int gateway)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        var cluster = new BrokerClusterOptions().ClusterId;
        builder.UseOrleansClient(client => client.UseLocalhostClustering(gateway, cluster, cluster).AddOrleansMqClient());
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private async Task<IHost> StartAppAsync(int? gateway = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleans(silo =>
        {
            var cluster = new BrokerClusterOptions().ClusterId;
            silo.ConfigureEndpoints(IPAddress.Loopback, FreePort.Choose(), gateway ?? FreePort.Choose());
            silo.Services.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, cluster));
            silo.UsePostgreSqlClustering(Cluster.Database).AddOrleansMqClient();
            // As in a process that does not reference the broker.
            silo.Services.PostConfigure<GrainTypeOptions>(static types =>
                types.Classes.RemoveWhere(static type => type.Assembly == typeof(GroupGrain).Assembly));
        });
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }

    // The calls of a topic's partitions that brokers pass on to another one, as Orleans logs them.
    private sealed class ForwardedCallsLog : ILoggerProvider, ILogger
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        // What the ids of the grains contain.
        public string? Grains { get; set; }

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => Grains is not null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (Grains is { } grains && formatter(state, exception) is var line && line.Contains(grains, StringComparison.Ordinal)
                && line.StartsWith("Trying to forward", StringComparison.Ordinal))
                Interlocked.Increment(ref _count);
        }

        public void Dispose()
        {
        }
    }
}
