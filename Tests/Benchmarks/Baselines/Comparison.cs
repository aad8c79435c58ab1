namespace OrleansMq.Tests.Benchmarks.Baselines;

internal enum Verdict
{
    Same,
    Better,
    Worse,
}

/// <summary>Says of one benchmark whether it got worse by more than the noise. Decides only; runs nothing.</summary>
/// <param name="Name">The benchmark.</param>
/// <param name="TimeRatio">Median now beside median then, then scaled to this machine: 1.2 is a fifth slower.</param>
/// <param name="Time">Of the time.</param>
/// <param name="BytesThen">Allocated by an operation.</param>
/// <param name="BytesNow">Allocated by an operation.</param>
/// <param name="Allocation">Of what is allocated.</param>
internal sealed record Comparison(string Name, double TimeRatio, Verdict Time, long BytesThen, long BytesNow, Verdict Allocation)
{
    /// <summary>What is allocated does not depend on the machine, but a timer or a grown pool may fall into an iteration: bytes an
    /// operation.</summary>
    private const long StrayBytes = 16;

    public bool IsWorse => Time == Verdict.Worse || Allocation == Verdict.Worse;

    /// <summary>
    /// What remains of the verdict on the time once each round was looked at alone: a change shows in every one of them, a neighbour that
    /// came and went does not.
    /// </summary>
    /// <param name="roundRatios">As <see cref="TimeRatio"/>, for each round.</param>
    public Comparison ConfirmedBy(IEnumerable<double> roundRatios) => Time switch
    {
        Verdict.Worse when roundRatios.Any(r => r <= 1) => this with { Time = Verdict.Same },
        Verdict.Better when roundRatios.Any(r => r >= 1) => this with { Time = Verdict.Same },
        _ => this,
    };

    /// <param name="then">What it is held against.</param>
    /// <param name="now">What was measured now.</param>
    /// <param name="scale">How much slower this machine is than the one of then, by the same calibration on both; 1 for the same machine at
    /// the same time.</param>
    /// <param name="tolerance">Ratios within 1 ± this are the same however little the iterations vary.</param>
    public static Comparison Of(BenchmarkResult then, BenchmarkResult now, double scale, double tolerance)
    {
        var ratio = now.Median / (then.Median * scale);
        var (thenLower, thenUpper) = then.MiddleHalf;
        var (nowLower, nowUpper) = now.MiddleHalf;
        // The middle halves must not overlap: two runs that share half of their iterations' range differ by noise.
        var time = ratio > 1 + tolerance && nowLower > thenUpper * scale ? Verdict.Worse
            : ratio < 1 - tolerance && nowUpper < thenLower * scale ? Verdict.Better
            : Verdict.Same;
        var room = StrayBytes + then.AllocatedBytes / 50;
        var allocation = now.AllocatedBytes > then.AllocatedBytes + room ? Verdict.Worse
            : now.AllocatedBytes < then.AllocatedBytes - room ? Verdict.Better
            : Verdict.Same;
        return new Comparison(now.Name, ratio, time, then.AllocatedBytes, now.AllocatedBytes, allocation);
    }
}
