using System.Diagnostics;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A seed that broke an invariant.</summary>
internal sealed record FailedSeed(int Seed, string Message, Scenario Scenario)
{
    /// <summary>What runs it again, with all its steps.</summary>
    public string Replay => $"./omq sim --seeds 1 --first-seed {Seed} --trace";

    public override string ToString() => $"seed {Seed}: {Message}\n  {Scenario}\n  Replay: {Replay}";
}

/// <summary>Many seeds, on all cores.</summary>
internal sealed class SeedRuns
{
    private readonly Lock _lock = new();
    private readonly List<FailedSeed> _failures = [];
    private readonly Stopwatch _watch = Stopwatch.StartNew();

    /// <summary>Told of each seed that fails, as soon as it does.</summary>
    public Action<FailedSeed>? Failed { get; init; }
    /// <summary>What all that ended well did.</summary>
    public Figures Figures { get; } = new();
    public TimeSpan Elapsed => _watch.Elapsed;

    public IReadOnlyList<FailedSeed> Failures
    {
        get
        {
            lock (_lock)
                return [.. _failures.OrderBy(f => f.Seed)];
        }
    }

    /// <summary>One line, as long as it runs and at its end.</summary>
    public string Progress
    {
        get
        {
            lock (_lock)
                return $"{Figures}, {_failures.Count} failed, {Figures.Seeds / Math.Max(0.001, Elapsed.TotalSeconds):F0} seeds/s";
        }
    }

    /// <summary>Runs seeds until all are done, or so many have failed that more would tell nothing.</summary>
    public void Run(int first, int count, CancellationToken cancellationToken, int mostFailures = 20)
    {
        try
        {
            Parallel.For(first, first + count, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellationToken },
                (seed, loop) =>
                {
                    if (RunOne(seed, null) >= mostFailures)
                        loop.Stop();
                });
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C: what has run is reported.
        }
    }

    /// <summary>Runs one seed and tells each step.</summary>
    /// <returns>How many seeds have failed.</returns>
    public int RunOne(int seed, Action<string>? trace)
    {
        var cluster = new Cluster(seed, ReplicationRules.Shipped) { Trace = trace };
        FailedSeed? failure = null;
        try
        {
            cluster.Run();
        }
        catch (Exception exception)
        {
            // Whatever a role throws is a bug of the protocol as well.
            failure = new FailedSeed(seed, exception is Verdict ? exception.Message : exception.ToString(), cluster.Scenario);
        }
        lock (_lock)
        {
            if (failure is null)
                Figures.Add(cluster.Figures);
            else
            {
                _failures.Add(failure);
                Failed?.Invoke(failure);
            }
            return _failures.Count;
        }
    }
}
