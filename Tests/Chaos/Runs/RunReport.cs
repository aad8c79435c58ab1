using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>One run as a test: its directory, its log, and a failure that says where both are kept and how to repeat it.</summary>
internal sealed class RunReport(ITestOutputHelper output, string title) : IDisposable
{
    // A run that hangs is given up long before the suite's budget ends it, with its log.
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private readonly TemporaryDirectory _directory = new() { IsKept = true };
    private readonly int _seed = Seeds.Next();

    /// <summary>Where the cluster's data goes.</summary>
    public string Data => _directory["c"];

    public async Task RunAsync(Func<RunLog, Task<RunningCluster?>> start, Func<RunningCluster, FaultInjector> injector, LoadOptions load,
        IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, Func<RunningCluster, ChaosRun, CancellationToken, Task>? finale = null)
    {
        using var log = new RunLog(_directory["run.log"], output.WriteLine);
        log.Tell($"{title}, {length.TotalSeconds} s of faults, log and data in {_directory.FullName}");
        await using var cluster = await start(log);
        if (cluster is null)
        {
            _directory.IsKept = false;
            Skip.If(true, "needs PostgreSQL's server programs");
            return;
        }
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new ChaosRun(cluster, injector(cluster), load, _seed);
        try
        {
            await run.RunAsync(FaultPlan.From(_seed, weights), length, finale is null ? null : token => finale(cluster, run, token), patience.Token);
        }
        catch (Exception e)
        {
            log.Tell($"given up: {e}");
            throw new InvalidOperationException($"{e.Message}\n{Explanation(run)}", e);
        }
        Assert.True(run.Load.Violations.IsEmpty, $"{run.Load.Violations}\n{Explanation(run)}");
        Assert.Empty(run.Load.RefusedReads);
        _directory.IsKept = false;
    }

    public void Dispose() => _directory.Dispose();

    private string Explanation(ChaosRun run) => $"{run.Story()}\nLog and data are kept in {_directory.FullName}. {Seeds.Replay(_seed)}";
}
