using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Client;
using OrleansMq.Tests.Benchmarks;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>The cost of replication: the maximum of records a second, and the latency at a moderate rate, at replication factor 1 and 3
/// with acks=1 and acks=all, over HTTP and over an Orleans client. Three brokers, the database and the client share one machine.</summary>
internal static class ReplicationThroughput
{
    private const string Heading = "client  | RF | acks | records/s | MB/s | p50 ms | p99 ms | p99.9 ms | max ms";

    // The measurement is of a healthy cluster: a record slower than this timeout has another cause.
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(30);

    private readonly record struct Settings(int Records, int Size, int Partitions, int Rate, int Seconds);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 3);
        var settings = new Settings(arguments.Number("--records", 500_000), arguments.Number("--size", 100),
            arguments.Number("--partitions", 4),
            arguments.Number("--rate", 500), arguments.Number("--seconds", 10));
        return ClusterForBenchmarks.RunAsync(arguments.Directory("replication"), async cluster =>
        {
            Console.WriteLine($"{settings.Records} records of {settings.Size} bytes, {settings.Partitions} partitions; latency at "
                + $"{settings.Rate} records a second for {settings.Seconds} s");
            using var http = new HttpBroker(cluster.Addresses, new HttpBrokerOptions { RequestTimeout = RequestTimeout });
            using var orleans = ClusterForBenchmarks.Connect(cluster);
            await orleans.StartAsync();
            try
            {
                await MeasureAsync(rounds, http, [("http", http), ("orleans", orleans.Services.GetRequiredService<IBroker>())], settings);
            }
            finally
            {
                await orleans.StopAsync();
            }
        });
    }

    private static async Task MeasureAsync(int rounds, HttpBroker administration, (string Name, IBroker Broker)[] clients,
        Settings settings)
    {
        // The first round is a warm-up and not counted.
        for (var round = 0; round <= rounds; round++)
        {
            Console.WriteLine(round == 0 ? $"warm up\n{Heading}" : $"round {round}\n{Heading}");
            foreach (var (name, broker) in clients)
            {
                foreach (var (factor, acks) in ((short, Acks)[])[(1, Acks.Leader), (1, Acks.All), (3, Acks.Leader), (3, Acks.All)])
                    await MeasureAsync(name, administration, broker, factor, acks, settings);
            }
        }
    }

    private static async Task MeasureAsync(string name, HttpBroker administration, IBroker broker, short replicationFactor, Acks acks,
        Settings settings)
    {
        var topic = $"rf{replicationFactor}-{acks}-{Guid.NewGuid():N}".ToLowerInvariant();
        await administration.CreateTopicAsync(new NewTopic(topic, settings.Partitions, replicationFactor));
        var client = new OrleansMqClient(broker);
        var perSecond = await FastAsync(client, topic, acks, settings);
        var latency = await PacedAsync(client, topic, acks, settings);
        await administration.DeleteTopicAsync(topic);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-7} | {replicationFactor,2} | {HttpContract.Format(acks),4} | {perSecond,9:N0} | {perSecond * settings.Size / 1e6,4:0} "
            + $"| {latency.P50,6:0.00} | {latency.P99,6:0.00} | {latency.P999,8:0.00} | {latency.Max,6:0.0}"));
    }

    private static async Task<double> FastAsync(OrleansMqClient client, string topic, Acks acks, Settings settings)
    {
        var value = ValueOf(settings.Size);
        await using var producer = client.CreateProducer<Ignore, byte[]>(new ProducerOptions { Acks = acks });
        // The first records also pay for connections, metadata and a producer id.
        await producer.SendAsync(new ProducerRecord<Ignore, byte[]>(topic, default, value));
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < settings.Records; i++)
        {
            var accepted = producer.EnqueueAsync(new ProducerRecord<Ignore, byte[]>(topic, default, value));
            if (!accepted.IsCompletedSuccessfully)
                await accepted;
        }
        await producer.FlushAsync();
        var time = Stopwatch.GetElapsedTime(start);
        Check(producer, settings.Records + 1);
        return settings.Records / time.TotalSeconds;
    }

    private static async Task<Latency> PacedAsync(OrleansMqClient client, string topic, Acks acks, Settings settings)
    {
        var value = ValueOf(settings.Size);
        var latencies = new LatencyHistogram();
        await using var producer = client.CreateProducer<Ignore, byte[]>(new ProducerOptions { Acks = acks });
        var records = settings.Rate * settings.Seconds;
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < records; i++)
        {
            while (i >= Stopwatch.GetElapsedTime(start).TotalSeconds * settings.Rate)
                await Task.Delay(1);
            var sent = Stopwatch.GetTimestamp();
            await producer.EnqueueAsync(new ProducerRecord<Ignore, byte[]>(topic, default, value) { Partition = i % settings.Partitions },
                _ => latencies.RecordSince(sent));
        }
        await producer.FlushAsync();
        Check(producer, records);
        return latencies.Summarize();
    }

    private static void Check(IProducer<Ignore, byte[]> producer, int records)
    {
        var statistics = producer.Statistics;
        if (statistics.RecordsDelivered != records)
            throw new InvalidOperationException($"{statistics.RecordsDelivered} of {records} records were delivered, "
                + $"{statistics.RecordsFailed} failed.");
    }

    private static byte[] ValueOf(int size)
    {
        var value = new byte[size];
        Samples.Fill(new Random(1), value);
        return value;
    }
}
