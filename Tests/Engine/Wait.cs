using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine;

/// <summary>Waits for what other threads do, in real time.</summary>
internal static class Wait
{
    /// <summary>Waits until the condition holds. Fails after the deadline.</summary>
    public static Task UntilAsync(Func<bool> condition, TimeSpan deadline) => UntilAsync(() => Task.FromResult(condition()), deadline);

    /// <summary>Waits until the condition holds. Fails after the deadline.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, TimeSpan deadline)
    {
        using var cancellation = new CancellationTokenSource(deadline);
        while (!await condition())
            await Task.Delay(1, cancellation.Token);
    }

    /// <summary>Asks a coordinator again while it reads what it could not store. Where the store fails once more the coordinator waits on
    /// its clock, which this advances.</summary>
    /// <param name="ask">The request.</param>
    /// <param name="isLoading">Whether an answer says so.</param>
    /// <param name="clock">Its clock.</param>
    /// <param name="deadline">Fails after it, in real time.</param>
    public static async Task<T> WhileLoadingAsync<T>(Func<Task<T>> ask, Func<T, bool> isLoading, ManualClock clock, TimeSpan deadline)
    {
        using var cancellation = new CancellationTokenSource(deadline);
        while (true)
        {
            var answer = await ask();
            if (!isLoading(answer))
                return answer;
            clock.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Delay(1, cancellation.Token);
        }
    }
}
