using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Queues;

public sealed class QueueSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 4_000;

    [Fact]
    public void Same_seed_runs_the_same_steps() => SeedRuns.OfQueues().AssertRepeatable();

    [Fact]
    public void Queues_keep_their_invariants()
    {
        var runs = SeedRuns.OfQueues();
        runs.Run(0, Seeds, CancellationToken.None);
        output.WriteLine($"figures: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(total.Failovers >= 2 * Seeds && total.Zombies >= Seeds / 2 && total.Cut >= Seeds / 4,
            $"The schedule exercises too few failovers: {total}");
        Assert.True(total.Settled >= 20 * Seeds && total.Redeliveries >= Seeds && total.Refused >= Seeds && total.DeadLetters >= Seeds
            && total.Resets >= Seeds / 20 && total.Joined >= Seeds && total.Counts >= Seeds
            && total.Overflows >= Seeds, $"The schedule exercises too little: {total}");
    }
}
