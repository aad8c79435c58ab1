using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Silo = OrleansMq.Tests.Chaos.Running.Silo;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>How long clients get no answer after a SIGKILL to their coordinator's silo, over HTTP to any of the brokers: from the signal to
/// the first answered heartbeat of a group's member, or to the answers of each step of a whole transaction. The silo has restarted, and has
/// had some seconds, when the next one is killed: with <c>--settle 0</c> none.</summary>
internal static class CoordinatorFailoverTime
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    public static Task<int> RunAsync(CommandArguments arguments)
    {
        var (kills, isTransactions) = (arguments.Number("--kills", 10), arguments.Has("--transactions"));
        var settle = TimeSpan.FromSeconds(arguments.Number("--settle", 3));
        return ClusterForBenchmarks.RunAsync(arguments.Directory("coordinators"), async cluster =>
        {
            using var client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
            ICoordinatorProbe probe = isTransactions ? await TransactionProbe.StartAsync(client) : await GroupProbe.StartAsync(client);
            var seconds = probe.Steps.Select(_ => new List<double>()).ToArray();
            for (var kill = 1; kill <= kills; kill++)
            {
                var silo = cluster[await probe.PrepareAsync(kill)];
                var times = await KillAsync(cluster, silo, probe);
                await probe.CheckAsync(kill);
                Console.WriteLine($"kill {kill}, broker {silo.BrokerId}: {Text(probe, step => times[step].TotalSeconds)}");
                for (var step = 0; step < times.Count; step++)
                    seconds[step].Add(times[step].TotalSeconds);
                await cluster.RestartedAsync(silo, CancellationToken.None);
                await Task.Delay(settle);
            }
            Console.WriteLine($"{kills} kills, until the answer: median {Text(probe, step => Statistics.Median(seconds[step]))}");
            Console.WriteLine($"{kills} kills, until the answer: worst {Text(probe, step => seconds[step].Max())}");
        });
    }

    private static string Text(ICoordinatorProbe probe, Func<int, double> seconds) => string.Join(", ", probe.Steps.Select((name, step) =>
        string.Create(CultureInfo.InvariantCulture, $"{name} {seconds(step):0.000} s")));

    // Until each step was answered.
    private static async Task<IReadOnlyList<TimeSpan>> KillAsync(LocalCluster cluster, Silo silo, ICoordinatorProbe probe)
    {
        var times = new List<TimeSpan>();
        var moment = Stopwatch.GetTimestamp();
        cluster.Kill(silo);
        while (times.Count < probe.Steps.Count)
        {
            var (error, message) = await probe.TryAsync(times.Count);
            var time = Stopwatch.GetElapsedTime(moment);
            if (error == ErrorCode.None)
            {
                times.Add(time);
                continue;
            }
            if (!probe.IsPassing(error) || time > Patience)
                throw new InvalidOperationException(
                    $"After {time.TotalSeconds:0.0} s the {probe.Steps[times.Count]} was answered by {error}: {message}");
            await Task.Delay(Pause);
        }
        return times;
    }
}
