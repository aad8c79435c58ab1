namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>What one micro-benchmark took.</summary>
/// <param name="Name">Class, method and parameters, as <c>Crc32CBenchmarks.Hardware(Size: 100)</c>.</param>
/// <param name="Nanoseconds">One operation in each iteration, nanoseconds; in no order.</param>
/// <param name="AllocatedBytes">Allocated on the managed heap by one operation.</param>
internal sealed record BenchmarkResult(string Name, double[] Nanoseconds, long AllocatedBytes)
{
    public double Median => Statistics.Median(Nanoseconds);

    /// <summary>The bounds of the middle half of the iterations: what lies between two runs' is noise.</summary>
    public (double Lower, double Upper) MiddleHalf => (Statistics.Quantile(Nanoseconds, 0.25), Statistics.Quantile(Nanoseconds, 0.75));

    /// <summary>The same benchmark run again: its iterations join those of before.</summary>
    public BenchmarkResult Join(BenchmarkResult again) =>
        this with { Nanoseconds = [.. Nanoseconds, .. again.Nanoseconds], AllocatedBytes = Math.Max(AllocatedBytes, again.AllocatedBytes) };
}
