using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class CatchUpThrottleTests
{
    private readonly ManualClock _time = new();

    [Fact]
    public void Throttle_without_a_limit_does_not_wait()
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Count(long.MaxValue);
        Assert.Equal((TimeSpan.Zero, 1 << 20), (throttle.Wait(), throttle.Portion(1 << 20)));
    }

    [Fact]
    public void Throttle_pays_off_sent_bytes_over_time_and_saves_no_credit()
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Limit(1_000);
        Assert.Equal(TimeSpan.Zero, throttle.Wait());
        throttle.Count(500);
        throttle.Count(1_000);
        Assert.Equal(TimeSpan.FromSeconds(1.5), throttle.Wait());
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.FromSeconds(0.5), throttle.Wait());
        _time.Advance(TimeSpan.FromHours(1));
        throttle.Count(2_000);
        Assert.Equal(TimeSpan.FromSeconds(2), throttle.Wait());
    }

    [Fact]
    public void Changed_limit_clears_the_debt()
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Limit(1);
        throttle.Count(1_000_000);
        throttle.Limit(100_000);
        Assert.Equal(TimeSpan.Zero, throttle.Wait());
        throttle.Count(100_000);
        throttle.Limit(100_000);
        Assert.Equal(TimeSpan.FromSeconds(1), throttle.Wait());
        throttle.Limit(0);
        Assert.Equal(TimeSpan.Zero, throttle.Wait());
    }

    [Theory]
    [InlineData(1, 4_096)]
    [InlineData(100_000, 25_000)]
    [InlineData(1_000_000_000, 1 << 20)]
    public void Low_limit_is_granted_in_small_portions(long limit, int portion)
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Limit(limit);
        Assert.Equal(portion, throttle.Portion(1 << 20));
    }
}
