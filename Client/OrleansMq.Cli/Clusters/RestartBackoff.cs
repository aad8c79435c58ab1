namespace OrleansMq.Cli.Clusters;

/// <summary>How long to wait before a process that exited unexpectedly is restarted.</summary>
internal static class RestartBackoff
{
    // A broker that was killed or evicted is restarted almost at once.
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(250);

    // A broker that cannot start fills the terminal no faster than this.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    /// <summary>Returns a wait that doubles with each consecutive failed start, up to a limit.</summary>
    /// <param name="failedStarts">0 after the exit of a process that had been ready.</param>
    public static TimeSpan After(int failedStarts) =>
        TimeSpan.FromTicks(Math.Min(Longest.Ticks, First.Ticks << Math.Min(failedStarts, 16)));
}
