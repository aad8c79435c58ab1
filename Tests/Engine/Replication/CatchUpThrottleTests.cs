using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class CatchUpThrottleTests
{
    private readonly ManualClock _time = new();

    [Fact]
    public void Without_a_limit_nothing_waits()
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Count(long.MaxValue);
        Assert.Equal((TimeSpan.Zero, 1 << 20), (throttle.Wait(), throttle.Portion(1 << 20)));
    }

    [Fact]
    public void What_was_sent_is_paid_off_in_its_time_and_nothing_is_saved_up()
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
    public void Another_limit_forgets_what_is_owed()
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
    public void A_low_limit_comes_in_small_portions(long limit, int portion)
    {
        var throttle = new CatchUpThrottle(_time);
        throttle.Limit(limit);
        Assert.Equal(portion, throttle.Portion(1 << 20));
    }
}
