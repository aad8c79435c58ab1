using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Silo = OrleansMq.Tests.Chaos.Running.Silo;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>How long clients get no answer after a SIGKILL to their coordinator's silo, over HTTP to any of the brokers: from the signal to
/// the first answered heartbeat of a group's member, or to the answered commit of a whole transaction.</summary>
internal static class CoordinatorFailoverTime
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var (kills, isTransactions) = (arguments.Number("--kills", 10), arguments.Has("--transactions"));
        return ClusterForBenchmarks.RunAsync(arguments.Directory("coordinators"), async cluster =>
        {
            using var client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
            ICoordinatorProbe probe = isTransactions ? await TransactionProbe.StartAsync(client) : await GroupProbe.StartAsync(client);
            var seconds = new List<double>();
            for (var kill = 1; kill <= kills; kill++)
            {
                var silo = cluster[await probe.PrepareAsync(kill)];
                var time = await KillAsync(cluster, silo, probe);
                await probe.CheckAsync(kill);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"kill {kill}: {time.TotalSeconds:0.000} s"));
                seconds.Add(time.TotalSeconds);
                await cluster.RestartedAsync(silo, CancellationToken.None);
            }
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{kills} kills: median {Statistics.Median(seconds):0.000} s, worst {seconds.Max():0.000} s "
                + $"until {probe.Answer} is answered"));
        });
    }

    private static async Task<TimeSpan> KillAsync(LocalCluster cluster, Silo silo, ICoordinatorProbe probe)
    {
        var moment = Stopwatch.GetTimestamp();
        cluster.Kill(silo);
        while (true)
        {
            var (error, message) = await probe.TryAsync();
            var time = Stopwatch.GetElapsedTime(moment);
            if (error == ErrorCode.None)
                return time;
            if (!probe.IsPassing(error) || time > Patience)
                throw new InvalidOperationException($"After {time.TotalSeconds:0.0} s {probe.Answer} was answered by {error}: {message}");
            await Task.Delay(Pause);
        }
    }
}
