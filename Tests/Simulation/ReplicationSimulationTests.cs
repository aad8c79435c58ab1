using OrleansMq.Replication;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation;

public sealed class ReplicationSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 5_000;
    private const int SlowSeeds = 100;
    private const int FocusSeeds = 1_000;

    [Fact]
    public void Same_seed_runs_the_same_steps() => SeedRuns.OfReplication().AssertRepeatable();

    /// <summary>One batch a push, one push a round trip, and long rests.</summary>
    [Fact]
    public void Slowest_catch_up_ends_in_the_promised_time()
    {
        for (var seed = 0; seed < SlowSeeds; seed++)
        {
            new Cluster(seed, ReplicationRules.Shipped, random => new Scenario(random)
            {
                MinInsync = 1,
                DropPercent = 7,
                MaxDelayMs = 14,
                ProduceEveryMs = 25,
                BatchesPerPush = 1,
                UnansweredPushes = 1,
                CatchUpShare = 5,
            }).Run();
        }
    }

    [Theory]
    [InlineData(ReplicationFocus.AwayWhileErasing)]
    [InlineData(ReplicationFocus.JoinWhileDeleting)]
    [InlineData(ReplicationFocus.MessageIds)]
    [InlineData(ReplicationFocus.LateMessages)]
    internal void Rare_faults_lose_no_record_and_bring_none_back(ReplicationFocus focus)
    {
        var runs = SeedRuns.OfReplication(focus: focus);
        runs.Run(0, FocusSeeds, CancellationToken.None);
        output.WriteLine($"{runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(focus != ReplicationFocus.MessageIds || (Math.Min(total.Repeated, total.Restated) >= FocusSeeds
            && total.Deletions >= FocusSeeds / 10), $"The schedule exercises too little: {total}");
    }

    [Fact]
    public void Acknowledged_records_are_never_lost()
    {
        var runs = SeedRuns.OfReplication();
        runs.Run(0, Seeds, CancellationToken.None);
        output.WriteLine($"{runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(total.Steps >= 2_000L * Seeds, $"A seed averages fewer than 2,000 steps: {total}");
        Assert.True(total.Crashes >= Seeds, $"A seed averages fewer than one crash: {total}");
        Assert.True(total.Elections >= Seeds, $"A seed averages fewer than one election: {total}");
        Assert.True(total.Stuck <= Seeds / 100, $"Too many runs end without an eligible leader: {total}");
        long[] often = [total.Unclean, total.Handovers, total.Reassignments, total.Compactions, total.Erasures, total.Deletions,
            total.ConfigChanges, total.Unflushed];
        Assert.True(often.Min() >= Seeds / 100
            && Math.Min(total.Resets, total.ErasedResets) >= Seeds / 1_000, $"The schedule exercises too little: {total}");
    }
}
