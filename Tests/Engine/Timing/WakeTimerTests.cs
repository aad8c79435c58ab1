using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Timing;

namespace OrleansMq.Tests.Engine.Timing;

public sealed class WakeTimerTests
{
    private readonly ManualClock _clock = new();
    private int _wakes;

    [Fact]
    public void Wakes_once_when_the_time_has_passed_since_the_moment()
    {
        using var timer = new WakeTimer(_clock, () => _wakes++);
        var since = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(4));
        timer.Set(TimeSpan.FromSeconds(10), since);
        _clock.Advance(TimeSpan.FromSeconds(6) - TimeSpan.FromTicks(1));
        Assert.Equal(0, _wakes);
        _clock.Advance(TimeSpan.FromTicks(1));
        _clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal(1, _wakes);
    }

    [Fact]
    public async Task Wakes_at_once_if_the_time_has_passed_already()
    {
        var woken = new TaskCompletionSource();
        using var timer = new WakeTimer(_clock, () => woken.SetResult());
        var since = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(11));
        timer.Set(TimeSpan.FromSeconds(10), since);
        await woken.Task.WaitAsync(TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task Wakes_also_when_the_time_passes_while_it_is_being_set()
    {
        var woken = new TaskCompletionSource();
        var clock = new AdvancingClock(_clock, TimeSpan.FromDays(1));
        using var timer = new WakeTimer(clock, () => woken.SetResult());
        timer.Set(TimeSpan.FromSeconds(10), clock.GetTimestamp());
        await woken.Task.WaitAsync(TimeSpan.FromMinutes(1));
        _clock.Advance(TimeSpan.FromDays(1));
    }

    [Fact]
    public void Is_not_late_when_the_clock_is_advanced_while_it_is_being_set()
    {
        var clock = new AdvancingClock(_clock, TimeSpan.FromSeconds(6));
        using var timer = new WakeTimer(clock, () => _wakes++);
        timer.Set(TimeSpan.FromSeconds(10), clock.GetTimestamp());
        _clock.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(1, _wakes);
    }

    [Fact]
    public void Stopped_timer_does_not_wake()
    {
        using var timer = new WakeTimer(_clock, () => _wakes++);
        timer.Set(TimeSpan.FromSeconds(10), _clock.GetTimestamp());
        timer.Stop();
        _clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal(0, _wakes);
    }

    /// <summary>Advances just before its timer is set for the first time.</summary>
    private sealed class AdvancingClock(ManualClock clock, TimeSpan by) : TimeProvider
    {
        private bool _hasAdvanced;

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override DateTimeOffset GetUtcNow() => clock.GetUtcNow();

        public override long GetTimestamp() => clock.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            new Timer(this, clock.CreateTimer(callback, state, dueTime, period));

        private sealed class Timer(AdvancingClock owner, ITimer timer) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period)
            {
                if (!owner._hasAdvanced)
                {
                    owner._hasAdvanced = true;
                    owner.Advance();
                }
                return timer.Change(dueTime, period);
            }

            public void Dispose() => timer.Dispose();

            public ValueTask DisposeAsync() => timer.DisposeAsync();
        }

        private void Advance() => clock.Advance(by);
    }
}
