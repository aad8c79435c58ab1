using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Process.CommandLine;

public sealed class LatencyHistogramTests
{
    [Fact]
    public void Empty_histogram_is_all_zero() => Assert.Equal(new Latency(0, 0, 0, 0, 0), new LatencyHistogram().Summarize());

    [Theory]
    [InlineData(0.0001)]
    [InlineData(0.0128)]
    [InlineData(1)]
    [InlineData(1234.5)]
    [InlineData(86_400_000)]
    public void Single_value_is_every_percentile(double milliseconds)
    {
        var histogram = new LatencyHistogram();

        histogram.Record(TimeSpan.FromMilliseconds(milliseconds));

        Assert.Equal(new Latency(milliseconds, milliseconds, milliseconds, milliseconds, milliseconds), histogram.Summarize());
    }

    [Fact]
    public void Percentiles_match_the_sorted_values_within_one_percent()
    {
        var histogram = new LatencyHistogram();
        for (var i = 1; i <= 10_000; i++)
            histogram.Record(TimeSpan.FromMicroseconds(i * 10));

        var latency = histogram.Summarize();

        Assert.Equal(10_000, histogram.Count);
        AssertNear(50, latency.P50);
        AssertNear(95, latency.P95);
        AssertNear(99, latency.P99);
        AssertNear(99.9, latency.P999);
        Assert.Equal(100, latency.Max);
    }

    [Fact]
    public void Single_slow_value_appears_only_in_the_highest_percentiles()
    {
        var histogram = new LatencyHistogram();
        for (var i = 0; i < 9_999; i++)
            histogram.Record(TimeSpan.FromMilliseconds(1));
        histogram.Record(TimeSpan.FromSeconds(5));

        var latency = histogram.Summarize();

        AssertNear(1, latency.P999);
        Assert.Equal(5000, latency.Max);
    }

    private static void AssertNear(double expected, double actual) => Assert.InRange(actual, expected * 0.99, expected * 1.01);
}
