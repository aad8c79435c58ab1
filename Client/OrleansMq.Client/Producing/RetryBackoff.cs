namespace OrleansMq.Client;

/// <summary>How long to wait before an attempt is repeated.</summary>
internal static class RetryBackoff
{
    /// <summary>Doubles with each attempt up to a limit, give or take a fifth, so that many clients do not come back all at once.</summary>
    /// <param name="attempt">The attempt that failed: 1 for the first.</param>
    /// <param name="first">The wait after the first.</param>
    /// <param name="limit">The longest wait, before jitter.</param>
    /// <param name="random">0 to below 1.</param>
    public static TimeSpan For(int attempt, TimeSpan first, TimeSpan limit, double random)
    {
        const double Jitter = 0.2;
        var doublings = Math.Clamp(attempt - 1, 0, 30);
        var wait = Math.Min(first.TotalMilliseconds * (1L << doublings), limit.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(wait * (1 - Jitter + (2 * Jitter * random)));
    }
}
