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
    private readonly Action _wake;
    private readonly ITimer _timer;

    /// <summary>Creates a timer that is not set.</summary>
    public WakeTimer(TimeProvider clock, Action wake)
    {
        (_clock, _wake) = (clock, wake);
        _timer = clock.CreateTimer(static timer => ((WakeTimer)timer!)._wake(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Wakes once when a time has passed since a moment; at once, on the thread pool, if it has: a clock that stands still would
    /// not.</summary>
    /// <param name="time">The time. Rounded up to milliseconds.</param>
    /// <param name="since">The moment, a timestamp of the clock.</param>
    public void Set(TimeSpan time, long since)
    {
        var now = _clock.GetTimestamp();
        while (time - _clock.GetElapsedTime(since, now) is var left && left > TimeSpan.Zero)
        {
            _timer.Change(left >= Longest ? Longest : TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds)),
                Timeout.InfiniteTimeSpan);
            var set = _clock.GetTimestamp();
            if (_clock.GetElapsedTime(now, set) <= Resolution)
                return;
            now = set;
        }
        Stop();
        ThreadPool.UnsafeQueueUserWorkItem(static timer => timer._wake(), this, preferLocal: false);
    }

    /// <summary>Wakes no more, unless a wake has begun.</summary>
    public void Stop() => _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _timer.DisposeAsync();
}
