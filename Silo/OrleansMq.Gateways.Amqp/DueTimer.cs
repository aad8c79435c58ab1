namespace OrleansMq.Gateways.Amqp;

/// <summary>A timer that fires once, at the earliest of the times that it is armed for; it is then armed again where there is more to wait
/// for. It may fire early. Thread safe.</summary>
/// <param name="time">The clock.</param>
/// <param name="due">What is called, on a thread of the clock.</param>
internal sealed class DueTimer(TimeProvider time, Action due) : IAsyncDisposable
{
    // Timers of .NET take no more than 49 days.
    private static readonly TimeSpan MaxWait = TimeSpan.FromDays(1);

    private readonly Lock _lock = new();
    private ITimer? _timer;
    // When it fires, as a timestamp; the largest: it is not armed.
    private long _at = long.MaxValue;
    private bool _isDisposed;

    /// <summary>Has it fire when a time has passed, unless it fires before.</summary>
    /// <param name="since">From when on, a timestamp of the clock.</param>
    /// <param name="wait">How long, zero or more.</param>
    public void Arm(long since, TimeSpan wait)
    {
        var at = since + (long)(Math.Min(wait.TotalSeconds, MaxWait.TotalSeconds) * time.TimestampFrequency);
        if (at >= Volatile.Read(ref _at))
            return;
        lock (_lock)
        {
            if (at >= _at || _isDisposed)
                return;
            Volatile.Write(ref _at, at);
            var left = time.GetElapsedTime(time.GetTimestamp(), at);
            _timer ??= time.CreateTimer(static one => ((DueTimer)one!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(left > TimeSpan.Zero ? left : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _isDisposed = true;
            return _timer?.DisposeAsync() ?? default;
        }
    }

    private void Fire()
    {
        lock (_lock)
        {
            if (_isDisposed)
                return;
            Volatile.Write(ref _at, long.MaxValue);
        }
        due();
    }
}
