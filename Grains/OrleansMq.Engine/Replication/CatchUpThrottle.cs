namespace OrleansMq.Replication;

/// <summary>
/// Keeps what a broker reads and sends to replicas that catch up below so many bytes a second, all of them together. What is sent is
/// counted afterwards: who has sent too much waits until it is paid off. Nobody saves up: after a silence as much may go at once as after
/// none. Thread safe.
/// </summary>
/// <param name="time">The broker's clock.</param>
internal sealed class CatchUpThrottle(TimeProvider time)
{
    /// <summary>The least that is read at a time: a limit below it is kept by waiting longer.</summary>
    private const int LeastBytes = 4096;

    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private TimeSpan _paidAt;

    /// <summary>Bytes a second; 0 for no limit.</summary>
    public long MaxBytesPerSecond { get; private set; }

    /// <summary>Goes by another limit from now on; what is owed by the one before is forgotten.</summary>
    public void Limit(long maxBytesPerSecond)
    {
        lock (_lock)
        {
            if (maxBytesPerSecond == MaxBytesPerSecond)
                return;
            MaxBytesPerSecond = maxBytesPerSecond;
            _paidAt = TimeSpan.Zero;
        }
    }

    /// <summary>For how long nothing may be sent; zero: now.</summary>
    public TimeSpan Wait()
    {
        lock (_lock)
        {
            var wait = _paidAt - time.GetElapsedTime(_started);
            return MaxBytesPerSecond > 0 && wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>The most to read at a time, so that a low limit does not come in pushes that are many seconds apart.</summary>
    /// <param name="most">What is read without a limit.</param>
    public int Portion(int most)
    {
        lock (_lock)
            return MaxBytesPerSecond > 0 ? (int)Math.Clamp(MaxBytesPerSecond / 4, LeastBytes, most) : most;
    }

    /// <summary>So much was read to be sent.</summary>
    public void Count(long bytes)
    {
        lock (_lock)
        {
            if (MaxBytesPerSecond > 0)
                _paidAt = PaidAt(_paidAt, time.GetElapsedTime(_started), bytes, MaxBytesPerSecond);
        }
    }

    /// <summary>When all is paid off. Pure.</summary>
    internal static TimeSpan PaidAt(TimeSpan before, TimeSpan now, long bytes, long maxBytesPerSecond) =>
        (before > now ? before : now) + TimeSpan.FromSeconds((double)bytes / maxBytesPerSecond);
}
