using OrleansMq.Gateways.Amqp;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp;

/// <summary>A timer that fires once.</summary>
public sealed class DueTimerTests
{
    private readonly ManualClock _clock = new();

    [Fact]
    public async Task It_fires_once_at_the_earliest_of_its_times_and_again_only_where_it_is_armed_again()
    {
        var fired = new List<TimeSpan>();
        var began = _clock.GetTimestamp();
        await using var timer = new DueTimer(_clock, () => fired.Add(_clock.GetElapsedTime(began)));
        Assert.Equal(0, _clock.TimerCount);
        timer.Arm(began, TimeSpan.FromSeconds(8));
        timer.Arm(began, TimeSpan.FromSeconds(5));
        timer.Arm(began, TimeSpan.FromSeconds(6));
        Assert.Equal(1, _clock.TimerCount);
        _clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal([TimeSpan.FromSeconds(5)], fired);
        Assert.Equal(0, _clock.TimerCount);
        // A time that has passed.
        timer.Arm(began, TimeSpan.FromSeconds(7));
        _clock.Advance(TimeSpan.Zero);
        Assert.Equal([TimeSpan.FromSeconds(5), TimeSpan.FromHours(1)], fired);
    }

    [Fact]
    public async Task It_fires_early_where_a_timer_cannot_wait_so_long_and_never_once_it_is_disposed()
    {
        var fired = 0;
        var timer = new DueTimer(_clock, () => fired++);
        timer.Arm(_clock.GetTimestamp(), TimeSpan.FromDays(3650));
        _clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal(1, fired);
        await timer.DisposeAsync();
        timer.Arm(_clock.GetTimestamp(), TimeSpan.Zero);
        _clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal((1, 0), (fired, _clock.TimerCount));
    }
}
