namespace OrleansMq.Samples.Orders;

/// <summary>
/// Retries grain calls as every caller has to. An error's <see cref="ErrorAction"/> tells whether to retry. A silo that dies during a call
/// shows as a timeout or an Orleans exception, after which the outcome is unknown. All calls here can be repeated safely.
/// </summary>
internal static class Retrying
{
    // A failover takes about a second. After a whole minute something else is wrong.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    // A client is not notified that the silo serving its call has died, so calls get a shorter timeout than Orleans' default.
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private static int _repeated;

    /// <summary>How many calls were retried.</summary>
    public static int Repeated => Volatile.Read(ref _repeated);

    /// <summary>Makes a call that throws its errors.</summary>
    public static Task<T> CallAsync<T>(Func<Task<T>> call, CancellationToken cancellationToken) =>
        CallAsync(call, static _ => (ErrorCode.None, null), cancellationToken);

    /// <summary>Makes a call of the data path, which returns its errors.</summary>
    public static async Task<T> CallAsync<T>(Func<Task<T>> call, Func<T, (ErrorCode Code, string? Message)> outcome,
        CancellationToken cancellationToken)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (true)
        {
            try
            {
                var result = await call().WaitAsync(CallTimeout, cancellationToken);
                var (code, message) = outcome(result);
                if (code == ErrorCode.None)
                    return result;
                throw new BrokerException(code, message ?? code.ToString());
            }
            catch (Exception e) when (MayRetry(e) && DateTime.UtcNow < deadline)
            {
                Interlocked.Increment(ref _repeated);
                await Task.Delay(Pause, cancellationToken);
            }
        }
    }

    private static bool MayRetry(Exception e) =>
        e is TimeoutException or OrleansException || e is BrokerException { Action: ErrorAction.Retry };
}
