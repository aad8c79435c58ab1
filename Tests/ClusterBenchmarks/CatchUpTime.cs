using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Client;
using OrleansMq.Tests.Benchmarks;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>How fast an empty replica catches up, and how that affects live traffic. A partition with one replica repeatedly gets a second
/// one on another broker and loses it again. Another topic, with a replica on every broker, takes records at a moderate rate with acks=all
/// before, during and after.</summary>
internal sealed class CatchUpTime(HttpBroker broker, CatchUpTime.Settings settings)
{
    private const int RecordBytes = 1100;
    private const int LivePartitions = 6;
    private const string Live = "live";
    private static readonly TopicPartition Bulk = new("bulk", 0);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    private readonly OrleansMqClient _client = new(broker);

    /// <param name="Megabytes">The size of the replica that catches up.</param>
    /// <param name="Rate">Live records a second.</param>
    /// <param name="Seconds">The duration of live traffic before and after.</param>
    /// <param name="Sync">Whether the live topic is flushed before records are acknowledged.</param>
    internal readonly record struct Settings(int Megabytes, int Rate, int Seconds, bool Sync);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 2);
        var share = arguments.Number("--share", 0);
        var settings = new Settings(arguments.Number("--megabytes", 1024), arguments.Number("--rate", 2000),
            arguments.Number("--seconds", 10), arguments.Number("--sync", 0) != 0);
        var environment = share == 0
            ? null : new Dictionary<string, string> { ["OMQ_REPLICA_CATCH_UP_LIVE_SHARE"] = share.ToString(CultureInfo.InvariantCulture) };
        return ClusterForBenchmarks.RunAsync(arguments.Directory("catch-up"), async cluster =>
        {
            using var http = new HttpBroker(cluster.Addresses, new HttpBrokerOptions { RequestTimeout = TimeSpan.FromSeconds(30) });
            await new CatchUpTime(http, settings).MeasureAsync(rounds);
        }, settings: environment);
    }

    private async Task MeasureAsync(int rounds)
    {
        var flush = settings.Sync ? new Dictionary<string, string> { ["flush.messages"] = "1" } : null;
        await broker.CreateTopicAsync(new NewTopic(Live, LivePartitions, 3, flush));
        await broker.CreateTopicAsync(new NewTopic(Bulk.Topic, 1, 1));
        await FillAsync();
        var holder = (await BulkAsync()).Leader;
        var other = (await broker.DescribeClusterAsync()).Brokers.First(known => known.BrokerId != holder).BrokerId;
        await LiveAsync(TimeSpan.FromSeconds(settings.Seconds)); // Warms up.
        for (var round = 1; round <= rounds; round++)
        {
            var alone = await CatchUpAsync(holder, other);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"round {round}: alone "
                + $"{settings.Megabytes / alone.TotalSeconds:0} MB/s"));
            await EmptyAsync(holder);
            Tell("before", await LiveAsync(TimeSpan.FromSeconds(settings.Seconds)));
            using var done = new CancellationTokenSource();
            var live = LiveAsync(Patience, done.Token);
            var time = await CatchUpAsync(holder, other);
            await done.CancelAsync();
            Tell(string.Create(CultureInfo.InvariantCulture, $"catch-up at {settings.Megabytes / time.TotalSeconds:0} MB/s"), await live);
            Tell("after", await LiveAsync(TimeSpan.FromSeconds(settings.Seconds)));
            await EmptyAsync(holder);
        }
    }

    private static void Tell(string what, Latency latency) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"  {what,-22} p50 {latency.P50,7:0.00} ms, p99 {latency.P99,7:0.00} ms, p99.9 {latency.P999,7:0.0} ms"));

    private async Task FillAsync()
    {
        var value = new byte[RecordBytes];
        new Random(1).NextBytes(value);
        await using var producer = _client.CreateProducer<Ignore, byte[]>(new ProducerOptions { Acks = Acks.Leader });
        for (var i = 0L; i < settings.Megabytes * 1_000_000L / RecordBytes; i++)
        {
            var accepted = producer.EnqueueAsync(new ProducerRecord<Ignore, byte[]>(Bulk.Topic, default, value));
            if (!accepted.IsCompletedSuccessfully)
                await accepted;
        }
        await producer.FlushAsync();
        if (producer.Statistics.RecordsFailed > 0)
            throw new InvalidOperationException(
                $"{producer.Statistics.RecordsFailed} records of the partition that is to catch up failed.");
    }

    /// <summary>Adds a second replica to the partition. Returns the time until it is in sync.</summary>
    private async Task<TimeSpan> CatchUpAsync(int holder, int other)
    {
        var began = Stopwatch.GetTimestamp();
        await broker.Administration.ReassignPartitionAsync(Bulk, [holder, other]);
        await UntilAsync(async () => (await BulkAsync()).InSyncReplicas.Count == 2);
        return Stopwatch.GetElapsedTime(began);
    }

    /// <summary>Removes the second replica.</summary>
    private async Task EmptyAsync(int holder)
    {
        await UntilAsync(async () => (await broker.Administration.ListReassignmentsAsync()).Count == 0);
        await broker.Administration.ReassignPartitionAsync(Bulk, [holder]);
        await UntilAsync(async () => (await BulkAsync()).Replicas.Count == 1
            && (await broker.Administration.ListReassignmentsAsync()).Count == 0);
        await Task.Delay(TimeSpan.FromSeconds(2)); // The broker deletes its directory.
    }

    private async Task<PartitionDescription> BulkAsync() => (await broker.DescribeTopicAsync(Bulk.Topic)).Partitions[0];

    private async Task<Latency> LiveAsync(TimeSpan time, CancellationToken done = default)
    {
        var latencies = new LatencyHistogram();
        var value = new byte[100];
        await using var producer = _client.CreateProducer<Ignore, byte[]>(new ProducerOptions { Acks = Acks.All });
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; Stopwatch.GetElapsedTime(start) < time && !done.IsCancellationRequested; i++)
        {
            while (i >= Stopwatch.GetElapsedTime(start).TotalSeconds * settings.Rate)
                await Task.Delay(1, CancellationToken.None);
            var sent = Stopwatch.GetTimestamp();
            await producer.EnqueueAsync(new ProducerRecord<Ignore, byte[]>(Live, default, value) { Partition = i % LivePartitions },
                _ => latencies.RecordSince(sent));
        }
        await producer.FlushAsync();
        return latencies.Summarize();
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(began) > Patience)
                throw new TimeoutException("The replica has not caught up, or has not gone, in time.");
            await Task.Delay(Poll);
        }
    }
}
