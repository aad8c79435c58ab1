namespace OrleansMq.Tests.Cluster;

/// <summary>Waits for conditions.</summary>
internal static class Wait
{
    /// <summary>For what happens in milliseconds, on a machine that is busy.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    public static Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    /// <summary>Waits until it has happened; a call whose answer says that it is to be made again is made again.</summary>
    /// <param name="condition">Whether it has happened.</param>
    /// <param name="what">What is waited for.</param>
    /// <param name="state">What is said beside it where it does not happen in time.</param>
    /// <param name="deadline">How long it may take; <see cref="Deadline"/> unless told.</param>
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

    /// <summary>What a call answers that does not ask to be made again.</summary>
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
}
