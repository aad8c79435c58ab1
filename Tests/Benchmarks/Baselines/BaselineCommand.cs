using System.Globalization;

namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>The <c>baseline</c> command: runs the micro-benchmarks and reports which got worse by more than the noise, compared with the
/// baseline in the repository, or with another build of this program that alternates with this one.</summary>
internal static class BaselineCommand
{
    /// <summary>The tolerance against another machine on another day, even scaled by the calibration.</summary>
    private const double FileTolerance = 0.25;

    /// <summary>The tolerance against another build on this machine, alternating with it.</summary>
    private const double BuildTolerance = 0.05;

    public static int Run(CommandArguments arguments)
    {
        var filter = arguments.Text("--filter") ?? "";
        if (arguments.Text("--measure") is { } target)
        {
            MicroBenchmarks.Run(filter).Write(target);
            return 0;
        }
        // One round shows how much its iterations vary, several show how much the machine varies from minute to minute.
        var rounds = arguments.Number("--rounds", 3);
        return arguments.Text("--against") is { } other ? BesideBuild(other, rounds, filter) : BesideFile(arguments, rounds, filter);
    }

    private static int BesideFile(CommandArguments arguments, int rounds, string filter)
    {
        var path = arguments.Text("--file") ?? Path.Combine("Tests", "Benchmarks", "Baselines", "baseline.json");
        var ours = Enumerable.Range(0, rounds).Select(_ => MicroBenchmarks.Run(filter)).ToList();
        var now = ours.Aggregate((a, b) => a.Join(b));
        if (arguments.Has("--write"))
        {
            now.Write(path);
            Console.WriteLine($"{path}: {now.Results.Count} benchmarks.");
            return 0;
        }
        if (!File.Exists(path))
        {
            Console.Error.WriteLine(
                $"baseline: {path} does not exist. Run this from the repository root, name another file with --file, or "
                + "write it with --write.");
            return 2;
        }
        var then = BenchmarkRun.Read(path);
        return Report([then], ours, now.CalibrationNanoseconds / then.CalibrationNanoseconds, FileTolerance);
    }

    private static int BesideBuild(string other, int rounds, string filter)
    {
        if (!File.Exists(other))
        {
            Console.Error.WriteLine($"baseline: --against: {other} does not exist. It is another build's OrleansMq.Tests.Benchmarks.dll.");
            return 2;
        }
        var (theirs, ours) = (new List<BenchmarkRun>(), new List<BenchmarkRun>());
        for (var round = 0; round < rounds; round++)
        {
            Console.WriteLine($"round {round + 1} of {rounds}");
            theirs.Add(OtherBuild.Measure(other, filter));
            ours.Add(OtherBuild.Measure(typeof(BaselineCommand).Assembly.Location, filter));
        }
        return Report(theirs, ours, scale: 1, BuildTolerance);
    }

    /// <param name="theirs">One run for each round; a single run if it is the repository's baseline.</param>
    /// <param name="ours">One run for each round.</param>
    /// <param name="scale">See <see cref="Comparison.Of"/>.</param>
    /// <param name="tolerance">See <see cref="Comparison.Of"/>.</param>
    private static int Report(List<BenchmarkRun> theirs, List<BenchmarkRun> ours, double scale, double tolerance)
    {
        var (then, now) = (theirs.Aggregate((a, b) => a.Join(b)), ours.Aggregate((a, b) => a.Join(b)));
        var byName = then.Results.ToDictionary(r => r.Name);
        var compared = now.Results.Where(r => byName.ContainsKey(r.Name))
            .Select(r => Comparison.Of(byName[r.Name], r, scale, tolerance)
                .ConfirmedBy(ours.Select((round, i) => RoundRatio(r.Name, theirs[Math.Min(i, theirs.Count - 1)], round, scale))))
            .ToList();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"then: {then.Machine}; now: {now.Machine}; this machine takes "
            + $"{scale:0.00} times as long for the calibration"));
        Console.WriteLine($"{"",-64} {"then",12} {"now",12} {"ratio",6}  {"B then",7} {"B now",7}");
        foreach (var c in compared)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{c.Name,-64} {Time(byName[c.Name].Median * scale),12} {Time(now.Results.First(r => r.Name == c.Name).Median),12} "
                + $"{c.TimeRatio,6:0.00}  {c.BytesThen,7} {c.BytesNow,7} {Words(c)}"));
        }
        foreach (var name in now.Results.Select(r => r.Name).Except(byName.Keys))
            Console.WriteLine($"{name,-64} is new: it has no baseline");
        var worse = compared.Count(c => c.IsWorse);
        Console.WriteLine($"{compared.Count} compared, {worse} worse, {compared.Count(c => c.Time == Verdict.Better)} faster");
        // An empty comparison does not prove that nothing got worse.
        return worse > 0 || compared.Count == 0 ? 1 : 0;
    }

    private static double RoundRatio(string name, BenchmarkRun theirs, BenchmarkRun ours, double scale) =>
        ours.Results.First(r => r.Name == name).Median / (theirs.Results.First(r => r.Name == name).Median * scale);

    private static string Words(Comparison c) => (c.Time, c.Allocation) switch
    {
        (Verdict.Worse, Verdict.Worse) => "WORSE: slower, allocates more",
        (Verdict.Worse, _) => "WORSE: slower",
        (_, Verdict.Worse) => "WORSE: allocates more",
        (Verdict.Better, _) => "faster",
        (_, Verdict.Better) => "allocates less",
        _ => "",
    };

    private static string Time(double nanoseconds) => nanoseconds switch
    {
        < 1_000 => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds:0.0} ns"),
        < 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1_000:0.00} µs"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1_000_000:0.00} ms"),
    };
}
