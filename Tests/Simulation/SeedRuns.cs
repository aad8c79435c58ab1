using System.Diagnostics;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.Simulation.Groups;

namespace OrleansMq.Tests.Simulation;

/// <summary>A seed that broke an invariant.</summary>
/// <param name="Seed">Which.</param>
/// <param name="Message">The invariant, or what the code under test threw.</param>
/// <param name="Description">What the seed made of the run.</param>
/// <param name="Command">What simulates.</param>
internal sealed record FailedSeed(int Seed, string Message, string Description, string Command)
{
    /// <summary>What runs it again, with all its steps.</summary>
    public string Replay => $"{Command} --seeds 1 --first-seed {Seed} --trace";

    public override string ToString() => $"seed {Seed}: {Message}\n  {Description}\n  Replay: {Replay}";
}

/// <summary>Many seeds, on all cores.</summary>
/// <param name="command">What simulates this on the command line.</param>
/// <param name="create">Makes the run of a seed; its steps are told where that is wanted.</param>
internal sealed class SeedRuns<TFigures>(string command, Func<int, Action<string>?, ISimulation<TFigures>> create)
    where TFigures : IFigures<TFigures>, new()
{
    private readonly Lock _lock = new();
    private readonly List<FailedSeed> _failures = [];
    private readonly Stopwatch _watch = Stopwatch.StartNew();

    /// <summary>Told of each seed that fails, as soon as it does.</summary>
    public Action<FailedSeed>? Failed { get; init; }
    /// <summary>What all that ended well did.</summary>
    public TFigures Figures { get; } = new();
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
            Parallel.For(first, first + count,
                new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellationToken },
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
        var simulation = create(seed, trace);
        FailedSeed? failure = null;
        try
        {
            simulation.Run();
        }
        catch (Exception exception)
        {
            // Whatever the code under test throws is a bug of the protocol as well.
            failure = new FailedSeed(seed, exception is Verdict ? exception.Message : exception.ToString(), simulation.Description,
                command);
        }
        lock (_lock)
        {
            if (failure is null)
                Figures.Add(simulation.Figures);
            else
            {
                _failures.Add(failure);
                Failed?.Invoke(failure);
            }
            return _failures.Count;
        }
    }
}

/// <summary>What can be simulated.</summary>
internal static class SeedRuns
{
    public static SeedRuns<Figures> OfReplication(Action<FailedSeed>? failed = null) =>
        new("./omq sim", (seed, trace) => new Cluster(seed, Replication.ReplicationRules.Shipped) { Trace = trace }) { Failed = failed };

    public static SeedRuns<GroupFigures> OfGroups(Action<FailedSeed>? failed = null) =>
        new("./omq sim --groups", (seed, trace) => new GroupSimulation(seed, GroupRules.Shipped) { Trace = trace }) { Failed = failed };
}
