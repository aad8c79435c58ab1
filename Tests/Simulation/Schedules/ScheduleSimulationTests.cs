using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Schedules;

public sealed class ScheduleSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 500;

    [Fact]
    public void Same_seed_runs_the_same_steps() => SeedRuns.OfSchedules().AssertRepeatable();

    [Fact]
    public void Schedules_keep_their_invariants()
    {
        var runs = SeedRuns.OfSchedules();
        runs.Run(0, Seeds, CancellationToken.None);
        output.WriteLine($"{runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(total.Failovers >= 2 * Seeds && total.Zombies >= Seeds / 2 && total.Cut >= Seeds / 4 && total.Restored >= Seeds
            && total.Compactions >= Seeds, $"The schedule exercises too few faults: {total}");
        Assert.True(total.Delivered >= 50 * Seeds && total.Duplicates >= Seeds / 4 && total.Cancelled >= 5 * Seeds
            && total.TooLate >= Seeds / 10
            && total.Parts >= Seeds / 4 && total.Refused >= Seeds && total.ClocksSet >= Seeds / 4 && total.Swept > 0
            && total.Firings >= 50 * Seeds && total.Ended >= Seeds / 2, $"The schedule exercises too little: {total}");
    }
}
