namespace OrleansMq.Cli.Clusters;

/// <summary>How long to wait before a process that ended by itself is started again.</summary>
internal static class RestartBackoff
{
    // A broker that was killed or evicted is wanted back at once.
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(250);

    // One that cannot start fills the terminal no faster than this.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    /// <summary>Doubles with each start in a row that failed, up to a limit.</summary>
    /// <param name="failedStarts">0 after the end of one that had been ready.</param>
    public static TimeSpan After(int failedStarts) =>
        TimeSpan.FromTicks(Math.Min(Longest.Ticks, First.Ticks << Math.Min(failedStarts, 16)));
}
