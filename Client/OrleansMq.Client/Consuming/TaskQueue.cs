namespace OrleansMq.Client;

/// <summary>Runs asynchronous work items one at a time, in the order in which they were queued.</summary>
internal sealed class TaskQueue
{
    private readonly Lock _gate = new();
    private Task _last = Task.CompletedTask;

    /// <summary>Queues a work item. Completes when it has.</summary>
    public Task RunAsync(Func<Task> work)
    {
        lock (_gate)
            return _last = AfterAsync(_last, work);
    }

    private static async Task AfterAsync(Task before, Func<Task> work)
    {
        // Never on the caller's stack, which may hold locks. A failure of the previous item belongs to its own caller.
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        await work().ConfigureAwait(false);
    }
}
