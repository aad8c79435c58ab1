using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Transactions.Copiers;

/// <summary>What Apache Kafka's own system test of transactions does: its copier, over one broker and over three silos.</summary>
public sealed class CopierTests(ITestOutputHelper output)
{
    private static readonly CopierLoad All = new(100_000, TransactionSize: 100, Faults: 12, CopierFault.Pause);
    // In small transactions, so that a fast machine needs some time, too.
    private static readonly CopierLoad Sample = new(10_000, TransactionSize: 20, Faults: 2, CopierFault.Kill);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(12);

    [SkippableFact]
    public Task Kafkas_copier_copies_exactly_once_over_one_broker() =>
        RunAsync(Sample, static (data, log) => CopierBroker.StartAsync(data, log));

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Kafkas_copier_copies_all_messages_exactly_once_over_one_broker() =>
        RunAsync(All, static (data, log) => CopierBroker.StartAsync(data, log));

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Kafkas_copier_copies_all_messages_exactly_once_over_three_silos() =>
        RunAsync(All, static (data, log) => CopierCluster.StartAsync(data, log));

    private async Task RunAsync(CopierLoad load, Func<string, RunLog, Task<ICopierBrokers?>> start)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs Linux: its signals");
        Librdkafka.Require();
        ClientProgram.RequireKafka();
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"copiers, {load.Messages} messages, seed {seed}, log and data in {directory.FullName}");
        await using var brokers = await start(directory["c"], log);
        Skip.If(brokers is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(Patience);
        await directory.KeptOnFailureAsync(log, seed, () => new CopierRun(brokers, log, seed, load).RunAsync(patience.Token));
    }
}
