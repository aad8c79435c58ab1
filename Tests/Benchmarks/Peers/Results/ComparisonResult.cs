using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers.Results;

/// <summary>The results of both contenders in one pair, step by step.</summary>
internal sealed record PairResult(IReadOnlyList<Measurement> Ours, IReadOnlyList<Measurement> Theirs);

/// <summary>The results of a comparison's pairs, and its failures.</summary>
/// <param name="Comparison">The comparison.</param>
/// <param name="Pairs">The pairs in which both runs completed.</param>
/// <param name="Failures">Why others did not complete, a sentence each.</param>
internal sealed record ComparisonResult(Comparison Comparison, IReadOnlyList<PairResult> Pairs, IReadOnlyList<string> Failures)
{
    /// <summary>The steps, in order.</summary>
    public IReadOnlyList<string> Steps => Pairs.Count == 0 ? [] : [.. Pairs[0].Ours.Select(measurement => measurement.Step)];

    /// <summary>Returns a figure of OrleansMq in each pair.</summary>
    public IReadOnlyList<double> Ours(string step, Figure figure) => Values(pair => pair.Ours, step, figure);

    /// <summary>Returns a figure of the peer in each pair.</summary>
    public IReadOnlyList<double> Theirs(string step, Figure figure) => Values(pair => pair.Theirs, step, figure);

    /// <summary>Returns the ratios of OrleansMq to the peer, pair by pair, since a disturbance of the machine hits both of a pair. Pairs in
    /// which one lacks the figure are left out.</summary>
    public IReadOnlyList<double> Ratios(string step, Figure figure) =>
        [
        .. Pairs.Select(pair => (Ours: Value(pair.Ours, step, figure), Theirs: Value(pair.Theirs, step, figure)))
            .Where(pair => pair.Ours is not null && pair.Theirs is > 0).Select(pair => pair.Ours!.Value / pair.Theirs!.Value),
    ];

    /// <summary>Returns the figures that any measurement has, in column order.</summary>
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
