using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>New seeds with each run, many more with <c>./omq test --long</c>. The first one is printed; <c>OMQ_SEED</c> repeats them from
/// there.</summary>
public sealed class NewSeedTests(ITestOutputHelper output)
{
    // About two minutes each on two idle cores.
    private const int ReplicationSeeds = 30_000;
    private const int GroupSeeds = 12_000;
    private const int QueueSeeds = 60_000;
    private const int TransactionSeeds = 20_000;
    private const int ScheduleSeeds = 3_000;
    // The part of them that runs each time.
    private const int Part = 12;
    // Above the seeds that are the same in every run.
    private const int Lowest = 1_000_000;

    private static readonly bool IsLong = Environment.GetEnvironmentVariable("OMQ_LONG") == "1";

    [Fact]
    public void Replication_keeps_its_invariants_with_new_seeds() => Run("replication", SeedRuns.OfReplication(), ReplicationSeeds);

    [Fact]
    public void Groups_keep_their_invariants_with_new_seeds() => Run("groups", SeedRuns.OfGroups(), GroupSeeds);

    [Fact]
    public void Queues_keep_their_invariants_with_new_seeds() => Run("queues", SeedRuns.OfQueues(), QueueSeeds);

    [Fact]
    public void Transactions_keep_their_invariants_with_new_seeds() =>
        Run("transactions", SeedRuns.OfTransactions(), TransactionSeeds);

    [Fact]
    public void Schedules_keep_their_invariants_with_new_seeds() => Run("schedules", SeedRuns.OfSchedules(), ScheduleSeeds);

    private void Run<TFigures>(string name, SeedRuns<TFigures> runs, int most) where TFigures : IFigures<TFigures>, new()
    {
        var count = IsLong ? most : most / Part;
        var first = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var given) ? given
            : Random.Shared.Next(Lowest, int.MaxValue - count);
        runs.Run(first, count, CancellationToken.None);
        output.WriteLine($"figures: {name} from seed {first}: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        Assert.Equal(count, runs.Figures.Seeds);
    }
}
