using System.Diagnostics;
using System.Globalization;
using OrleansMq.Client;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>
/// How long a partition is unavailable for writes when the silo that leads it ends, for a client over HTTP to any of the brokers. After
/// SIGKILL: from the signal to the first answer to an append with acks=all sent after it, and until all partitions have leaders again.
/// After SIGTERM: the longest time between two answers until the silo is back. The silo restarts and catches up before the next one ends.
/// </summary>
internal sealed class LeaderlessTime(LocalCluster cluster, string what, int signal, int ends, int partitions)
{
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>Measures silos that are killed.</summary>
    public static Task<int> KillAsync(CommandArguments arguments) =>
        RunAsync(arguments, "kill", Signals.Kill, arguments.Number("--kills", 20));

    /// <summary>Measures silos that are stopped cleanly.</summary>
    public static Task<int> StopAsync(CommandArguments arguments) =>
        RunAsync(arguments, "stop", Signals.Terminate, arguments.Number("--stops", 20));

    private static Task<int> RunAsync(CommandArguments arguments, string what, int signal, int ends)
    {
        var rate = arguments.Number("--rate", 2000);
        var partitions = arguments.Number("--partitions", 12);
        return ClusterForBenchmarks.RunAsync(arguments.Directory(what), async cluster =>
        {
            var times = new LeaderlessTime(cluster, what, signal, ends, partitions);
            await times.MeasureAsync("idle", 0);
            if (rate > 0)
                await times.MeasureAsync($"loaded with {rate} records a second", rate);
        });
    }

    private async Task MeasureAsync(string label, int rate)
    {
        var options = new LoadOptions { Topic = $"{what}-{rate}", Partitions = partitions, Producers = 2, RecordsPerSecond = rate / 2,
            ProbeInterval = TimeSpan.FromHours(1) };
        using var client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
        await client.Patient.CreateTopicAsync(options.ToNewTopic());
        var view = new ClusterView(client.Broker, options.Topic, options.ReplicationFactor);
        await view.WellAsync(Patience, CancellationToken.None);
        var load = new LoadRun(options, client.Broker, client.Any, new Random(1));
        if (rate > 0)
            load.Start();
        using var stop = new CancellationTokenSource();
        var probe = new AvailabilityProbe(client.Any, new TopicPartition(options.Topic, 0), load.Ledger, load.Histories[0], ProbeInterval);
        var probing = Task.Run(() => probe.RunAsync(stop.Token));
        var seconds = new List<double>();
        var allSeconds = new List<double>();
        for (var end = 1; end <= ends; end++)
        {
            var (time, all) = await EndLeaderAsync(view, probe);
            seconds.Add(time.TotalSeconds);
            allSeconds.Add(all.TotalSeconds);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label}: {what} {end}: {time.TotalSeconds:0.000} s, all "
                + $"{partitions} partitions {all.TotalSeconds:0.000} s"));
        }
        await stop.CancelAsync();
        await probing;
        if (rate > 0)
            await load.StopAsync();
        await client.Patient.DeleteTopicAsync(options.Topic);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{label}: {ends} {what}s: median {Statistics.Median(seconds):0.000} s, worst {seconds.Max():0.000} s without a leader; all "
            + $"{partitions} partitions led after median {Statistics.Median(allSeconds):0.000} s, worst {allSeconds.Max():0.000} s"));
    }

    private async Task<(TimeSpan One, TimeSpan All)> EndLeaderAsync(ClusterView view, AvailabilityProbe probe)
    {
        var led = await view.WellAsync(Patience, CancellationToken.None);
        var leader = cluster[led[probe.Partition].Leader];
        using var survivor = new HttpBroker(cluster.Silos.First(silo => silo.BrokerId != leader.BrokerId).Http);
        var moment = Stopwatch.GetTimestamp();
        Signals.TrySend(leader.ProcessId, signal);
        var all = await AllLedAsync(survivor, leader.BrokerId, moment);
        await cluster.RestartedAsync(leader, CancellationToken.None);
        await view.WellAsync(Patience, CancellationToken.None);
        var one = signal == Signals.Kill ? probe.TimeToNextSuccess(moment) : probe.LongestSilence(moment);
        return (one ?? throw new InvalidOperationException($"Nothing was acknowledged after the end of broker {leader.BrokerId}: "
            + $"{probe.LastFailure}"), all);
    }

    // By the metadata of a surviving broker: no partition is offline, and the ended broker leads none.
    private static async Task<TimeSpan> AllLedAsync(HttpBroker survivor, int ended, long moment)
    {
        while (Stopwatch.GetElapsedTime(moment) < Patience)
        {
            var cluster = await survivor.DescribeClusterAsync();
            if (cluster.OfflinePartitions is null or { Count: 0 }
                && cluster.Brokers.All(broker => broker.BrokerId != ended || broker.Leaders == 0))
                return Stopwatch.GetElapsedTime(moment);
            await Task.Delay(Poll);
        }
        throw new TimeoutException($"Not all partitions that broker {ended} led have another leader.");
    }
}
