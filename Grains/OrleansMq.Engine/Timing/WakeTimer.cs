namespace OrleansMq.Timing;

/// <summary>
/// A timer that wakes its owner when a time has passed since a moment of a clock, which may lie back. A clock that a test advances while
/// the timer is being set makes it neither late nor lost: it is then set again. Its owner sets it from one thread at a time.
/// </summary>
internal sealed class WakeTimer : IDisposable, IAsyncDisposable
{
    // Timers of the system have no finer resolution.
    private static readonly TimeSpan Resolution = TimeSpan.FromMilliseconds(1);
    // What timers can wait at most. Who is woken too early sets the timer again.
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(int.MaxValue);

    private readonly TimeProvider _clock;
    private readonly ITimer _timer;

    /// <summary>Creates a timer that is not set.</summary>
    public WakeTimer(TimeProvider clock, Action wake)
    {
        _clock = clock;
        _timer = clock.CreateTimer(static wake => ((Action)wake!)(), wake, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Wakes once when a time has passed since a moment; at once, if it has.</summary>
    /// <param name="time">The time. Rounded up to milliseconds.</param>
    /// <param name="since">The moment, a timestamp of the clock.</param>
    public void Set(TimeSpan time, long since)
    {
        for (var isSet = false; !isSet;)
        {
            var now = _clock.GetTimestamp();
            var left = time - _clock.GetElapsedTime(since, now);
            _timer.Change(left <= TimeSpan.Zero ? TimeSpan.Zero : left >= Longest ? Longest
                : TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
            isSet = left <= TimeSpan.Zero || _clock.GetElapsedTime(now) <= Resolution;
        }
    }

    /// <summary>Wakes no more, unless a wake has begun.</summary>
    public void Stop() => _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _timer.DisposeAsync();
}
