namespace OrleansMq.Compaction;

/// <summary>Keeps a cleaning below so many bytes a second, so that it leaves the disk to those who wait for it. Blocks the thread that
/// cleans.</summary>
/// <param name="maxBytesPerSecond">0 for no limit.</param>
/// <param name="time">The broker's clock.</param>
internal sealed class CompactionThrottle(long maxBytesPerSecond, TimeProvider time)
{
    // Shorter waits than this are not worth a switch of threads.
    private static readonly TimeSpan MinWait = TimeSpan.FromMilliseconds(5);

    private readonly long _start = time.GetTimestamp();
    private long _bytes;

    /// <summary>Counts bytes, and waits until they are allowed.</summary>
    /// <exception cref="OperationCanceledException">The broker closes.</exception>
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

    /// <summary>How long to wait after so many bytes in so long a time. Pure.</summary>
    internal static TimeSpan WaitFor(long bytes, long maxBytesPerSecond, TimeSpan elapsed)
    {
        var due = TimeSpan.FromSeconds((double)bytes / maxBytesPerSecond);
        return due > elapsed ? due - elapsed : TimeSpan.Zero;
    }
}
