namespace OrleansMq.Tests.Benchmarks.Baselines;

/// <summary>The result of one micro-benchmark.</summary>
/// <param name="Name">Class, method and parameters, such as <c>Crc32CBenchmarks.Hardware(Size: 100)</c>.</param>
/// <param name="Nanoseconds">The time of one operation in each iteration, in nanoseconds, unordered.</param>
/// <param name="AllocatedBytes">The bytes that one operation allocates on the managed heap.</param>
internal sealed record BenchmarkResult(string Name, double[] Nanoseconds, long AllocatedBytes)
{
    public double Median => Statistics.Median(Nanoseconds);

    /// <summary>The bounds of the middle half of the iterations. Runs whose middle halves overlap differ by noise.</summary>
    public (double Lower, double Upper) MiddleHalf => (Statistics.Quantile(Nanoseconds, 0.25), Statistics.Quantile(Nanoseconds, 0.75));

    /// <summary>Merges a repeated run of the same benchmark, with the iterations of both.</summary>
    public BenchmarkResult Join(BenchmarkResult again) =>
        this with { Nanoseconds = [.. Nanoseconds, .. again.Nanoseconds], AllocatedBytes = Math.Max(AllocatedBytes, again.AllocatedBytes) };
}
