using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Transactions.Copiers;

/// <summary>What Apache Kafka's own system test of transactions does: its copier, over one broker and over three silos.</summary>
public sealed class CopierTests(ITestOutputHelper output)
{
    private const int All = 100_000;
    private const int Sample = 10_000;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(12);

    [SkippableFact]
    public Task Kafkas_copier_copies_exactly_once_over_one_broker() =>
        RunAsync(Sample, faults: 2, CopierFault.Kill, static (data, log) => CopierBroker.StartAsync(data, log));

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Kafkas_copier_copies_all_messages_exactly_once_over_one_broker() =>
        RunAsync(All, faults: 12, CopierFault.Pause, static (data, log) => CopierBroker.StartAsync(data, log));

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Kafkas_copier_copies_all_messages_exactly_once_over_three_silos() =>
        RunAsync(All, faults: 12, CopierFault.Pause, static (data, log) => CopierCluster.StartAsync(data, log));

    private async Task RunAsync(int messages, int faults, CopierFault lastKind, Func<string, RunLog, Task<ICopierBrokers?>> start)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "needs Linux: its signals");
        Librdkafka.Require();
        ClientProgram.RequireKafka();
        using var directory = new TemporaryDirectory();
        var seed = Seeds.Next();
        using var log = new RunLog(directory["run.log"], output.WriteLine);
        log.Tell($"copiers, {messages} messages, seed {seed}, log and data in {directory.FullName}");
        await using var brokers = await start(directory["c"], log);
        Skip.If(brokers is null, "needs PostgreSQL's server programs");
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await new CopierRun(brokers, log, seed, messages, faults, lastKind).RunAsync(patience.Token);
        }
        catch (Exception e)
        {
            directory.IsKept = true;
            log.Tell($"given up: {e}");
            throw new InvalidOperationException($"{e.Message}\nLog and data are kept in {directory.FullName}. {Seeds.Replay(seed)}", e);
        }
    }
}
