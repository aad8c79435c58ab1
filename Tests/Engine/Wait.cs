namespace OrleansMq.Tests.Engine;

/// <summary>Waits for what other threads do, in real time.</summary>
internal static class Wait
{
    /// <summary>Waits until the condition holds. Fails after the deadline.</summary>
    public static async Task UntilAsync(Func<bool> condition, TimeSpan deadline)
    {
        using var cancellation = new CancellationTokenSource(deadline);
        while (!condition())
            await Task.Delay(1, cancellation.Token);
    }
}
