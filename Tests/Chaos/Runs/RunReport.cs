using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>One run as a test: its directory, its log, and a failure message with the place of both and the command that repeats
/// it.</summary>
internal sealed class RunReport(ITestOutputHelper output, string title) : IDisposable
{
    // A hanging run is stopped, with its log, long before the suite's budget ends it.
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(6);

    private readonly TemporaryDirectory _directory = new();
    private readonly int _seed = Seeds.Next();
    private bool _isGood;

    /// <summary>The directory of the cluster's data.</summary>
    public string Data => _directory["c"];

    public async Task RunAsync(Func<RunLog, Task<RunningCluster?>> start, Func<RunningCluster, FaultInjector> injector, LoadOptions load,
        IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length,
        Func<RunningCluster, ChaosRun, CancellationToken, Task>? finale = null)
    {
        using var log = new RunLog(_directory["run.log"], output.WriteLine);
        log.Tell($"{title}, {length.TotalSeconds} s of faults, log and data in {_directory.FullName}");
        await using var cluster = await start(log);
        if (cluster is null)
        {
            _isGood = true;
            Skip.If(true, "needs PostgreSQL's server programs");
            return;
        }
        using var patience = new CancellationTokenSource(length + Slack);
        using var run = new ChaosRun(cluster, injector(cluster), load, _seed);
        try
        {
            await run.RunAsync(FaultPlan.From(_seed, weights), length, finale is null ? null : token => finale(cluster, run, token),
                patience.Token);
        }
        catch (Exception e)
        {
            log.Tell($"given up: {e}");
            throw new InvalidOperationException($"{e.Message}\n{Explanation(run)}", e);
        }
        Assert.True(run.Load.Violations.IsEmpty, $"{run.Load.Violations}\n{Explanation(run)}");
        Assert.True(!run.Load.RefusedReads.Any(), $"A reader was refused permanently.\n{Explanation(run)}");
        // The cluster recovered within the delivery timeout, so no record may have failed.
        Assert.True(run.Load.RecordsFailed == 0, $"{run.Load.RecordsFailed} records failed.\n{Explanation(run)}");
        _isGood = true;
    }

    /// <summary>Deletes the run's files if it succeeded to its last step.</summary>
    public void Dispose()
    {
        _directory.IsKept = !_isGood;
        _directory.Dispose();
    }

    private string Explanation(ChaosRun run) => $"{run.Story()}\nLog and data are kept in {_directory.FullName}. {Seeds.Replay(_seed)}";
}
