using System.Diagnostics;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>
/// What many topics cost: how long their creation takes and whether the last are as fast as the first, memory and CPU of the idle cluster
/// that holds them, how long all brokers take to serve again after a stop or a kill of all, and how long their deletion takes.
/// </summary>
internal sealed class ManyTopics(LocalCluster cluster, int topics, int partitions, int atATime)
{
    private const int Group = 100;
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    public static Task<int> RunAsync(CommandArguments arguments) =>
        ClusterForBenchmarks.RunAsync(arguments.Directory("many-topics"), async cluster =>
        {
            var run = new ManyTopics(cluster, arguments.Number("--topics", 1000), arguments.Number("--partitions", 10),
                arguments.Number("--at-a-time", 8));
            var idle = TimeSpan.FromSeconds(arguments.Number("--idle", 10));
            await run.IdleAsync("without topics", idle);
            await run.CreateAsync();
            await run.IdleAsync("with topics", idle);
            await run.RestartAsync("stop", Signals.Terminate);
            await run.RestartAsync("kill", Signals.Kill);
            if (arguments.Number("--delete", 1) > 0)
                await run.DeleteAsync();
        });

    private static string NameOf(int topic) => string.Create(CultureInfo.InvariantCulture, $"topic-{topic:00000}");

    private async Task CreateAsync()
    {
        using var broker = new HttpBroker(cluster.Silos[0].Http);
        var began = Stopwatch.GetTimestamp();
        var cpu = new CpuTimes(cluster);
        for (var first = 0; first < topics; first += Group)
        {
            var group = Stopwatch.GetTimestamp();
            await Parallel.ForEachAsync(Enumerable.Range(first, Math.Min(Group, topics - first)), AtATime,
                async (topic, cancellation) => await broker.CreateTopicAsync(new NewTopic(NameOf(topic), partitions), cancellation));
            Say($"topics {first} to {Math.Min(first + Group, topics) - 1}: {Seconds(group)} s");
        }
        Say($"created {topics} topics of {partitions} partitions, {atATime} at a time: {Seconds(began)} s, {cpu.Since()}");
    }

    private async Task DeleteAsync()
    {
        using var broker = new HttpBroker(cluster.Silos[0].Http);
        var began = Stopwatch.GetTimestamp();
        var cpu = new CpuTimes(cluster);
        await Parallel.ForEachAsync(Enumerable.Range(0, topics), AtATime,
            async (topic, cancellation) => await broker.DeleteTopicAsync(NameOf(topic), cancellation));
        Say($"deleted {topics} topics: {Seconds(began)} s, {cpu.Since()}");
    }

    private async Task IdleAsync(string what, TimeSpan time)
    {
        await Task.Delay(time / 2);
        var before = cluster.Silos.Select(silo => CpuOf(silo.ProcessId)).ToArray();
        await Task.Delay(time);
        var figures = cluster.Silos.Select((silo, i) => string.Create(CultureInfo.InvariantCulture,
            $"{(CpuOf(silo.ProcessId) - before[i]) / time * 100:0.0} % of a core, {MegabytesOf(silo.ProcessId)} MB"));
        Say($"idle {what}: {string.Join("; ", figures)}");
    }

    // Until every broker says that all partitions have leaders, and all are in sync.
    private async Task RestartAsync(string how, int signal)
    {
        var silos = cluster.Silos;
        var began = Stopwatch.GetTimestamp();
        var cpu = new CpuTimes(cluster);
        foreach (var silo in silos)
            Signals.TrySend(silo.ProcessId, signal);
        using var patience = new CancellationTokenSource(Patience);
        await Task.WhenAll(silos.Select(silo => cluster.RestartedAsync(silo, patience.Token)));
        Say($"{how} of all brokers: they serve after {Seconds(began)} s, {cpu.Since()}");
        await LedAsync(description => description.OfflinePartitions is null or { Count: 0 }, patience.Token);
        Say($"{how} of all brokers: all partitions have leaders after {Seconds(began)} s");
        await LedAsync(description => description.OfflinePartitions is null or { Count: 0 }
            && description.UnderReplicatedPartitions is null or { Count: 0 }, patience.Token);
        Say($"{how} of all brokers: all replicas are in sync after {Seconds(began)} s, {cpu.Since()}");
    }

    private async Task LedAsync(Func<ClusterDescription, bool> isWell, CancellationToken patience)
    {
        foreach (var silo in cluster.Silos)
        {
            using var broker = new HttpBroker(silo.Http);
            while (await broker.DescribeClusterAsync(patience) is { } description && !(isWell(description)
                && description.Brokers.Sum(other => other.Leaders) >= topics * partitions))
                await Task.Delay(Poll, patience);
        }
    }

    private ParallelOptions AtATime => new() { MaxDegreeOfParallelism = atATime };

    private static TimeSpan CpuOf(int process)
    {
        using var found = Process.GetProcessById(process);
        return found.TotalProcessorTime;
    }

    private static long MegabytesOf(int process)
    {
        using var found = Process.GetProcessById(process);
        return found.WorkingSet64 >> 20;
    }

    private static string Seconds(long began) =>
        Stopwatch.GetElapsedTime(began).TotalSeconds.ToString("0.00", CultureInfo.InvariantCulture);

    private static void Say(string line) => Console.WriteLine(line);
}
