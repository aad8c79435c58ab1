namespace OrleansMq.Tests.Benchmarks.Baselines;

internal enum Verdict
{
    Same,
    Better,
    Worse,
}

/// <summary>Decides whether a benchmark got worse by more than the noise, without running anything.</summary>
/// <param name="Name">The benchmark.</param>
/// <param name="TimeRatio">The current median divided by the former one, scaled to this machine: 1.2 is a fifth slower.</param>
/// <param name="Time">The verdict on the time.</param>
/// <param name="BytesThen">The former allocation of an operation.</param>
/// <param name="BytesNow">The current allocation of an operation.</param>
/// <param name="Allocation">The verdict on the allocation.</param>
internal sealed record Comparison(string Name, double TimeRatio, Verdict Time, long BytesThen, long BytesNow, Verdict Allocation)
{
    /// <summary>The tolerance of allocations, in bytes an operation. Allocation does not depend on the machine, but a timer or a grown pool
    /// may fall into an iteration.</summary>
    private const long StrayBytes = 16;

    public bool IsWorse => Time == Verdict.Worse || Allocation == Verdict.Worse;

    /// <summary>Confirms the verdict on the time by each round alone. A real change shows in every round, a disturbance by other programs
    /// does not.</summary>
    /// <param name="roundRatios">The <see cref="TimeRatio"/> of each round.</param>
    public Comparison ConfirmedBy(IEnumerable<double> roundRatios) => Time switch
    {
        Verdict.Worse when roundRatios.Any(r => r <= 1) => this with { Time = Verdict.Same },
        Verdict.Better when roundRatios.Any(r => r >= 1) => this with { Time = Verdict.Same },
        _ => this,
    };

    /// <param name="then">The former result.</param>
    /// <param name="now">The current result.</param>
    /// <param name="scale">How much slower this machine is than the former one, by the same calibration on both; 1 for the same machine at
    /// the same time.</param>
    /// <param name="tolerance">Ratios within 1 ± this are equal however little the iterations vary.</param>
    public static Comparison Of(BenchmarkResult then, BenchmarkResult now, double scale, double tolerance)
    {
        var ratio = now.Median / (then.Median * scale);
        var (thenLower, thenUpper) = then.MiddleHalf;
        var (nowLower, nowUpper) = now.MiddleHalf;
        // The middle halves must not overlap. Two runs that share half of their iterations' range differ by noise.
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
