using OrleansMq.Groups.Coordination;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Simulation.Groups;

public sealed class GroupSimulationTests(ITestOutputHelper output)
{
    private const int Seeds = 1_500;
    private const int TransactionSeeds = 500;

    [Fact]
    public void Same_seed_runs_the_same_steps() => SeedRuns.OfGroups().AssertRepeatable();

    [Fact]
    public void Answer_written_before_its_topic_was_created_again_tells_what_is_stored() =>
        new GroupSimulation(3_399, GroupRules.Shipped, GroupFocus.RecreatedTopics).Run();

    [Fact]
    public void Commit_without_an_answer_may_take_effect_after_a_later_fetch() =>
        new GroupSimulation(1_000_007_496, GroupRules.Shipped).Run();

    [Fact]
    public void Fetch_may_tell_a_commit_whose_topic_was_deleted_before_it_was_stored() =>
        new GroupSimulation(1_000_014_747, GroupRules.Shipped).Run();

    [Fact]
    public void Commit_is_acknowledged_that_the_deletion_of_its_group_overtook() =>
        new GroupSimulation(1_000_019_565, GroupRules.Shipped).Run();

    [Fact]
    public void Groups_keep_their_invariants_with_transactions()
    {
        var runs = SeedRuns.OfGroups(focus: GroupFocus.Transactions);
        runs.Run(0, TransactionSeeds, CancellationToken.None);
        output.WriteLine($"figures: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(total.Transactions >= 20L * TransactionSeeds && Math.Min(total.LateCommits, total.Unstable) >= TransactionSeeds,
            $"The schedule exercises too little: {total}");
    }

    [Fact]
    public void Groups_keep_their_invariants()
    {
        var runs = SeedRuns.OfGroups();
        runs.Run(0, Seeds, CancellationToken.None);
        output.WriteLine($"figures: {runs.Progress}, {runs.Elapsed.TotalSeconds:F1} s");
        Assert.True(runs.Failures.Count == 0, string.Join('\n', runs.Failures.Take(5)));
        var total = runs.Figures;
        Assert.True(total.Steps >= 500L * Seeds, $"A seed averages fewer than 500 events: {total}");
        Assert.True(total.Failovers >= Seeds, $"A seed averages fewer than one failover: {total}");
        Assert.True(Math.Min(Math.Min(total.Zombies, total.Rebalances), Math.Min(total.Fenced, total.Expired)) >= Seeds / 4
            && total.Unclear >= Seeds / 10
            && total.Resets >= Seeds / 100, $"The schedule exercises too little: {total}");
    }
}
