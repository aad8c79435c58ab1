using System.Globalization;
using OrleansMq.Tests.Simulation.Groups;

namespace OrleansMq.Tests.Simulation;

/// <summary>The simulation as a long run: <c>./omq sim</c>.</summary>
internal static class Program
{
    private const string Usage = """
        Usage: ./omq sim [--queues | --schedules | --groups | --transactions] [--focus FOCUS] [--seeds N] [--first-seed N] [--trace]

        Simulates clusters from their seeds, each with its own faults, and checks the invariants of replication after every step.
          --groups         simulates consumer groups instead: their coordinators and members
          --queues         simulates a cursor instead: its leaders, consumers and dead letters
          --schedules      simulates scheduled records instead: their leaders, log and targets
          --transactions   simulates transactional ids instead: their coordinators, clients, partitions and groups
          --focus FOCUS    makes a rare combination of faults likely: AwayWhileErasing, JoinWhileDeleting, MessageIds; of groups
                           StaticHandover, RecreatedTopics, RestartedLeader, Transactions
          --seeds N        the number of seeds, 1000 by default
          --first-seed N   the first seed, 0 by default
          --trace          prints each step of one seed
        Writes now and then to the error output what it has done, and the seed at which an interrupted run continues (--first-seed).
        Ends with one line of figures. Exit code 0: no invariant was broken; 1: a seed failed; 2: invalid option.
        """;

    // A file gets fewer lines than a terminal.
    private static TimeSpan TimeBetweenReports => TimeSpan.FromSeconds(Console.IsErrorRedirected ? 60 : 5);

    private sealed record Options(bool Queues, bool Schedules, bool Groups, bool Transactions, GroupFocus GroupFocus,
        ReplicationFocus Focus, int Seeds, int First, bool Trace);

    public static int Main(string[] args)
    {
        if (args is ["--help" or "-h"])
        {
            Console.WriteLine(Usage);
            return 0;
        }
        if (Parse(args) is not { } options)
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }
        if (options.Queues)
            return Run(SeedRuns.OfQueues(Console.WriteLine), options, "broken 0");
        if (options.Schedules)
            return Run(SeedRuns.OfSchedules(Console.WriteLine), options, "broken 0");
        if (options.Transactions)
            return Run(SeedRuns.OfTransactions(Console.WriteLine), options, "broken 0");
        return options.Groups
            ? Run(SeedRuns.OfGroups(Console.WriteLine, options.GroupFocus), options, "broken 0")
            : Run(SeedRuns.OfReplication(Console.WriteLine, options.Focus), options, "lost 0");
    }

    private static int Run<TFigures>(SeedRuns<TFigures> runs, Options options, string well) where TFigures : IFigures<TFigures>, new()
    {
        using var cancellation = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            cancellation.Cancel();
        };
        if (options.Trace)
            runs.RunOne(options.First, Console.WriteLine);
        else
        {
            using var reports = new Timer(_ => Console.Error.WriteLine($"{runs.Progress}, next seed {runs.NextSeed}"), null,
                TimeBetweenReports, TimeBetweenReports);
            runs.Run(options.First, options.Seeds, cancellation.Token);
            var left = options.First + (long)options.Seeds - runs.NextSeed;
            if (left > 0)
                Console.Error.WriteLine($"Stopped. Continue with --first-seed {runs.NextSeed} --seeds {left}");
        }
        var outcome = runs.Failures.Count == 0 ? well : $"{runs.Failures.Count} SEEDS FAILED";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{runs.Figures.Last}, {outcome}, {runs.Elapsed.TotalSeconds:F0} s"));
        return runs.Failures.Count == 0 ? 0 : 1;
    }

    private static Options? Parse(string[] args)
    {
        var (queues, schedules, groups, transactions, seeds, first, trace) = (false, false, false, false, 1_000, 0, false);
        var (groupFocus, focus) = (GroupFocus.None, ReplicationFocus.None);
        for (var i = 0; i < args.Length; i++)
        {
            if (args[i] == "--trace")
                trace = true;
            else if (args[i] == "--queues")
                queues = true;
            else if (args[i] == "--schedules")
                schedules = true;
            else if (args[i] == "--groups")
                groups = true;
            else if (args[i] == "--transactions")
                transactions = true;
            else if (args[i] == "--focus" && i + 1 < args.Length && (Enum.TryParse(args[i + 1], ignoreCase: true, out groupFocus)
                || Enum.TryParse(args[i + 1], ignoreCase: true, out focus)))
                i++;
            else if (args[i] is not ("--seeds" or "--first-seed") || i + 1 == args.Length
                || !int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return null;
            else if (args[i++] == "--seeds")
                seeds = number;
            else
                first = number;
        }
        return seeds > 0 && first <= int.MaxValue - seeds && (!trace || seeds == 1) && (groups || groupFocus == GroupFocus.None)
            && (focus == ReplicationFocus.None || !(groups || queues || schedules || transactions))
            && ((bool[])[queues, schedules, groups, transactions]).Count(static one => one) <= 1
            ? new Options(queues, schedules, groups, transactions, groupFocus, focus, seeds, first, trace)
            : null;
    }
}
