using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>What both contenders came to in one pair, step by step.</summary>
internal sealed record PairResult(IReadOnlyList<Measurement> Ours, IReadOnlyList<Measurement> Theirs);

/// <summary>The pairs of a comparison, and what went wrong.</summary>
/// <param name="Comparison">What was compared.</param>
/// <param name="Pairs">Those that both ended.</param>
/// <param name="Failures">Why others did not, a sentence each.</param>
internal sealed record ComparisonResult(Comparison Comparison, IReadOnlyList<PairResult> Pairs, IReadOnlyList<string> Failures)
{
    /// <summary>The steps, in order.</summary>
    public IReadOnlyList<string> Steps => Pairs.Count == 0 ? [] : [.. Pairs[0].Ours.Select(measurement => measurement.Step)];

    /// <summary>A figure of ours in each pair.</summary>
    public IReadOnlyList<double> Ours(string step, Figure figure) => Values(pair => pair.Ours, step, figure);

    /// <summary>A figure of theirs in each pair.</summary>
    public IReadOnlyList<double> Theirs(string step, Figure figure) => Values(pair => pair.Theirs, step, figure);

    /// <summary>Ours divided by theirs, pair by pair: what disturbs a machine for a while disturbs both of a pair. Pairs in which one lacks
    /// the figure are left out.</summary>
    public IReadOnlyList<double> Ratios(string step, Figure figure) =>
        [
        .. Pairs.Select(pair => (Ours: Value(pair.Ours, step, figure), Theirs: Value(pair.Theirs, step, figure)))
            .Where(pair => pair.Ours is not null && pair.Theirs is > 0).Select(pair => pair.Ours!.Value / pair.Theirs!.Value),
    ];

    /// <summary>The figures that any of the measurements has, in the order of the columns.</summary>
    public IReadOnlyList<Figure> Figures()
    {
        var all = Pairs.SelectMany(pair => pair.Ours.Concat(pair.Theirs)).SelectMany(measurement => measurement.Figures.Keys).Distinct()
            .ToList();
        return [.. Figure.Known.Where(all.Contains), .. all.Except(Figure.Known)];
    }

    private double[] Values(Func<PairResult, IReadOnlyList<Measurement>> side, string step, Figure figure) =>
        [.. Pairs.Select(pair => Value(side(pair), step, figure)).OfType<double>()];

    private static double? Value(IReadOnlyList<Measurement> side, string step, Figure figure) =>
        side.FirstOrDefault(measurement => measurement.Step == step)?.Figures.TryGetValue(figure, out var value) == true ? value : null;
}
