namespace OrleansMq.Streams;

/// <summary>Retries what a failover interrupts, for a grain that waits.</summary>
internal static class Retries
{
    // A grain's call times out after 30 seconds by default; its caller should hear the cause before.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>Calls until the answer is not an error that asks for a retry, or the time is over.</summary>
    public static async Task<T> RunAsync<T>(Func<Task<T>> call)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                return await call().ConfigureAwait(false);
            }
            catch (OrleansMqException failure)
                when (failure.Action == ErrorAction.Retry && TimeProvider.System.GetElapsedTime(began) < Longest)
            {
                await Task.Delay(Pause).ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc cref="RunAsync{T}"/>
    public static Task RunAsync(Func<Task> call) => RunAsync(async () =>
    {
        await call().ConfigureAwait(false);
        return true;
    });
}
