using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Timing;

namespace OrleansMq.Tests.Engine.Timing;

public sealed class SteadyClockTests
{
    private readonly ManualClock _clock = new();

    [Fact]
    public void Goes_on_by_elapsed_time_when_the_clock_is_set_back_and_follows_it_forward()
    {
        var steady = new SteadyClock(_clock);
        var began = _clock.GetUtcNow();
        _clock.Ahead = TimeSpan.FromHours(1);
        Assert.Equal(began + TimeSpan.FromHours(1), steady.Read());
        _clock.Ahead = TimeSpan.Zero;
        Assert.Equal(began + TimeSpan.FromHours(1), steady.Read());
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(began + TimeSpan.FromHours(1) + TimeSpan.FromSeconds(1), steady.Read());
        _clock.Ahead = TimeSpan.FromHours(2);
        Assert.Equal(began + TimeSpan.FromHours(2) + TimeSpan.FromSeconds(1), steady.Read());
    }
}
