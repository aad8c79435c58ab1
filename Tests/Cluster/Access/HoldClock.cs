using System.Collections.Concurrent;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>A clock that advances on command, and knows the delays that are armed on it.</summary>
internal sealed class HoldClock : TimeProvider
{
    private readonly ManualClock _clock = new();
    private readonly ConcurrentDictionary<ArmedTimer, TimeSpan> _armed = new();

    // Records of a clock that is ahead are refused.
    public HoldClock() => _clock.Ahead = DateTimeOffset.FromUnixTimeMilliseconds(TestBatches.FirstTimestamp) - _clock.GetUtcNow();

    public override long TimestampFrequency => _clock.TimestampFrequency;

    /// <summary>The delays that have not passed.</summary>
    public IReadOnlyCollection<TimeSpan> Armed => [.. _armed.Values];

    public override DateTimeOffset GetUtcNow() => _clock.GetUtcNow();

    public override long GetTimestamp() => _clock.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var armed = new ArmedTimer(this, _clock.CreateTimer(callback, state, dueTime, period));
        if (period == Timeout.InfiniteTimeSpan && dueTime > TimeSpan.Zero)
            _armed[armed] = dueTime;
        return armed;
    }

    public void Advance(TimeSpan time) => _clock.Advance(time);

    /// <summary>Has a delay pass that holds an answer. The broker may arm another of that length for a moment, as it does for its store:
    /// then the clock advances once more.</summary>
    public async Task PassAsync(TimeSpan delay, Task held)
    {
        await Wait.UntilAsync(() =>
        {
            if (!held.IsCompleted && Armed.Contains(delay))
                Advance(delay);
            return held.IsCompleted;
        }, $"an answer after {delay}");
        await held;
    }

    /// <summary>Waits until a delay of that length is armed.</summary>
    public Task ArmedAsync(TimeSpan delay) => Wait.UntilAsync(() => Armed.Contains(delay), $"a delay of {delay}");

    private sealed class ArmedTimer(HoldClock clock, ITimer timer) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            clock._armed.TryRemove(this, out _);
            return timer.Change(dueTime, period);
        }

        public void Dispose()
        {
            clock._armed.TryRemove(this, out _);
            timer.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
