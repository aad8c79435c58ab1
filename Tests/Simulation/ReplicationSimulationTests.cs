using System.Collections.Concurrent;
using System.Diagnostics;
using OrleansMq.Replication;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

public sealed class ReplicationSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 20_000;

    [Fact]
    public void The_same_seed_runs_the_same_steps()
    {
        Assert.Equal(Transcript(7), Transcript(7));
        Assert.NotEqual(Transcript(7), Transcript(8));

        static List<string> Transcript(int seed)
        {
            var lines = new List<string>();
            new Cluster(seed, ReplicationRules.Shipped) { Trace = lines.Add }.Run();
            return lines;
        }
    }

    [Fact]
    public void Nothing_acknowledged_is_lost()
    {
        // More seeds for a long night: OMQ_SEEDS. One of them again: OMQ_SEED.
        var count = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEEDS"), out var more) ? more : Seeds;
        int[] seeds = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var one) ? [one] : [.. Enumerable.Range(0, count)];
        var watch = Stopwatch.StartNew();
        var total = new Figures();
        var failures = new ConcurrentQueue<string>();
        Parallel.ForEach(seeds, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, seed =>
        {
            var cluster = new Cluster(seed, ReplicationRules.Shipped) { Trace = seeds.Length == 1 ? output.WriteLine : null };
            try
            {
                cluster.Run();
                lock (total)
                    total.Add(cluster.Figures);
                if (cluster.Figures.Stuck > 0)
                    output.WriteLine($"not well: {seed}");
            }
            catch (Exception exception)
            {
                failures.Enqueue($"{exception.Message}\n  {cluster.Scenario}\n  Replay: OMQ_SEED={seed} dotnet test Tests/Simulation -p:Orleans=false "
                    + $"--filter {nameof(Nothing_acknowledged_is_lost)}\n{(seeds.Length == 1 ? exception : "")}");
            }
        });
        output.WriteLine($"{total}, {failures.Count} failed, {watch.Elapsed.TotalSeconds:F1} s");
        Assert.True(failures.IsEmpty, $"{failures.Count} of {seeds.Length} seeds failed.\n{string.Join('\n', failures.Take(5))}");
        if (seeds.Length == 1)
            return;
        Assert.True(total.Steps >= 2_000L * seeds.Length, $"A seed averages fewer than 2,000 steps: {total}");
        Assert.True(total.Crashes >= seeds.Length, $"A seed averages fewer than one crash: {total}");
        Assert.True(total.Elections >= seeds.Length, $"A seed averages fewer than one election: {total}");
    }
}
