namespace OrleansMq.Consumers;

/// <summary>Does something until it has succeeded once. Thread-safe.</summary>
internal sealed class Once(Func<Task> run)
{
    private readonly Lock _lock = new();
    private Task? _task;

    /// <summary>Completes when it has succeeded. After a failure the next call tries again.</summary>
    public Task EnsureAsync()
    {
        lock (_lock)
        {
            if (_task is null || _task.IsFaulted || _task.IsCanceled)
                _task = Task.Run(run);
            return _task;
        }
    }
}
