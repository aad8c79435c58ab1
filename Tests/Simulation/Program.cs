using System.Globalization;

namespace OrleansMq.Tests.Simulation;

/// <summary>The simulation for a long night: <c>./omq sim</c>.</summary>
internal static class Program
{
    private const string Usage = """
        Usage: ./omq sim [--seeds N] [--first-seed N] [--trace]

        Simulates clusters from their seeds, each with its own faults, and checks the invariants of replication after every step.
          --seeds N        how many seeds, 1000 by default
          --first-seed N   the first of them, 0 by default
          --trace          tells each step of one seed
        Ends with one line of figures: 0 when nothing was lost, 1 when a seed failed, 2 for a wrong option.
        """;

    private static readonly TimeSpan TimeBetweenReports = TimeSpan.FromSeconds(5);

    public static int Main(string[] args)
    {
        if (args is ["--help" or "-h"])
        {
            Console.WriteLine(Usage);
            return 0;
        }
        if (!TryParse(args, out var seeds, out var first, out var trace))
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }
        var runs = new SeedRuns { Failed = Console.WriteLine };
        using var cancellation = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            cancellation.Cancel();
        };
        if (trace)
            runs.RunOne(first, Console.WriteLine);
        else
        {
            using var reports = new Timer(_ => Console.Error.WriteLine(runs.Progress), null, TimeBetweenReports, TimeBetweenReports);
            runs.Run(first, seeds, cancellation.Token);
        }
        var figures = runs.Figures;
        var lost = runs.Failures.Count == 0 ? "lost 0" : $"{runs.Failures.Count} SEEDS FAILED";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seeds {figures.Seeds}, steps {figures.Steps}, crashes {figures.Crashes}, elections {figures.Elections}, records acknowledged {figures.Acknowledged}, {lost}, {runs.Elapsed.TotalSeconds:F0} s"));
        return runs.Failures.Count == 0 ? 0 : 1;
    }

    private static bool TryParse(string[] args, out int seeds, out int first, out bool trace)
    {
        (seeds, first, trace) = (1_000, 0, false);
        for (var i = 0; i < args.Length; i++)
        {
            if (args[i] == "--trace")
                trace = true;
            else if (args[i] is not ("--seeds" or "--first-seed") || i + 1 == args.Length
                || !int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return false;
            else if (args[i++] == "--seeds")
                seeds = number;
            else
                first = number;
        }
        return seeds > 0 && first <= int.MaxValue - seeds && (!trace || seeds == 1);
    }
}
