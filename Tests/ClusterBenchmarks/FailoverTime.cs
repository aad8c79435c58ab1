using OrleansMq.Tests.Benchmarks;
using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>
/// How long a partition cannot be written after the silo that leads it was killed (SIGKILL): from the signal to the first answer to an append
/// with acks=all that was sent after it, over HTTP to any of the brokers. The silo is started again, and has caught up before the next one.
/// </summary>
internal static class FailoverTime
{
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var kills = arguments.Number("--kills", 20);
        var rate = arguments.Number("--rate", 2000);
        return ClusterForBenchmarks.RunAsync(arguments.Directory("failover"), async cluster =>
        {
            await MeasureAsync(cluster, "idle", kills, 0);
            await MeasureAsync(cluster, $"loaded with {rate} records a second", kills, rate);
        });
    }

    private static async Task MeasureAsync(LocalCluster cluster, string label, int kills, int rate)
    {
        var options = new LoadOptions { Topic = $"failover-{rate}", Partitions = 12, Producers = 2, RecordsPerSecond = rate / 2, ProbeInterval = TimeSpan.FromHours(1) };
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
        for (var kill = 1; kill <= kills; kill++)
        {
            var time = await KillLeaderAsync(cluster, view, probe);
            seconds.Add(time.TotalSeconds);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label}: kill {kill}: {time.TotalSeconds:0.000} s"));
        }
        await stop.CancelAsync();
        await probing;
        if (rate > 0)
            await load.StopAsync();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{label}: {kills} kills: median {Statistics.Median(seconds):0.000} s, worst {seconds.Max():0.000} s without a leader"));
    }

    private static async Task<TimeSpan> KillLeaderAsync(LocalCluster cluster, ClusterView view, AvailabilityProbe probe)
    {
        var partitions = await view.WellAsync(Patience, CancellationToken.None);
        var leader = cluster[partitions[probe.Partition].Leader];
        var moment = Stopwatch.GetTimestamp();
        cluster.Kill(leader);
        await cluster.RestartedAsync(leader, CancellationToken.None);
        await view.WellAsync(Patience, CancellationToken.None);
        return probe.TimeToNextSuccess(moment) ?? throw new InvalidOperationException($"Nothing was acknowledged after the kill of broker {leader.BrokerId}: {probe.LastFailure}");
    }
}
