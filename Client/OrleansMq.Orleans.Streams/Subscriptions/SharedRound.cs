namespace OrleansMq.Streams;

/// <summary>Runs an operation for many callers, one at a time. A caller shares only a run that began after its call. Thread-safe.</summary>
internal sealed class SharedRound(Func<Task> run)
{
    private readonly Lock _lock = new();
    private Task _current = Task.CompletedTask;
    private Task? _next;

    /// <summary>Completes with a run that began after the call, and fails as it does.</summary>
    public Task RunAsync()
    {
        lock (_lock)
        {
            if (_next is not null)
                return _next;
            if (_current.IsCompleted)
                return _current = Task.Run(run);
            return _next = AfterAsync(_current);
        }
    }

    private async Task AfterAsync(Task current)
    {
        // The caller stores this task first.
        await current.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        Task mine;
        lock (_lock)
        {
            // Later callers join the next round.
            mine = _current = Task.Run(run);
            _next = null;
        }
        await mine.ConfigureAwait(false);
    }
}
