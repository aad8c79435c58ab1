using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>Three silos with grains that make, resume, rewind and remove explicit subscriptions to several streams while silos are
/// killed. Each subscription observes every acknowledged event from when it was made, in order, and none after it was removed. The seed
/// decides the faults and calls; <c>OMQ_SEED</c> repeats it.</summary>
public sealed class SubscriptionTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 8,
        [FaultKind.KillTwo] = 1,
        [FaultKind.KillTwice] = 1,
    };

    [SkippableFact]
    public Task Explicit_subscriptions_miss_nothing_while_silos_die() => RunAsync(Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Explicit_subscriptions_miss_nothing_in_a_long_run() => RunAsync(Long);

    private async Task RunAsync(TimeSpan length)
    {
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"explicit subscriptions, seed {seed}, {length.TotalSeconds} s of faults, log and data in {directory.FullName}");
        await using var cluster = await SubscriptionCluster.StartAsync(directory["c"], silos: 3, log);
        Skip.If(cluster is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new SubscriptionRun(cluster, seed);
        await directory.KeptOnFailureAsync(log, seed, () => run.RunAsync(Weights, length, patience.Token));
    }
}
