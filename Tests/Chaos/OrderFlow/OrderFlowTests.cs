using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>Three silos that run the sample's order flow, with its grains' state in PostgreSQL, while silos are killed, paused and
/// restarted, and the database goes away. Money is neither lost nor made, each order ends in one way, and each event is counted once. The
/// seed decides the faults; <c>OMQ_SEED</c> repeats it.</summary>
public sealed class OrderFlowTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 6,
        [FaultKind.PauseLeader] = 3,
        [FaultKind.StopLeader] = 1,
        [FaultKind.KillTwo] = 1,
        [FaultKind.KillAll] = 1,
        [FaultKind.KillTwice] = 1,
        [FaultKind.StopDatabase] = 2,
        [FaultKind.CrashDatabase] = 2,
        [FaultKind.KillWithoutDatabase] = 1,
    };

    [SkippableFact]
    public Task Orders_balance_while_silos_and_the_database_die() => RunAsync(Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Orders_balance_in_a_long_run() => RunAsync(Long);

    private async Task RunAsync(TimeSpan length)
    {
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"order flow, seed {seed}, {length.TotalSeconds} s of faults, log and data in {directory.FullName}");
        await using var cluster = await OrderFlowCluster.StartAsync(directory["c"], silos: 3, log);
        Skip.If(cluster is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new OrderFlowRun(cluster, seed);
        await directory.KeptOnFailureAsync(log, seed, () => run.RunAsync(Weights, length, patience.Token));
    }
}
