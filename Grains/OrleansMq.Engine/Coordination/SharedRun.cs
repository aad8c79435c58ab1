namespace OrleansMq.Coordination;

/// <summary>
/// A costly read that many callers share: one runs at a time, and those that ask meanwhile share the next. A caller's result is read after
/// its call, so that it has what was stored before. Thread safe.
/// <para>With a limit of time the next run begins beside one that is late, and answers its callers, too: the answer of the late one may be
/// lost. Where a caller's own run fails, the caller does.</para>
/// </summary>
/// <param name="run">Reads. It is not cancelled with its callers.</param>
/// <param name="late">After how long a run is late; null: never.</param>
/// <param name="time">The clock; null: the system's.</param>
internal sealed class SharedRun<T>(Func<Task<T>> run, TimeSpan? late = null, TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly Lock _gate = new();
    private Task<T>? _running;
    private Task<T>? _next;
    private long _since;
    private long _number;

    /// <summary>Returns a result that is read from now on.</summary>
    public Task<T> ReadAsync(CancellationToken cancellationToken) =>
        late is { } limit ? ReadWithinAsync(limit, cancellationToken) : Join(after: long.MaxValue).Run.WaitAsync(cancellationToken);

    // Each run that it joins begins after the call.
    private async Task<T> ReadWithinAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        var (own, number) = Join(after: long.MaxValue);
        for (var newest = own; ; (newest, number) = Join(after: number))
        {
            await WaitAsync(Task.WhenAny(own, newest)).ConfigureAwait(false);
            if (own.IsCompleted)
                return await own.ConfigureAwait(false);
            if (newest.IsCompletedSuccessfully)
                return await newest.ConfigureAwait(false);
            if (newest.IsCompleted)
                await WaitAsync(own).ConfigureAwait(false);
        }

        async Task WaitAsync(Task task)
        {
            await task.WaitAsync(limit, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    // The newest run, where it is a later one than that of this number; else one that begins from now on.
    private (Task<T> Run, long Number) Join(long after)
    {
        lock (_gate)
        {
            if (_number > after && _running is { IsCompleted: false } or { IsCompletedSuccessfully: true })
                return (_running!, _number);
            if (_running is { IsCompleted: false } running)
                return (_next ??= RunAfterAsync(running, _since), _number + 1);
            return (Start(), _number);
        }
    }

    private async Task<T> RunAfterAsync(Task before, long since)
    {
        var left = late - _time.GetElapsedTime(since);
        await before.WaitAsync(left is null ? Timeout.InfiniteTimeSpan : left > TimeSpan.Zero ? left.Value : TimeSpan.Zero, _time)
            .ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        Task<T> started;
        lock (_gate)
        {
            _next = null;
            started = Start();
        }
        return await started.ConfigureAwait(false);
    }

    // Under the lock.
    private Task<T> Start()
    {
        (_since, _number) = (_time.GetTimestamp(), _number + 1);
        return _running = Task.Run(run, CancellationToken.None);
    }
}
