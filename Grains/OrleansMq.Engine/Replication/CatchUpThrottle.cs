namespace OrleansMq.Replication;

/// <summary>
/// Limits the bytes per second that a broker reads and sends to all catching-up replicas together. Bytes are counted after they are sent;
/// exceeding the limit delays the next send until the debt is paid. Unused capacity does not accumulate. Thread safe.
/// </summary>
/// <param name="time">The broker's clock.</param>
internal sealed class CatchUpThrottle(TimeProvider time)
{
    /// <summary>The smallest read: a lower limit is kept by longer waits.</summary>
    private const int LeastBytes = 4096;

    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private TimeSpan _paidAt;

    /// <summary>The limit in bytes per second; 0 for none.</summary>
    public long MaxBytesPerSecond { get; private set; }

    /// <summary>Sets another limit; debt under the previous one is forgotten.</summary>
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

    /// <summary>Returns how long nothing may be sent; zero for now.</summary>
    public TimeSpan Wait()
    {
        lock (_lock)
        {
            var wait = _paidAt - time.GetElapsedTime(_started);
            return MaxBytesPerSecond > 0 && wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>Returns the most bytes to read at a time, so that a low limit does not cause pushes many seconds apart.</summary>
    /// <param name="most">The most bytes without a limit, unless that is less than the smallest read.</param>
    public int Portion(int most)
    {
        lock (_lock)
            return (int)Math.Max(LeastBytes, MaxBytesPerSecond > 0 ? Math.Min(MaxBytesPerSecond / 4, most) : most);
    }

    /// <summary>Counts bytes that were read for sending.</summary>
    public void Count(long bytes)
    {
        lock (_lock)
        {
            if (MaxBytesPerSecond > 0)
                _paidAt = PaidAt(_paidAt, time.GetElapsedTime(_started), bytes, MaxBytesPerSecond);
        }
    }

    /// <summary>Computes when the debt is paid. Pure.</summary>
    internal static TimeSpan PaidAt(TimeSpan before, TimeSpan now, long bytes, long maxBytesPerSecond) =>
        (before > now ? before : now) + TimeSpan.FromSeconds((double)bytes / maxBytesPerSecond);
}
