using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Placement;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Grain consumers on three silos in this process, which reach each other with a delay: near the leader of their partition, placed
/// at random, and where leaders are not preferred. Each grain has one record at a time.</summary>
internal static class GrainPlacement
{
    private const int Silos = 3;

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var grains = arguments.Number("--grains", 60);
        var records = arguments.Number("--records", 100);
        var partitions = arguments.Number("--partitions", 6);
        var rounds = arguments.Number("--rounds", 3);
        var replicas = arguments.Number("--replicas", Silos);
        var delays = (arguments.Text("--delays") ?? "0,1").Split(',').Select(static text =>
            TimeSpan.FromMilliseconds(double.Parse(text, CultureInfo.InvariantCulture))).ToList();
        var directory = arguments.Directory("placement");
        if (await RunningCluster.StartDatabaseAsync() is not var (server, files))
        {
            Console.Error.WriteLine("This needs PostgreSQL's server programs; on Debian and Ubuntu they are in the package 'postgresql'.");
            return 1;
        }
        try
        {
            foreach (var (run, delay) in delays.Index())
            {
                var roundTrip = await DelayingProxy.MeasureAsync(delay);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{delay.TotalMilliseconds} ms each way, round trip {roundTrip:N2} ms"));
                foreach (var prefersLeader in (bool[])[true, false])
                {
                    await using var cluster = await Cluster.StartAsync(server.ConnectionString(), $"placement-{run}-{prefersLeader}",
                        Path.Combine(directory, $"{run}-{prefersLeader}"), delay, prefersLeader);
                    foreach (var topic in prefersLeader ? (string[])[NearConsumer.Topic, RandomConsumer.Topic] : [NearConsumer.Topic])
                        await MeasureAsync(cluster, topic, prefersLeader, grains, records, partitions, replicas, rounds);
                }
            }
        }
        finally
        {
            await server.DisposeAsync();
            Directory.Delete(files, recursive: true);
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static async Task MeasureAsync(Cluster cluster, string topic, bool prefersLeader, int grains, int records, int partitions,
        int replicas, int rounds)
    {
        var broker = cluster.Get<IBroker>(1);
        await UntilAsync(async () => (await broker.DescribeClusterAsync()).Brokers.Count == Silos, "all brokers are there");
        await broker.CreateTopicAsync(new NewTopic(topic, partitions, (short)replicas));
        await UntilAsync(async () => (await broker.DescribeTopicAsync(topic)).Partitions.All(partition =>
            partition.InSyncReplicas.Count == replicas), "the replicas are in sync");
        await UntilAsync(async () =>
        {
            for (var partition = 0; partition < partitions; partition++)
            {
                if (!(await broker.Queues.ListAsync(new TopicPartition(topic, partition))).Any(static queue => queue.Consumers == Silos))
                    return false;
            }
            return true;
        }, "all silos consume all partitions");
        await using var producer = new OrleansMqClient(broker).CreateProducer<string, BenchmarkEvent>(null, null,
            Serdes.Json(BenchmarkJson.Default.BenchmarkEvent));
        // The first record of a key decides where its grain is.
        var places = await Task.WhenAll(Enumerable.Range(0, grains).Select(key => SendAsync($"{key}", 0)));
        var leaders = (await broker.DescribeTopicAsync(topic)).Partitions.ToDictionary(static partition => partition.Partition,
            partition => cluster.Get<ILocalSiloDetails>(partition.Leader).SiloAddress);
        var near = places.Count(place => place.Silo.Equals(leaders[place.Partition]));
        for (var round = 0; round < rounds; round++)
        {
            var began = Stopwatch.GetTimestamp();
            var first = 1 + (round * records);
            var acknowledged = new double[grains * records];
            var took = (await Task.WhenAll(Enumerable.Range(0, grains).Select(key => Task.Run(async () =>
            {
                var each = new double[records];
                for (var number = 0; number < records; number++)
                {
                    var sent = Stopwatch.GetTimestamp();
                    var received = PlacedRecords.Expect(topic, $"{key}", first + number);
                    await SendOnlyAsync($"{key}", first + number);
                    acknowledged[(key * records) + number] = Stopwatch.GetElapsedTime(sent).TotalMilliseconds;
                    await received.WaitAsync(s_patience);
                    each[number] = Stopwatch.GetElapsedTime(sent).TotalMilliseconds;
                }
                return each;
            })))).SelectMany(static each => each).Order().ToList();
            Array.Sort(acknowledged);
            var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
            var way = prefersLeader ? topic : $"{topic}, PreferLeader=false";
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {way,-25} "
                + $"{near,3} of {grains} grains on their leader's silo; {took.Count / seconds,7:N0} records/s, acknowledged p50 "
                + $"{acknowledged[took.Count / 2],5:N1} ms, from send to grain p50 "
                + $"{took[took.Count / 2],5:N1} ms, p99 {took[took.Count - 1 - (took.Count / 100)],6:N1} ms"));
        }

        async Task<PlacedRecords.Place> SendAsync(string key, int number)
        {
            var received = PlacedRecords.Expect(topic, key, number);
            await SendOnlyAsync(key, number);
            return await received.WaitAsync(s_patience);
        }

        async Task SendOnlyAsync(string key, int number) =>
            await producer.SendAsync(new ProducerRecord<string, BenchmarkEvent>(topic, key, new BenchmarkEvent(number)));
    }

    /// <summary>Waits for a condition, also while the cluster starts.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                if (await condition())
                    return;
            }
            catch (BrokerException again) when (again.Action == ErrorAction.Retry && Stopwatch.GetElapsedTime(began) < s_patience)
            {
                // The cluster starts.
            }
            if (Stopwatch.GetElapsedTime(began) >= s_patience)
                throw new TimeoutException($"Not within {s_patience.TotalMinutes} minutes: {what}.");
            await Task.Delay(50);
        }
    }

    // Silo N listens at 127.0.2.N for other silos, and its proxy at 127.0.1.N, which it advertises.
    private sealed class Cluster : IAsyncDisposable
    {
        private readonly List<IHost> _hosts = [];
        private readonly List<DelayingProxy> _proxies = [];

        public static async Task<Cluster> StartAsync(string database, string id, string directory, TimeSpan delay, bool prefersLeader)
        {
            var cluster = new Cluster();
            try
            {
                for (var broker = 1; broker <= Silos; broker++)
                {
                    var host = cluster.Build(database, id, Path.Combine(directory, $"{broker}"), broker, delay, prefersLeader);
                    cluster._hosts.Add(host);
                    await host.StartAsync();
                }
                return cluster;
            }
            catch
            {
                await cluster.DisposeAsync();
                throw;
            }
        }

        public T Get<T>(int broker) where T : notnull => _hosts[broker - 1].Services.GetRequiredService<T>();

        public async ValueTask DisposeAsync()
        {
            foreach (var host in _hosts)
            {
                await host.StopAsync();
                await ((IAsyncDisposable)host).DisposeAsync();
            }
            foreach (var proxy in _proxies)
                await proxy.DisposeAsync();
        }

        private IHost Build(string database, string id, string directory, int broker, TimeSpan delay, bool prefersLeader)
        {
            var (port, gateway) = (FreePort.Choose(), FreePort.Choose());
            var (advertised, listens) = (IPAddress.Parse($"127.0.1.{broker}"), new IPEndPoint(IPAddress.Parse($"127.0.2.{broker}"), port));
            _proxies.Add(new DelayingProxy(new IPEndPoint(advertised, port), listens, delay));
            return new HostBuilder().ConfigureLogging(static logging => logging.AddConsole().SetMinimumLevel(LogLevel.Error))
                .UseOrleans(silo =>
                {
                    silo.Configure<EndpointOptions>(options =>
                    {
                        (options.AdvertisedIPAddress, options.SiloPort, options.GatewayPort) = (advertised, port, gateway);
                        options.SiloListeningEndpoint = listens;
                    });
                    silo.AddOrleansMq(options => options with { BrokerId = new BrokerId(broker), DataDirectory = directory },
                        new BrokerClusterOptions { PostgreSql = database, ClusterId = id, WatchProcesses = false });
                    silo.AddOrleansMqConsumers(options => options with
                    {
                        MissingTopic = MissingTopic.Wait,
                        PreferLeader = prefersLeader,
                    });
                }).Build();
        }
    }
}

/// <summary>A grain that is activated where its first record is delivered.</summary>
public interface INearConsumer : IGrainWithStringKey;

/// <inheritdoc cref="INearConsumer"/>
[Consumes(Topic)]
public sealed class NearConsumer : Grain, INearConsumer, IGrainConsumer<BenchmarkEvent>
{
    internal const string Topic = "near";

    public Task ConsumeAsync(BenchmarkEvent value, ConsumedRecord record, CancellationToken cancellationToken) =>
        PlacedRecords.ReceivedAsync(this, value, record);
}

/// <summary>A grain that is activated anywhere.</summary>
public interface IRandomConsumer : IGrainWithStringKey;

/// <inheritdoc cref="IRandomConsumer"/>
[Consumes(Topic), RandomPlacement]
public sealed class RandomConsumer : Grain, IRandomConsumer, IGrainConsumer<BenchmarkEvent>
{
    internal const string Topic = "random";

    public Task ConsumeAsync(BenchmarkEvent value, ConsumedRecord record, CancellationToken cancellationToken) =>
        PlacedRecords.ReceivedAsync(this, value, record);
}

/// <summary>The records that grains of this process wait for.</summary>
internal static class PlacedRecords
{
    private static readonly ConcurrentDictionary<(string Topic, string Key, int Number), TaskCompletionSource<Place>> s_expected = [];

    /// <summary>Completes when a grain has a record.</summary>
    public static Task<Place> Expect(string topic, string key, int number) => (s_expected[(topic, key, number)] =
        new TaskCompletionSource<Place>(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    // One that comes again counts once.
    public static Task ReceivedAsync(Grain grain, BenchmarkEvent value, ConsumedRecord record)
    {
        if (s_expected.TryRemove((record.Topic, grain.GetPrimaryKeyString(), value.Number), out var expected))
            expected.SetResult(new Place(record.Partition, grain.GrainContext.Address.SiloAddress!));
        return Task.CompletedTask;
    }

    /// <summary>Where a record was, and its grain.</summary>
    public sealed record Place(int Partition, SiloAddress Silo);
}
