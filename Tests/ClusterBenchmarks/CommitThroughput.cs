using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Cli.Benchmark;
using OrleansMq.Tests.Benchmarks;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Offset commits a second over an Orleans client, each of all partitions of a topic and each stored in PostgreSQL when it is
/// answered: one group with one committer, one group with many (whose commits share writes), and many groups. Three brokers, the database
/// and the client share one machine.</summary>
internal static class CommitThroughput
{
    private const string Topic = "commits";

    private readonly record struct Settings(int Workers, int Partitions, TimeSpan Time);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var groups = arguments.Number("--groups", 1000);
        var settings = new Settings(arguments.Number("--workers", 64), arguments.Number("--partitions", 12),
            TimeSpan.FromSeconds(arguments.Number("--seconds", 10)));
        return ClusterForBenchmarks.RunAsync(arguments.Directory("commits"), async cluster =>
        {
            using var orleans = ClusterForBenchmarks.Connect(cluster);
            await orleans.StartAsync();
            try
            {
                await MeasureAsync(orleans.Services.GetRequiredService<IBroker>(), groups, settings);
            }
            finally
            {
                await orleans.StopAsync();
            }
        });
    }

    private static async Task MeasureAsync(IBroker broker, int groups, Settings settings)
    {
        await broker.CreateTopicAsync(new NewTopic(Topic, settings.Partitions));
        Console.WriteLine($"commits of {settings.Partitions} partitions, {settings.Time.TotalSeconds} s each\ngroups | committers | "
            + "commits/s | p50 ms | p99 ms | max ms");
        await MeasureAsync(broker.Groups, 1, 1, settings);
        await MeasureAsync(broker.Groups, 1, settings.Workers, settings);
        await MeasureAsync(broker.Groups, groups, settings.Workers, settings);
    }

    private static async Task MeasureAsync(IGroupCoordinator coordinator, int groups, int workers, Settings settings)
    {
        var ids = Enumerable.Range(0, groups).Select(i => $"{groups}-{workers}-{i}").ToArray();
        // The first commit of a group also pays for its activation and its entry in the group index.
        await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = 16 },
            async (id, _) => await CommitAsync(coordinator, id, 0, settings));
        var latencies = new LatencyHistogram();
        var committed = 0L;
        var began = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, workers).Select(worker => Task.Run(async () =>
        {
            // Each worker has its own groups if there are enough, so that none waits for another.
            for (var i = worker; Stopwatch.GetElapsedTime(began) < settings.Time; i += workers)
            {
                var sent = Stopwatch.GetTimestamp();
                await CommitAsync(coordinator, ids[i % ids.Length], i, settings);
                lock (latencies)
                    latencies.RecordSince(sent);
                Interlocked.Increment(ref committed);
            }
        })));
        var (perSecond, latency) = (committed / Stopwatch.GetElapsedTime(began).TotalSeconds, latencies.Summarize());
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{groups,6} | {workers,10} | {perSecond,9:N0} | {latency.P50,6:0.00} | {latency.P99,6:0.00} | {latency.Max,6:0.0}"));
    }

    private static async Task CommitAsync(IGroupCoordinator coordinator, string group, long offset, Settings settings)
    {
        var result = await coordinator.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = group,
            Offsets = [.. Enumerable.Range(0, settings.Partitions)
                .Select(partition => new PartitionOffset(Topic, partition, new CommittedOffset(offset)))],
        });
        if (result.Partitions.FirstOrDefault(partition => partition.Error != ErrorCode.None) is { } failed)
            throw new InvalidOperationException($"Group '{group}' could not commit for partition {failed.Partition}: {failed.Error}: "
                + $"{result.Message}");
    }
}
