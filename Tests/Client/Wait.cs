namespace OrleansMq.Tests.Client;

/// <summary>Waits for other threads with a deadline that only a broken test reaches.</summary>
internal static class Wait
{
    public static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>Waits until a condition holds.</summary>
    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"Waited {Deadline} for: {what}.");
            await Task.Delay(1);
        }
    }

    /// <summary>Awaits the task, within the deadline.</summary>
    public static Task<T> SoonAsync<T>(this Task<T> task) => task.WaitAsync(Deadline);

    /// <inheritdoc cref="SoonAsync{T}(Task{T})"/>
    public static Task<T> SoonAsync<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Deadline);

    /// <inheritdoc cref="SoonAsync{T}(Task{T})"/>
    public static Task SoonAsync(this Task task) => task.WaitAsync(Deadline);

    /// <inheritdoc cref="SoonAsync{T}(Task{T})"/>
    public static Task SoonAsync(this ValueTask task) => task.AsTask().WaitAsync(Deadline);
}
