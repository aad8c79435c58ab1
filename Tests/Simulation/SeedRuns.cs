using System.Diagnostics;
using OrleansMq.Groups.Coordination;
using OrleansMq.Queues;
using OrleansMq.Schedules;
using OrleansMq.Tests.Simulation.Groups;
using OrleansMq.Tests.Simulation.Queues;
using OrleansMq.Tests.Simulation.Schedules;
using OrleansMq.Tests.Simulation.Transactions;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation;

/// <summary>A seed that broke an invariant.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Message">The invariant, or the exception of the code under test.</param>
/// <param name="Description">The seed's scenario.</param>
/// <param name="Command">The command that simulates it.</param>
internal sealed record FailedSeed(int Seed, string Message, string Description, string Command)
{
    /// <summary>The command that repeats the seed with a trace.</summary>
    public string Replay => $"{Command} --seeds 1 --first-seed {Seed} --trace";

    public override string ToString() => $"seed {Seed}: {Message}\n  {Description}\n  Replay: {Replay}";
}

/// <summary>Runs many seeds on all cores, in their order, so that a run can be continued.</summary>
/// <param name="command">The command line of this simulation.</param>
/// <param name="create">Creates the run of a seed, with an optional trace.</param>
internal sealed class SeedRuns<TFigures>(string command, Func<int, Action<string>?, ISimulation<TFigures>> create)
    where TFigures : IFigures<TFigures>, new()
{
    private readonly Lock _lock = new();
    private readonly List<FailedSeed> _failures = [];
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private const long None = long.MaxValue;
    // The first seed that no worker has taken, and the one that each worker runs.
    private long _next;
    private long[] _running = [];

    /// <summary>Called for each failed seed at once.</summary>
    public Action<FailedSeed>? Failed { get; init; }
    /// <summary>The counts of all successful runs.</summary>
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

    /// <summary>The seed at which an interrupted run continues: all before it are done.</summary>
    public long NextSeed
    {
        get
        {
            lock (_lock)
                return Math.Min(_next, _running.DefaultIfEmpty(None).Min());
        }
    }

    /// <summary>The progress line, during and after the run.</summary>
    public string Progress
    {
        get
        {
            lock (_lock)
                return $"{Figures}, {_failures.Count} failed, {Figures.Seeds / Math.Max(0.001, Elapsed.TotalSeconds):F0} seeds/s";
        }
    }

    /// <summary>Runs seeds in their order, until all are done, or until so many have failed that more would tell nothing new. A cancelled
    /// run ends with the seeds that are running.</summary>
    public void Run(int first, int count, CancellationToken cancellationToken, int mostFailures = 20)
    {
        var end = (long)first + count;
        (_next, _running) = (first, new long[Math.Min(Environment.ProcessorCount, count)]);
        Array.Fill(_running, None);
        Parallel.For(0, _running.Length, new ParallelOptions { MaxDegreeOfParallelism = _running.Length }, worker =>
        {
            var failures = 0;
            while (failures < mostFailures && !cancellationToken.IsCancellationRequested && TryTake(worker, end, out var seed))
                failures = RunOne(seed, null);
            lock (_lock)
                _running[worker] = None;
        });
    }

    private bool TryTake(int worker, long end, out int seed)
    {
        lock (_lock)
        {
            seed = (int)_next;
            if (_next == end)
                return false;
            _running[worker] = _next++;
            return true;
        }
    }

    /// <summary>Asserts that a seed runs the same steps each time, and another seed others.</summary>
    public void AssertRepeatable()
    {
        Assert.Equal(Transcript(7), Transcript(7));
        Assert.NotEqual(Transcript(7), Transcript(8));

        List<string> Transcript(int seed)
        {
            var lines = new List<string>();
            create(seed, lines.Add).Run();
            return lines;
        }
    }

    /// <summary>Runs one seed with a trace.</summary>
    /// <returns>The number of failed seeds.</returns>
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
            // Any exception of the code under test is a bug of the protocol as well.
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

/// <summary>The available simulations.</summary>
internal static class SeedRuns
{
    public static SeedRuns<Figures> OfReplication(Action<FailedSeed>? failed = null, ReplicationFocus focus = ReplicationFocus.None) =>
        new($"./omq sim{(focus == ReplicationFocus.None ? "" : $" --focus {focus}")}", (seed, trace) =>
            new Cluster(seed, Replication.ReplicationRules.Shipped, random => Scenario.Of(focus, random)) { Trace = trace })
        {
            Failed = failed,
        };

    public static SeedRuns<GroupFigures> OfGroups(Action<FailedSeed>? failed = null, GroupFocus focus = GroupFocus.None) =>
        new($"./omq sim --groups{(focus == GroupFocus.None ? "" : $" --focus {focus}")}",
            (seed, trace) => new GroupSimulation(seed, GroupRules.Shipped, focus) { Trace = trace }) { Failed = failed };

    public static SeedRuns<QueueFigures> OfQueues(Action<FailedSeed>? failed = null) =>
        new("./omq sim --queues", (seed, trace) => new QueueSimulation(seed, CursorRules.Shipped) { Trace = trace }) { Failed = failed };

    public static SeedRuns<TransactionFigures> OfTransactions(Action<FailedSeed>? failed = null) =>
        new("./omq sim --transactions",
            (seed, trace) => new TransactionSimulation(seed, TransactionRules.Shipped, ParticipantRules.Shipped) { Trace = trace })
        {
            Failed = failed,
        };

    public static SeedRuns<ScheduleFigures> OfSchedules(Action<FailedSeed>? failed = null) =>
        new("./omq sim --schedules", (seed, trace) => new ScheduleSimulation(seed, ScheduleRules.Shipped) { Trace = trace })
        {
            Failed = failed,
        };
}
