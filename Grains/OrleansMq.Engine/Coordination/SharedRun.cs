namespace OrleansMq.Coordination;

/// <summary>
/// A costly read that many callers share: one runs at a time, and those that ask meanwhile share the next. A caller's result is read after
/// its call, so that it has what was stored before. Thread safe.
/// </summary>
/// <param name="run">Reads. It is not cancelled with its callers.</param>
internal sealed class SharedRun<T>(Func<Task<T>> run)
{
    private readonly Lock _gate = new();
    private Task<T>? _running;
    private Task<T>? _next;

    /// <summary>Returns a result that is read from now on.</summary>
    public Task<T> ReadAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_running is { IsCompleted: false } running)
                return (_next ??= RunAfterAsync(running)).WaitAsync(cancellationToken);
            _running = Task.Run(run, CancellationToken.None);
            return _running.WaitAsync(cancellationToken);
        }
    }

    private async Task<T> RunAfterAsync(Task before)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        Task<T> started;
        lock (_gate)
            (started, _next) = (_running = Task.Run(run, CancellationToken.None), null);
        return await started.ConfigureAwait(false);
    }
}
