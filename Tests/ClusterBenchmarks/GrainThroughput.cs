using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Streams;
using Orleans.Streams.Core;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Events into grains, on one silo in this process that also sends them, or on three: over topics to grain consumers and to
/// observers of streams, over Orleans' memory streams, and by direct calls. The ways alternate.</summary>
internal static class GrainThroughput
{
    private const string MemoryProvider = "memory";
    private const string TopicProvider = "topics";

    private static readonly string[] s_ways = ["consumers", "streams", "memory", "calls"];

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var events = arguments.Number("--events", 200_000);
        var memoryEvents = arguments.Number("--memory-events", 10_000);
        var together = arguments.Number("--together", 1);
        var senders = arguments.Number("--senders", 64);
        var topic = new Topic(arguments.Number("--partitions", 4), arguments.Number("--replicas", 1), arguments.Number("--flush", 0) != 0);
        var rounds = arguments.Number("--rounds", 3);
        var ways = arguments.Text("--ways")?.Split(',') ?? s_ways;
        int[] keys = arguments.Text("--keys") is { } given
            ? [.. given.Split(',').Select(static text => int.Parse(text, CultureInfo.InvariantCulture))] : [1, 1_000, 0];
        var directory = arguments.Directory("grains");
        var database = topic.Replicas > 1 ? await RunningCluster.StartDatabaseAsync() : null;
        if (topic.Replicas > 1 && database is null)
        {
            Console.Error.WriteLine("This needs PostgreSQL's server programs; on Debian and Ubuntu they are in the package 'postgresql'.");
            return 1;
        }
        var hosts = new List<IHost>();
        try
        {
            for (var broker = 1; broker <= topic.Replicas; broker++)
            {
                hosts.Add(Silo(Path.Combine(directory, $"{broker}"), broker, database?.Server.ConnectionString()));
                await hosts[^1].StartAsync();
            }
            for (var round = 0; round < rounds; round++)
            {
                foreach (var number in keys)
                {
                    foreach (var way in ways)
                    {
                        var count = way == MemoryProvider ? memoryEvents : events;
                        // Grains with one event each are other ones in each round.
                        await MeasureAsync(await SenderAsync(hosts[0].Services, way, topic, round), way, count,
                            number == 0 ? count : number, number == 0 ? round * count : 0, together, senders);
                    }
                }
            }
        }
        finally
        {
            foreach (var host in hosts)
            {
                await host.StopAsync();
                await ((IAsyncDisposable)host).DisposeAsync();
            }
            if (database is var (server, files))
            {
                await server.DisposeAsync();
                Directory.Delete(files, recursive: true);
            }
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    // A broker that is one of several finds the others in the database.
    private static IHost Silo(string directory, int broker, string? database)
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        // Without configuration files: the default host watches all that is below the working directory, also the broker's logs.
        return new HostBuilder().ConfigureLogging(static logging => logging.AddConsole().SetMinimumLevel(LogLevel.Warning))
            .UseOrleans(host =>
            {
                if (database is null)
                    host.UseLocalhostClustering(silo, gateway).AddOrleansMq(options => options with { DataDirectory = directory });
                else
                {
                    host.ConfigureEndpoints(IPAddress.Loopback, silo, gateway);
                    host.AddOrleansMq(options => options with { BrokerId = new BrokerId(broker), DataDirectory = directory },
                        new BrokerClusterOptions { PostgreSql = database, ClusterId = "grains", WatchProcesses = false });
                }
                host.AddOrleansMqConsumers(static options => options with { MissingTopic = MissingTopic.Wait });
                host.AddOrleansMqStreams(TopicProvider);
                host.AddMemoryStreams(MemoryProvider).AddMemoryGrainStorage("PubSubStore");
            }).Build();
    }

    // Sends events of a key that follow each other: the key, the first number, and how many.
    private static async Task<Func<int, int, int, Task>> SenderAsync(IServiceProvider services, string way, Topic made, int round)
    {
        switch (way)
        {
            case "consumers":
                var client = new OrleansMqClient(services.GetRequiredService<IBroker>());
                if (round == 0)
                    await client.Broker.EnsureAsync(BenchmarkConsumer.Topic, made);
                var producer = client.CreateProducer<string, BenchmarkEvent>(null, null, Serdes.Json(BenchmarkJson.Default.BenchmarkEvent));
                return (key, first, count) => Task.WhenAll(Enumerable.Range(first, count).Select(number => producer.SendAsync(
                    new ProducerRecord<string, BenchmarkEvent>(BenchmarkConsumer.Topic, $"{key}", new BenchmarkEvent(number))).AsTask()));
            case "streams" or "memory":
                var provider = services.GetRequiredKeyedService<IStreamProvider>(way == MemoryProvider ? MemoryProvider : TopicProvider);
                var topic = $"benchmark-{way}";
                if (way == "streams" && round == 0)
                    await services.GetRequiredService<IBroker>().EnsureAsync(topic, made);
                return (key, first, count) => provider.GetStream<BenchmarkEvent>(topic, $"{key}")
                    .OnNextBatchAsync(Enumerable.Range(first, count).Select(static number => new BenchmarkEvent(number)));
            case "calls":
                var grains = services.GetRequiredService<IGrainFactory>();
                return async (key, first, count) =>
                {
                    var grain = grains.GetGrain<IBenchmarkCalledGrain>($"{key}");
                    for (var number = first; number < first + count; number++)
                        await grain.CallAsync(new BenchmarkEvent(number));
                };
            default:
                throw new FormatException($"--ways is '{way}'; it may be {string.Join(", ", s_ways)}.");
        }
    }

    private static async Task EnsureAsync(this IBroker broker, string topic, Topic made)
    {
        await GrainPlacement.UntilAsync(async () => (await broker.DescribeClusterAsync()).Brokers.Count >= made.Replicas,
            "all brokers are there");
        try
        {
            await broker.CreateTopicAsync(new NewTopic(topic, made.Partitions, (short)made.Replicas)
            {
                Configs = new Dictionary<string, string>
                {
                    ["retention.until.settled"] = "true",
                    ["flush.messages"] = made.IsFlushed ? "1" : $"{long.MaxValue}",
                },
            });
        }
        catch (BrokerException exists) when (exists.Code == ErrorCode.TopicAlreadyExists)
        {
            // An earlier way has made it.
        }
    }

    private static async Task MeasureAsync(Func<int, int, int, Task> send, string way, int events, int keys, int firstKey, int together,
        int senders)
    {
        // Makes what is made at the first event, and activates the grains that are not there.
        var first = Math.Min(keys, events);
        var began = Stopwatch.GetTimestamp();
        await SendAsync(send, first, keys, firstKey, together, senders, null);
        var firstRate = first / Stopwatch.GetElapsedTime(began).TotalSeconds;
        var cpu = Environment.CpuUsage.TotalTime;
        began = Stopwatch.GetTimestamp();
        await SendAsync(send, events, keys, firstKey, together, senders, null);
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        var cost = (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / events;
        var rate = events / seconds;
        var took = await SendAsync(send, events, keys, firstKey, together, senders, rate / 2);
        Array.Sort(took);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{way,-9} {keys,7:N0} grains, {together,3} together: {rate,9:N0} "
            + $"events/s, {cost,6:N1} us of CPU each; at half of that p50 {took[events / 2],6:N1} ms, "
            + $"p99 {took[events - 1 - events / 100],6:N1} ms; the first event of each: {firstRate,9:N0} events/s"));
    }

    // Returns how long each took, from the send to the grain, in milliseconds.
    private static async Task<double[]> SendAsync(Func<int, int, int, Task> send, int events, int keys, int firstKey, int together,
        int senders, double? rate)
    {
        var all = BenchmarkEvents.Begin(events);
        var began = Stopwatch.GetTimestamp();
        var next = -together;
        await Task.WhenAll(Enumerable.Range(0, senders).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Add(ref next, together) is var first && first < events)
            {
                if (rate is { } paced)
                {
                    var due = TimeSpan.FromSeconds(first / paced) - Stopwatch.GetElapsedTime(began);
                    if (due > TimeSpan.Zero)
                        await Task.Delay(due);
                }
                var count = Math.Min(together, events - first);
                BenchmarkEvents.Sent(first, count);
                await send(firstKey + (first / together % keys), first, count);
            }
        })));
        return await all;
    }

    private sealed record Topic(int Partitions, int Replicas, bool IsFlushed);
}

/// <summary>An event.</summary>
[GenerateSerializer]
public sealed record BenchmarkEvent([property: Id(0)] int Number);

/// <summary>Events as JSON.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web), JsonSerializable(typeof(BenchmarkEvent))]
internal sealed partial class BenchmarkJson : JsonSerializerContext;

/// <summary>A grain that consumes a topic.</summary>
public interface IBenchmarkConsumer : IGrainWithStringKey;

/// <inheritdoc cref="IBenchmarkConsumer"/>
[Consumes(Topic)]
public sealed class BenchmarkConsumer : Grain, IBenchmarkConsumer, IGrainConsumer<BenchmarkEvent>
{
    internal const string Topic = "benchmark-consumers";

    public Task ConsumeAsync(BenchmarkEvent value, ConsumedRecord record, CancellationToken cancellationToken) =>
        BenchmarkEvents.Received(value);
}

/// <summary>A grain that observes a stream.</summary>
public interface IBenchmarkObserver : IGrainWithStringKey;

/// <inheritdoc cref="IBenchmarkObserver"/>
[ImplicitStreamSubscription("benchmark-streams"), ImplicitStreamSubscription("benchmark-memory")]
public sealed class BenchmarkObserver : Grain, IBenchmarkObserver, IStreamSubscriptionObserver, IAsyncObserver<BenchmarkEvent>
{
    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<BenchmarkEvent>().ResumeAsync(this);

    public Task OnNextAsync(BenchmarkEvent item, StreamSequenceToken? token = null) => BenchmarkEvents.Received(item);

    public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
}

/// <summary>A grain that is called.</summary>
public interface IBenchmarkCalledGrain : IGrainWithStringKey
{
    Task CallAsync(BenchmarkEvent item);
}

/// <inheritdoc cref="IBenchmarkCalledGrain"/>
public sealed class BenchmarkCalledGrain : Grain, IBenchmarkCalledGrain
{
    public Task CallAsync(BenchmarkEvent item) => BenchmarkEvents.Received(item);
}

/// <summary>What the grains of this process receive in one measurement.</summary>
internal static class BenchmarkEvents
{
    private static Measurement s_current = new(0);

    /// <summary>Begins a measurement. Completes with the times in milliseconds when each event was received once.</summary>
    public static Task<double[]> Begin(int events) => (s_current = new Measurement(events)).All.Task;

    public static void Sent(int first, int count) => Array.Fill(s_current.SentAt, Stopwatch.GetTimestamp(), first, count);

    // One that comes again counts once.
    public static Task Received(BenchmarkEvent item)
    {
        var current = s_current;
        if (item.Number < current.Took.Length && Interlocked.CompareExchange(ref current.Took[item.Number],
            Stopwatch.GetElapsedTime(current.SentAt[item.Number]).TotalMilliseconds, 0) == 0
            && Interlocked.Increment(ref current.Count) == current.Took.Length)
            current.All.TrySetResult(current.Took);
        return Task.CompletedTask;
    }

    private sealed class Measurement(int events)
    {
        public readonly TaskCompletionSource<double[]> All = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public readonly long[] SentAt = new long[events];
        public readonly double[] Took = new double[events];
        public int Count;
    }
}
