namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>Calls that a fault of the cluster may fail.</summary>
internal static class StreamCalls
{
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(2);

    /// <summary>Calls until there is an answer. An event that is sent again may be in the stream twice.</summary>
    public static Task RepeatAsync(Func<Task> call, string what)
    {
        var last = "";
        return Wait.UntilAsync(async () =>
        {
            try
            {
                await call();
                return true;
            }
            catch (Exception failure) when (failure is OrleansMqException or OrleansException or TimeoutException)
            {
                last = failure.ToString();
                await Task.Delay(50);
                return false;
            }
        }, $"{what} is answered", () => Task.FromResult(last), Longest);
    }
}
