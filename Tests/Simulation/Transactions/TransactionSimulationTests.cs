using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Transactions;

public sealed class TransactionSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 3_000;

    [Fact]
    public void Same_seed_runs_the_same_steps() => SeedRuns.OfTransactions().AssertRepeatable();

    [Fact]
    public void Transactions_keep_their_invariants()
    {
        var total = Run(0, Seeds);
        AssertAtLeast(500, total.Steps, "events");
        AssertAtLeast(2, Math.Min(total.Commits, total.Aborts), "commits and aborts");
        AssertAtLeast(1, Math.Min(Math.Min(total.Failovers, total.LeaderChanges), total.Fenced), "failovers and fenced clients");
        AssertAtLeast(0.5, Math.Min(Math.Min(total.Zombies, total.Repeated), Math.Min(total.Offsets, total.Unclear)), "replaced zombies");
        AssertAtLeast(0.1, Math.Min(Math.Min(total.Exhausted, total.ExpiredProducers), total.ExpiredIds), "used up epochs");
        AssertAtLeast(0.02, Math.Min(Math.Min(total.Raised, total.TooLate), total.Truncated), "late batches");

        void AssertAtLeast(double most, long figure, string what) =>
            Assert.True(figure >= most * Seeds, $"A seed averages fewer than {most} {what}, or of what is like them: {total}");
    }

    // An addition that came late, over an older connection, began a transaction after the end of its own. The next end of the producer, or
    // an offset of the transaction before, entered that one.
    [Theory]
    [InlineData(3350943)]
    [InlineData(3395445)]
    public void Late_addition_begins_no_transaction(int seed) => Run(seed, 1);

    private TransactionFigures Run(int first, int count)
    {
        var runs = SeedRuns.OfTransactions();
        runs.Run(first, count, CancellationToken.None);
        output.WriteLine($"figures: transactions from seed {first}: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        Assert.Equal(count, runs.Figures.Seeds);
        return runs.Figures;
    }
}
