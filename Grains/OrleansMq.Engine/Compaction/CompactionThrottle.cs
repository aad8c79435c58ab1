namespace OrleansMq.Compaction;

/// <summary>Limits the bytes per second of a cleaning, to leave disk bandwidth to requests. Blocks the cleaning thread.</summary>
/// <param name="maxBytesPerSecond">0 for no limit.</param>
/// <param name="time">The broker's clock.</param>
internal sealed class CompactionThrottle(long maxBytesPerSecond, TimeProvider time)
{
    // Shorter waits are not worth a thread switch.
    private static readonly TimeSpan MinWait = TimeSpan.FromMilliseconds(5);

    private readonly long _start = time.GetTimestamp();
    private long _bytes;

    /// <summary>Counts bytes, and waits until the rate permits them.</summary>
    /// <exception cref="OperationCanceledException">The broker is closing.</exception>
    public void Wait(long bytes, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (maxBytesPerSecond <= 0)
            return;
        _bytes += bytes;
        var wait = WaitFor(_bytes, maxBytesPerSecond, time.GetElapsedTime(_start));
        if (wait >= MinWait)
            Task.Delay(wait, time, cancellationToken).GetAwaiter().GetResult();
    }

    /// <summary>Returns how long to wait after a number of bytes in an elapsed time. Pure.</summary>
    internal static TimeSpan WaitFor(long bytes, long maxBytesPerSecond, TimeSpan elapsed)
    {
        var due = TimeSpan.FromSeconds((double)bytes / maxBytesPerSecond);
        return due > elapsed ? due - elapsed : TimeSpan.Zero;
    }
}
