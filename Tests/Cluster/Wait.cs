namespace OrleansMq.Tests.Cluster;

/// <summary>Waits for conditions.</summary>
internal static class Wait
{
    /// <summary>The deadline for events that take milliseconds, on a busy machine.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    /// <summary>Waits until a condition holds. A call whose answer asks for a retry is retried.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="what">What is awaited, for the error message.</param>
    /// <param name="state">Further state for the error message.</param>
    /// <param name="deadline">The deadline; <see cref="Deadline"/> by default.</param>
    public static async Task UntilAsync(Func<Task<bool>> condition, string what, Func<Task<string>>? state = null,
        TimeSpan? deadline = null)
    {
        var began = DateTime.UtcNow;
        while (true)
        {
            string? refusal = null;
            try
            {
                if (await condition())
                    return;
            }
            catch (BrokerException again) when (again.Action == ErrorAction.Retry)
            {
                refusal = again.Message;
            }
            if (DateTime.UtcNow - began >= (deadline ?? Deadline))
                Assert.Fail($"not in time: {what}\n{refusal}{(state is null ? "" : $"\n{await state()}")}");
            await Task.Delay(5);
        }
    }

    /// <summary>Retries a call until its answer is not a retriable error, and returns that answer.</summary>
    public static async Task<T> AnsweredAsync<T>(Func<ValueTask<T>> call)
    {
        T answer = default!;
        await UntilAsync(async () =>
        {
            answer = await call();
            return true;
        }, "an answer");
        return answer;
    }

    /// <summary>Fails with the exception of work that failed in the background. What it would have brought is not waited for.</summary>
    public static void Demand(params IEnumerable<Task> work) =>
        Assert.All(work, static task => Assert.False(task.IsFaulted || task.IsCanceled, $"It has failed: {task.Exception}"));
}
