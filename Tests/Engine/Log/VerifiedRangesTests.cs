using OrleansMq.Log;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Adjacent verified ranges merge into one that never includes unverified bytes.</summary>
public sealed class VerifiedRangesTests
{
    [Fact]
    public void Adjacent_and_overlapping_ranges_are_merged()
    {
        var ranges = new VerifiedRanges();
        ranges.Add(100, 200);
        ranges.Add(300, 400);
        Assert.True(ranges.Contains(100, 200));
        Assert.False(ranges.Contains(150, 350));
        ranges.Add(200, 300);
        Assert.True(ranges.Contains(100, 400));
        ranges.Add(50, 500);
        Assert.True(ranges.Contains(50, 500));
        Assert.False(ranges.Contains(49, 60));
        Assert.False(ranges.Contains(400, 501));
    }

    [Fact]
    public void Unverified_bytes_are_never_reported_as_verified()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var ranges = new VerifiedRanges();
            var seen = new bool[1000];
            for (var step = 0; step < 100; step++)
            {
                var from = random.Next(seen.Length);
                var to = Math.Min(seen.Length, from + 1 + random.Next(40));
                ranges.Add(from, to);
                seen.AsSpan(from, to - from).Fill(true);
                Assert.True(ranges.Contains(from, to) || step >= 16, $"Seed {seed}: the range of step {step} was forgotten at once.");
                from = random.Next(seen.Length);
                to = Math.Min(seen.Length, from + 1 + random.Next(40));
                if (ranges.Contains(from, to))
                    Assert.DoesNotContain(false, seen[from..to]);
            }
        }
    }

    [Fact]
    public void Largest_ranges_are_kept_when_there_are_many()
    {
        var ranges = new VerifiedRanges();
        ranges.Add(0, 1000);
        for (var i = 0; i < 100; i++)
            ranges.Add(2000 + 20 * i, 2010 + 20 * i);
        Assert.True(ranges.Contains(0, 1000));
    }
}
