using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Thousands of crash and recovery rounds.</summary>
public class CrashRecoveryTests(ITestOutputHelper output)
{
    private const int Rounds = 2_100;
    private const int RequiredRounds = 2_000;

    [Fact]
    public async Task Every_crash_and_recovery_round_keeps_its_promises()
    {
        // OMQ_ROUNDS sets more rounds for a long run.
        var rounds = int.TryParse(Environment.GetEnvironmentVariable("OMQ_ROUNDS"), out var more) ? more : Rounds;
        int[] seeds = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var one) ? [one] : [.. Enumerable.Range(0, rounds)];
        var watch = Stopwatch.StartNew();
        var done = new ConcurrentBag<RoundStatistics>();
        var failures = new ConcurrentBag<(int Seed, string Message)>();
        await Parallel.ForEachAsync(seeds, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, async (seed, _) =>
        {
            var round = new CrashRound(seed);
            try
            {
                await round.RunAsync();
                done.Add(round.Statistics);
            }
            catch (Exception exception)
            {
                failures.Add((seed, $"{round.Scenario}\nfaults: {string.Join("; ", round.Statistics.Faults)}\n{exception}"));
            }
        });
        var report = Describe([.. done]);
        output.WriteLine($"{report}{watch.Elapsed.TotalSeconds:F1} s");
        var shown = failures.OrderBy(f => f.Seed).Take(5)
            .Select(f => $"Replay: OMQ_SEED={f.Seed} dotnet test Tests/Engine -p:Orleans=false --filter "
            + $"{nameof(Every_crash_and_recovery_round_keeps_its_promises)}\n{f.Message}\n");
        foreach (var failure in failures.OrderBy(f => f.Seed))
            output.WriteLine($"{failure.Seed}: {string.Join(" | ", failure.Message.Split('\n')[1..3])}");
        Assert.True(failures.IsEmpty, $"{failures.Count} rounds failed, see below.\n\n{string.Join('\n', shown)}\n{report}");
        if (seeds.Length == 1)
            return;
        var counted = done.Count(r => r.Counts);
        Assert.True(counted >= RequiredRounds, $"Only {counted} of {Rounds} rounds had 50 appends, a roll and a fault that took effect; "
            + $"{RequiredRounds} are required.\n{report}");
        Assert.All(Enum.GetValues<FaultKind>().Where(k => k != FaultKind.None),
            kind => Assert.True(done.Count(r => r.Faults.Any(f => f.Kind == kind)) >= 100, $"{kind} is rare.\n{report}"));
    }

    private static string Describe(IReadOnlyList<RoundStatistics> rounds)
    {
        var text = new StringBuilder($"{rounds.Count} rounds, {rounds.Count(r => r.Counts)} of them counted; {rounds.Sum(r => r.Appends)} "
            + $"appends, {rounds.Sum(r => r.Rolls)} rolls, "
            + $"{rounds.Sum(r => r.Compactions)} compactions, {rounds.Sum(r => r.Retries)} retries; {rounds.Count(r => r.LostUnflushed)} "
            + "lost what was not flushed, "
            + $"{rounds.Count(r => r.EndedOffline)} ended offline for a flipped bit\n");
        foreach (var kind in rounds.SelectMany(r => r.Faults).GroupBy(f => f.Kind).OrderBy(g => g.Key))
            text.Append($"  {kind.Key}: {kind.Count()}\n");
        return text.ToString();
    }
}
