using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replication;

public sealed class CatchUpPaceTests
{
    private readonly ManualClock _time = new();

    [Fact]
    public void Work_without_live_appends_does_not_rest()
    {
        var pace = new CatchUpPace(_time) { LiveShare = 25 };
        pace.Worked(TimeSpan.FromSeconds(1));
        Assert.Equal((false, TimeSpan.Zero), (pace.IsLive, pace.Wait()));
    }

    [Fact]
    public void Full_share_never_rests()
    {
        var pace = new CatchUpPace(_time) { LiveShare = CatchUpPace.WholeTime };
        pace.NoteLive();
        pace.Worked(TimeSpan.FromSeconds(1));
        Assert.Equal((false, TimeSpan.Zero), (pace.IsLive, pace.Wait()));
    }

    [Fact]
    public void Rest_beside_live_traffic_is_proportional_to_the_work()
    {
        var pace = new CatchUpPace(_time) { LiveShare = 25 };
        pace.NoteLive();
        pace.Worked(TimeSpan.FromMilliseconds(10));
        Assert.Equal((true, TimeSpan.FromMilliseconds(30)), (pace.IsLive, pace.Wait()));
        _time.Advance(TimeSpan.FromMilliseconds(10));
        Assert.Equal(TimeSpan.FromMilliseconds(20), pace.Wait());
        // Concurrent work rests after it.
        pace.Worked(TimeSpan.FromMilliseconds(5));
        Assert.Equal(TimeSpan.FromMilliseconds(35), pace.Wait());
    }

    [Fact]
    public void Rest_ends_with_live_traffic()
    {
        var pace = new CatchUpPace(_time) { LiveShare = 1 };
        pace.NoteLive();
        _time.Advance(TimeSpan.FromMilliseconds(950));
        pace.Worked(TimeSpan.FromSeconds(1));
        Assert.Equal(CatchUpPace.LongestRest, pace.Wait());
        _time.Advance(TimeSpan.FromMilliseconds(50));
        Assert.Equal((false, TimeSpan.Zero), (pace.IsLive, pace.Wait()));
    }

    [Fact]
    public void Work_resumes_soon_after_work_of_any_length_and_concurrency()
    {
        var pace = new CatchUpPace(_time) { LiveShare = 1 };
        pace.NoteLive();
        for (var i = 0; i < 10; i++)
            pace.Worked(TimeSpan.FromSeconds(10));
        Assert.Equal(CatchUpPace.LongestRest, pace.Wait());
    }

    [Theory]
    [InlineData(5)]
    [InlineData(25)]
    [InlineData(80)]
    [InlineData(100)]
    public void Work_gets_its_share_of_the_time(int share)
    {
        var random = new Random(share);
        var (now, restUntil, worked) = (TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
        for (var i = 0; i < 1000; i++)
        {
            now = restUntil > now ? restUntil : now;
            // Short enough that no rest is cut off.
            var work = CatchUpPace.LongestRest / 20 * random.NextDouble();
            (now, worked) = (now + work, worked + work);
            restUntil = CatchUpPace.RestUntil(restUntil, now, work, share);
        }
        Assert.Equal(share / 100.0, worked / restUntil.Max(now), precision: 6);
    }
}

file static class Times
{
    public static TimeSpan Max(this TimeSpan one, TimeSpan other) => one > other ? one : other;
}
