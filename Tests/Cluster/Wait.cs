namespace OrleansMq.Tests.Cluster;

/// <summary>Waits for conditions.</summary>
internal static class Wait
{
    /// <summary>For what happens in milliseconds, on a machine that is busy.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var began = DateTime.UtcNow;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow - began < Deadline, $"not in time: {what}");
            await Task.Delay(5);
        }
    }
}
