namespace OrleansMq.Queues;

/// <summary>How long a returned record is deferred. Pure: the jitter comes from the record, so a decision can be repeated.</summary>
/// <param name="FirstMs">The delay after the first failure, in milliseconds; 0: returned records are available at once.</param>
/// <param name="Multiplier">The factor of each further failure; 1 for a fixed delay.</param>
/// <param name="MostMs">The longest delay, before jitter.</param>
/// <param name="JitterPercent">How much of the delay may be added, 0 to 100.</param>
internal readonly record struct BackoffSchedule(int FirstMs, int Multiplier = 1, int MostMs = int.MaxValue, int JitterPercent = 0)
{
    /// <summary>Returned records are available at once.</summary>
    public static readonly BackoffSchedule None = new(0);

    /// <summary>Returns the delay of a record in milliseconds.</summary>
    /// <param name="offset">The record.</param>
    /// <param name="failures">Its failures, at least 1.</param>
    public long DelayOf(long offset, int failures)
    {
        long delay = Math.Min(FirstMs, MostMs);
        for (var i = 1; i < failures && delay > 0 && delay < MostMs && Multiplier > 1; i++)
            delay = Math.Min(delay * Multiplier, MostMs);
        var most = delay * JitterPercent / 100;
        return most == 0 ? delay : delay + (long)(Mix((ulong)offset * 31 + (ulong)failures) % (ulong)(most + 1));
    }

    // The finalizer of SplitMix64: neighbours get unrelated delays.
    private static ulong Mix(ulong value)
    {
        value = unchecked((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9);
        value = unchecked((value ^ (value >> 27)) * 0x94D049BB133111EB);
        return value ^ (value >> 31);
    }
}
