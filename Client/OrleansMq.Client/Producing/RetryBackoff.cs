namespace OrleansMq.Client;

/// <summary>Computes the wait before a retry.</summary>
internal static class RetryBackoff
{
    /// <summary>Returns a wait that doubles with each attempt up to a limit. A jitter of ±20 % prevents clients from retrying all at
    /// once.</summary>
    /// <param name="attempt">The number of the failed attempt, from 1.</param>
    /// <param name="first">The wait after the first attempt.</param>
    /// <param name="limit">The longest wait, before jitter.</param>
    /// <param name="random">The jitter, from 0 to below 1.</param>
    public static TimeSpan For(int attempt, TimeSpan first, TimeSpan limit, double random)
    {
        const double Jitter = 0.2;
        var doublings = Math.Clamp(attempt - 1, 0, 30);
        var wait = Math.Min(first.TotalMilliseconds * (1L << doublings), limit.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(wait * (1 - Jitter + (2 * Jitter * random)));
    }
}
