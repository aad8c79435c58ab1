using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Network;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>RabbitMQ's .NET client over three silo processes: publishers with confirms, consumers with acknowledgements and transactions;
/// one queue with several consumers, one with a single active one, both with dead letters. Silos are killed, paused and cut off from each
/// other, and connections break. The seed decides the faults; <c>OMQ_SEED</c> repeats it.</summary>
public sealed class AmqpChaosTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private static readonly Dictionary<FaultKind, int> Weights = new()
    {
        [FaultKind.KillLeader] = 6,
        [FaultKind.PauseLeader] = 4,
        [FaultKind.StopLeader] = 1,
        [FaultKind.KillTwo] = 1,
        [FaultKind.CutOff] = 3,
        [FaultKind.CutPair] = 1,
        [FaultKind.ResetConnections] = 1,
    };

    private static readonly Dictionary<FaultKind, int> AllWeights = new(Weights)
    {
        [FaultKind.KillAll] = 1,
        [FaultKind.KillTwice] = 1,
        [FaultKind.Latency] = 1,
        [FaultKind.StopDatabase] = 1,
        [FaultKind.KillWithoutDatabase] = 1,
    };

    // The suite's budget has no room for it in the normal run.
    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Confirmed_messages_are_accepted_or_dead_letters_and_committed_ones_never_come_again() => RunAsync(Weights, Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Confirmed_messages_are_accepted_or_dead_letters_in_a_long_run() => RunAsync(AllWeights, Long);

    private async Task RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs Linux, where all of 127.0.0.0/8 is this machine");
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"AMQP, {length.TotalSeconds} s of faults, log and data in {directory.FullName}");
        await using var cluster = await ProxiedCluster.StartAsync(directory["c"], silos: 3, log, servesAmqp: true);
        Skip.If(cluster is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new AmqpRun(cluster, new AmqpLoad(), seed);
        await directory.KeptOnFailureAsync(log, seed, async () =>
        {
            await run.RunAsync(weights, length, patience.Token);
            Assert.True(run.Violations.IsEmpty, $"{run.Violations}");
        });
    }
}
