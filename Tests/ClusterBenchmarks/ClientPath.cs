using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>The cost for a .NET service of sending batches through its Orleans client instead of over the Kafka protocol. Both send the
/// same batches, encoded beforehand, to the same brokers, with equally many in flight to each partition, in turn.</summary>
internal static class ClientPath
{
    private const int RecordBytes = 1000;

    private readonly record struct Settings(long Megabytes, int BatchBytes, int Partitions, int InFlight, short ReplicationFactor);

    private readonly record struct Run(double MegabytesPerSecond, double P50, double P99, double BrokerSecondsPerGigabyte,
        double ClientSecondsPerGigabyte)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"{MegabytesPerSecond,6:0} MB/s, p50 {P50,5:0.00} ms, p99 {P99,6:0.00} ms, CPU s/GB: brokers {BrokerSecondsPerGigabyte:0.00}, "
            + $"client {ClientSecondsPerGigabyte:0.00}");
    }

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var pairs = arguments.Number("--pairs", 5);
        var settings = new Settings(arguments.Number("--mb", 256), arguments.Number("--batch", 64 << 10),
            arguments.Number("--partitions", 6), arguments.Number("--in-flight", 4),
            (short)arguments.Number("--replication-factor", 1));
        return ClusterForBenchmarks.RunAsync(arguments.Directory("client-path"), async cluster =>
        {
            Console.WriteLine($"{settings.Megabytes} MB a run in batches of {settings.BatchBytes:N0} bytes, {settings.Partitions} "
                + $"partitions with {settings.ReplicationFactor} replica(s), "
                + $"{settings.InFlight} batches in flight to each, acks=1, {cluster.Silos.Count} broker(s)");
            using var orleans = ClusterForBenchmarks.Connect(cluster);
            await orleans.StartAsync();
            try
            {
                await MeasureAsync(cluster, orleans.Services.GetRequiredService<IBroker>(), pairs, settings);
            }
            finally
            {
                await orleans.StopAsync();
            }
        }, arguments.Number("--silos", ClusterForBenchmarks.Silos));
    }

    private static async Task MeasureAsync(LocalCluster cluster, IBroker broker, int pairs, Settings settings)
    {
        var ratios = new List<double>();
        // The first pair is a warm-up and not counted.
        for (var pair = 0; pair <= pairs; pair++)
        {
            var (orleansTopic, kafkaTopic) = ($"orleans-{pair}", $"kafka-{pair}");
            foreach (var topic in new[] { orleansTopic, kafkaTopic })
                await broker.CreateTopicAsync(new NewTopic(topic, settings.Partitions, settings.ReplicationFactor));
            var orleans = await OverOrleansAsync(cluster, broker, orleansTopic, settings);
            var kafka = OverKafka(cluster, kafkaTopic, settings);
            var ratio = orleans.MegabytesPerSecond / kafka.MegabytesPerSecond;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{(pair == 0 ? "warm" : pair.ToString(CultureInfo.InvariantCulture)),4} orleans {orleans}"));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"     kafka   {kafka}; ratio {ratio:0.00}"));
            if (pair > 0)
                ratios.Add(ratio);
            foreach (var topic in new[] { orleansTopic, kafkaTopic })
                await broker.DeleteTopicAsync(topic);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"Orleans client path / Kafka wire path: median {Statistics.Median(ratios):0.00} ({ratios.Min():0.00} to {ratios.Max():0.00}); "
            + $"the goal is 0.8"));
    }

    private static async Task<Run> OverOrleansAsync(LocalCluster cluster, IBroker broker, string topic, Settings settings)
    {
        var batch = ProduceTemplate.Batch(RecordBytes, settings.BatchBytes, default, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), out _);
        var batches = Batches(settings, batch.Length);
        // Creates connections, activations and files before the clock starts, as for the other side.
        await SendAsync(broker, topic, batch, batches / 8, new LatencyHistogram(), settings);
        var latencies = new LatencyHistogram();
        var (brokers, client) = (BrokerSeconds(cluster), Environment.CpuUsage.TotalTime);
        var start = Stopwatch.GetTimestamp();
        await SendAsync(broker, topic, batch, batches, latencies, settings);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var latency = latencies.Summarize();
        var gigabytes = (double)batches * batch.Length / 1e9;
        return new Run(gigabytes * 1000 / seconds, latency.P50, latency.P99, (BrokerSeconds(cluster) - brokers) / gigabytes,
            (Environment.CpuUsage.TotalTime - client).TotalSeconds / gigabytes);
    }

    private static Task SendAsync(IBroker broker, string topic, byte[] batch, long batches, LatencyHistogram latencies, Settings settings)
    {
        var left = batches;
        return Task.WhenAll(Enumerable.Range(0, settings.Partitions * settings.InFlight).Select(slot => Task.Run(async () =>
        {
            var partition = new TopicPartition(topic, slot % settings.Partitions);
            // The broker stamps its input.
            var own = batch.ToArray();
            while (Interlocked.Decrement(ref left) >= 0)
            {
                var sent = Stopwatch.GetTimestamp();
                var result = await broker.ProduceAsync(partition, own, Acks.Leader);
                if (result.Error != ErrorCode.None)
                    throw new InvalidOperationException($"A batch for {partition} was answered {result.Error}: {result.Message}");
                latencies.RecordSince(sent);
            }
        })));
    }

    private static Run OverKafka(LocalCluster cluster, string topic, Settings settings)
    {
        var load = new LoadOptions
        {
            IsProduce = true,
            Bootstrap = cluster.Silos[0].Kafka ?? throw new InvalidOperationException("The cluster announced no Kafka port."),
            Topic = topic,
            Partitions = settings.Partitions,
            ReplicationFactor = settings.ReplicationFactor,
            Connections = settings.Partitions,
            InFlight = settings.InFlight,
            RecordBytes = RecordBytes,
            BatchBytes = settings.BatchBytes,
            BrokerProcesses = [.. cluster.Silos.Select(static silo => silo.ProcessId)],
        };
        var batch = ProduceTemplate.Batch(RecordBytes, settings.BatchBytes, default, 0, out var recordsInBatch);
        var batches = Batches(settings, batch.Length);
        var result = LoadRun.Run(load with { Records = batches * recordsInBatch, WarmRecords = batches / 8 * recordsInBatch });
        var gigabytes = result.Bytes / 1e9;
        return new Run(result.MegabytesPerSecond, result.Latency.P50, result.Latency.P99, result.BrokerCpuSeconds!.Value / gigabytes,
            result.GeneratorCpuSeconds / gigabytes);
    }

    private static long Batches(Settings settings, int batchBytes) => settings.Megabytes * 1_000_000 / batchBytes;

    private static double BrokerSeconds(LocalCluster cluster) => ProcessorTime.Of(cluster.Silos.Select(static silo => silo.ProcessId));
}
