using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Producers of transactions and a group that copies, of librdkafka and of Apache Kafka's client, over three silo processes.
/// Silos, clients and requests are killed, paused and delayed. The seed decides the faults; <c>OMQ_SEED</c> repeats it.</summary>
public sealed class TransactionTests(ITestOutputHelper output)
{
    private const short EndTxn = 26;
    // From this version on each transaction has an epoch of its own, by which a late request is known. Before, a broker cannot tell a late
    // request from one of the next transaction.
    private const short WithOwnEpoch = 5;
    private const double DelayedShare = 0.05;

    private static readonly TimeSpan Short = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    [SkippableFact]
    public Task Transactions_are_whole_and_copies_exact_while_silos_and_clients_die() => RunAsync(Short);

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Transactions_are_whole_and_copies_exact_in_a_long_run() => RunAsync(Long);

    /// <summary>The checker accuses no other broker, either.</summary>
    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Checker_does_not_accuse_Apache_Kafka() => RunAsync(TimeSpan.FromMinutes(2), "a Kafka broker",
        static async (directory, log, delayOf) => await KafkaBroker.StartAsync(directory["k"], log, delayOf));

    private Task RunAsync(TimeSpan length) => RunAsync(length, "silos", static async (directory, log, delayOf) =>
        await TransactionCluster.StartAsync(directory["c"], log, delayOf));

    private async Task RunAsync(TimeSpan length, string title,
        Func<TemporaryDirectory, RunLog, Func<short, short, TimeSpan>, Task<IBrokersUnderTest?>> start)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs Linux: its signals and its clock");
        Librdkafka.Require();
        ClientProgram.RequireKafka();
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"transactions over {title}, seed {seed}, {length.TotalSeconds} s of faults, log and data in {directory.FullName}");
        var delays = new Random(seed);
        await using var brokers = await start(directory, log, DelayOf);
        Skip.If(brokers is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(length + Slack);
        var run = new TransactionRun(brokers, log, seed, directory.FullName);
        await directory.KeptOnFailureAsync(log, seed, async () =>
        {
            await run.RunAsync(length, patience.Token);
            Assert.True(run.Violations.IsEmpty, $"{run.Violations}");
        });

        TimeSpan DelayOf(short key, short version)
        {
            if (key != EndTxn || version < WithOwnEpoch)
                return TimeSpan.Zero;
            lock (delays)
                return delays.NextDouble() < DelayedShare ? TimeSpan.FromSeconds(8 * delays.NextDouble()) : TimeSpan.Zero;
        }
    }
}
