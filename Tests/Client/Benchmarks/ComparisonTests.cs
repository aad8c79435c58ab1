using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Benchmarks.Baselines;

namespace OrleansMq.Tests.Client.Benchmarks;

/// <summary>Decides when a micro-benchmark is worse than its baseline.</summary>
public class ComparisonTests
{
    private static readonly BenchmarkResult Then = new("b", [100, 102, 98, 101, 99], AllocatedBytes: 1_000);

    [Fact]
    public void Run_equal_to_the_baseline_is_unchanged()
    {
        var compared = Comparison.Of(Then, Then with { Nanoseconds = [101, 99, 103, 97, 100] }, scale: 1, tolerance: 0.05);

        Assert.Equal((Verdict.Same, Verdict.Same, false), (compared.Time, compared.Allocation, compared.IsWorse));
    }

    [Fact]
    public void Ten_percent_slower_with_steady_iterations_is_worse()
    {
        var compared = Comparison.Of(Then, Then with { Nanoseconds = [110, 111, 112, 109, 110] }, scale: 1, tolerance: 0.05);

        Assert.Equal(Verdict.Worse, compared.Time);
        Assert.Equal(1.1, compared.TimeRatio, 3);
    }

    [Fact]
    public void Ten_percent_slower_with_noisy_iterations_is_noise()
    {
        var restless = Then with { Nanoseconds = [70, 130, 100, 140, 60] };

        Assert.Equal(Verdict.Same, Comparison.Of(restless, Then with { Nanoseconds = [110, 111, 112, 109, 110] }, scale: 1, tolerance: 0.05)
            .Time);
    }

    [Fact]
    public void Difference_within_the_tolerance_is_ignored_for_steady_iterations() =>
        Assert.Equal(Verdict.Same, Comparison.Of(Then, Then with { Nanoseconds = [104, 104, 104, 104, 104] }, scale: 1, tolerance: 0.05)
            .Time);

    [Fact]
    public void Results_from_another_machine_are_compared_with_a_scaled_baseline()
    {
        var now = Then with { Nanoseconds = [200, 204, 196, 202, 198] };

        Assert.Equal(Verdict.Worse, Comparison.Of(Then, now, scale: 1, tolerance: 0.25).Time);
        Assert.Equal(Verdict.Same, Comparison.Of(Then, now, scale: 2, tolerance: 0.25).Time);
        Assert.Equal(Verdict.Better, Comparison.Of(Then, now, scale: 4, tolerance: 0.25).Time);
    }

    [Theory]
    [InlineData(1_000, 1_036, "Same")]
    [InlineData(1_000, 1_037, "Worse")]
    [InlineData(0, 16, "Same")]
    [InlineData(0, 24, "Worse")]
    [InlineData(1_000, 900, "Better")]
    public void Allocations_are_compared_with_a_small_tolerance(long then, long now, string expected)
    {
        var compared = Comparison.Of(Then with { AllocatedBytes = then }, Then with { AllocatedBytes = now }, scale: 1, tolerance: 0.05);

        Assert.Equal(expected, compared.Allocation.ToString());
        Assert.Equal(expected == "Worse", compared.IsWorse);
    }

    [Fact]
    public void Slowdown_in_some_rounds_only_is_noise()
    {
        var slower = Comparison.Of(Then, Then with { Nanoseconds = [150, 150, 150] }, scale: 1, tolerance: 0.05);
        var faster = Comparison.Of(Then, Then with { Nanoseconds = [50, 50, 50] }, scale: 1, tolerance: 0.05);

        Assert.Equal(Verdict.Worse, slower.ConfirmedBy([1.5, 1.4, 1.6]).Time);
        Assert.Equal(Verdict.Same, slower.ConfirmedBy([1.5, 0.9, 2.1]).Time);
        Assert.Equal(Verdict.Better, faster.ConfirmedBy([0.5, 0.6]).Time);
        Assert.Equal(Verdict.Same, faster.ConfirmedBy([0.3, 1.1]).Time);
    }

    [Fact]
    public void Repeated_benchmark_merges_iterations_and_keeps_the_larger_allocation()
    {
        var joined = Then.Join(Then with { Nanoseconds = [200], AllocatedBytes = 1_200 });

        Assert.Equal([100, 102, 98, 101, 99, 200], joined.Nanoseconds);
        Assert.Equal(1_200, joined.AllocatedBytes);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0.25, 2)]
    [InlineData(0.5, 3)]
    [InlineData(0.625, 3.5)]
    [InlineData(1, 5)]
    public void Quantile_is_interpolated_between_neighbouring_values(double share, double expected) =>
        Assert.Equal(expected, Statistics.Quantile([5, 1, 4, 2, 3], share), 6);
}
