namespace OrleansMq.Client;

/// <summary>Runs pieces of asynchronous work one after the other, in the order in which they were given.</summary>
internal sealed class TaskQueue
{
    private readonly Lock _gate = new();
    private Task _last = Task.CompletedTask;

    /// <summary>Completes when that piece of work has.</summary>
    public Task RunAsync(Func<Task> work)
    {
        lock (_gate)
            return _last = AfterAsync(_last, work);
    }

    private static async Task AfterAsync(Task before, Func<Task> work)
    {
        // Never on the caller's stack: it may hold locks. What became of the work before is its caller's to know.
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        await work().ConfigureAwait(false);
    }
}
