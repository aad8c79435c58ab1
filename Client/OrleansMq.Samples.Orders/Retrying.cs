namespace OrleansMq.Samples.Orders;

/// <summary>
/// What every caller of the grains does: an error says by its <see cref="ErrorAction"/> whether to retry; a silo that dies during a call
/// shows as a timeout or an Orleans exception, after which the outcome is unknown. Calls here may be sent again in any case.
/// </summary>
internal static class Retrying
{
    // A partition has another leader within a second or so; a whole minute says that more is wrong.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    // Nobody tells a client that the silo has died which worked on its call, so that a call gets less time than Orleans would give it.
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private static int _repeated;

    /// <summary>How many calls were sent again.</summary>
    public static int Repeated => Volatile.Read(ref _repeated);

    /// <summary>A call that throws its errors.</summary>
    public static Task<T> CallAsync<T>(Func<Task<T>> call, CancellationToken cancellationToken) =>
        CallAsync(call, static _ => (ErrorCode.None, null), cancellationToken);

    /// <summary>A call of the data path, which returns its errors.</summary>
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
