using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Queues;

/// <summary>Six consumer processes read two queues from three silo processes, over HTTP or as Orleans clients: one queue with dead letters,
/// one ordered by key. Some records are deferred, others are scheduled for a plain topic, once or again and again, and others are published
/// repeatedly under their message ids. Silos and consumers are killed, paused and restarted under load. The long run has a share group,
/// too, where Apache Kafka's jars are there. The seed decides the faults; <c>OMQ_SEED</c> repeats it.</summary>
public sealed class QueueTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(35);
    private static readonly TimeSpan Shared = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 6,
        [FaultKind.PauseLeader] = 4,
        [FaultKind.StopLeader] = 1,
        [FaultKind.KillTwo] = 1,
        [FaultKind.KillAll] = 1,
        [FaultKind.KillTwice] = 1,
    };

    private static readonly Dictionary<FaultKind, int> AllWeights = new(Weights)
    {
        [FaultKind.CrashDatabase] = 1,
        [FaultKind.KillWithoutDatabase] = 1,
    };

    [SkippableFact]
    public Task Settled_records_never_come_again_and_none_is_missing_while_silos_and_consumers_die() =>
        RunAsync(Weights, Short, new QueueLoad { HasSchedulesAndPublishes = true });

    [SkippableFact]
    public Task Share_group_of_Kafka_clients_keeps_the_same_promises_beside_queues()
    {
        ClientProgram.RequireKafka();
        return RunAsync(Weights, Shared, new QueueLoad { ShareConsumers = 2, ConsumersPerQueue = 1, RecordsPerSecond = 100 });
    }

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Settled_records_never_come_again_and_none_is_missing_in_a_long_run() => RunAsync(AllWeights, Long, new QueueLoad
    {
        HasSchedulesAndPublishes = true,
        ShareConsumers = ClientProgram.HasKafka ? 2 : 0,
        ConsumersPerQueue = 2,
        RecordsPerSecond = 100,
    });

    private async Task RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, QueueLoad load)
    {
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"queues, {length.TotalSeconds} s of faults, log and data in {directory.FullName}");
        await using var cluster = await LocalCluster.StartAsync(directory["c"], silos: 3, log);
        Skip.If(cluster is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new QueueRun(cluster, load, seed);
        await directory.KeptOnFailureAsync(log, seed, async () =>
        {
            await run.RunAsync(weights, length, patience.Token);
            Assert.True(run.Violations.IsEmpty, $"{run.Violations}");
        });
    }
}
