using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

/// <summary>New seeds with each <c>./omq test --long</c>. The first one is printed; <c>OMQ_SEED</c> repeats them from there.</summary>
public sealed class NewSeedTests(ITestOutputHelper output)
{
    // About two minutes each on two idle cores.
    private const int ReplicationSeeds = 30_000;
    private const int GroupSeeds = 12_000;
    private const int QueueSeeds = 60_000;
    private const int TransactionSeeds = 20_000;
    // Above the seeds of every run.
    private const int Lowest = 1_000_000;

    [Fact]
    [Trait("Category", "Long")]
    public void Replication_keeps_its_invariants_with_new_seeds() => Run("replication", SeedRuns.OfReplication(), ReplicationSeeds);

    [Fact]
    [Trait("Category", "Long")]
    public void Groups_keep_their_invariants_with_new_seeds() => Run("groups", SeedRuns.OfGroups(), GroupSeeds);

    [Fact]
    [Trait("Category", "Long")]
    public void Queues_keep_their_invariants_with_new_seeds() => Run("queues", SeedRuns.OfQueues(), QueueSeeds);

    [Fact]
    [Trait("Category", "Long")]
    public void Transactions_keep_their_invariants_with_new_seeds() =>
        Run("transactions", SeedRuns.OfTransactions(), TransactionSeeds);

    private void Run<TFigures>(string name, SeedRuns<TFigures> runs, int count) where TFigures : IFigures<TFigures>, new()
    {
        var first = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), out var given) ? given
            : Random.Shared.Next(Lowest, int.MaxValue - count);
        runs.Run(first, count, CancellationToken.None);
        output.WriteLine($"figures: {name} from seed {first}: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        Assert.Equal(count, runs.Figures.Seeds);
    }
}
