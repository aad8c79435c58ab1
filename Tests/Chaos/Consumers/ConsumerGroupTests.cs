using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>Four consumer processes read twelve partitions over HTTP from three silo processes, while consumers and silos are killed under
/// load. The consumers use the inbox in a database of their own, where effects are counted. The seed decides the faults; <c>OMQ_SEED</c>
/// repeats it.</summary>
public sealed class ConsumerGroupTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);
    private static readonly TimeSpan LongClassic = TimeSpan.FromMinutes(2);

    private static readonly Dictionary<GroupFault, int> Weights = new()
    {
        [GroupFault.KillConsumer] = 4,
        [GroupFault.KillCoordinator] = 3,
        [GroupFault.KillBoth] = 2,
        [GroupFault.StopCoordinator] = 1,
    };

    private static readonly Dictionary<GroupFault, int> AllWeights = new(Weights)
    {
        [GroupFault.KillLeader] = 2,
        [GroupFault.CrashDatabase] = 1,
    };

    [SkippableFact]
    public Task Records_take_effect_once_while_consumers_and_coordinators_are_killed() => RunAsync(Weights, Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Records_take_effect_once_in_a_long_run() => RunAsync(AllWeights, Long);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Records_take_effect_once_under_the_classic_protocol() => RunAsync(Weights, LongClassic, GroupType.Classic);

    private async Task RunAsync(IReadOnlyDictionary<GroupFault, int> weights, TimeSpan length, GroupType protocol = GroupType.Consumer)
    {
        using var directory = new TemporaryDirectory();
        var (seed, load) = (Seeds.Next(), new ConsumerGroupLoad { Protocol = protocol });
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        await using var cluster = await LocalCluster.StartAsync(directory["c"], silos: 3, log, load.Environment);
        Skip.If(cluster is null, "needs PostgreSQL's server programs");
        await using var processing = await InboxProcessing.CreateAsync(cluster, load.Group);
        using var run = new ConsumerGroupRun(cluster, load, processing, seed);
        await directory.KeptOnFailureAsync(log, seed, () => run.RunAsync(weights, length));
    }
}
