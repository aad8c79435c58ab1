namespace OrleansMq.Partitions;

/// <summary>
/// The readers that wait for records of one partition. A waiter is armed before the reader looks whether there is something: what becomes
/// visible after that look finds the waiter.
/// </summary>
internal sealed class FetchWaiters
{
    private readonly Lock _lock = new();
    private List<FetchWaiter>? _waiting;
    private long _visibleBytes;
    private int _count;

    /// <summary>Bytes that became visible since the partition was opened.</summary>
    public long VisibleBytes => Interlocked.Read(ref _visibleBytes);

    /// <summary>Registers a waiter for whatever comes next.</summary>
    /// <param name="group">A wait for several partitions that this one is a part of; null for a wait of its own.</param>
    public FetchWaiter Arm(FetchWait? group = null)
    {
        var waiter = new FetchWaiter(this, group);
        lock (_lock)
        {
            (_waiting ??= []).Add(waiter);
            Interlocked.Increment(ref _count);
            waiter.Baseline = _visibleBytes;
        }
        return waiter;
    }

    /// <summary>Called when the high watermark has moved over so many more bytes.</summary>
    public void Advance(long bytes)
    {
        Interlocked.Add(ref _visibleBytes, bytes); // A full fence: the high watermark is published before the count is read.
        if (Volatile.Read(ref _count) == 0)
            return;
        lock (_lock)
        {
            // The last one may have stopped waiting since the count was read.
            if (_waiting is null)
                return;
            foreach (var waiter in _waiting)
                waiter.Notice(Interlocked.Read(ref _visibleBytes));
        }
    }

    /// <summary>Wakes everyone: the partition will have no more records, and says why.</summary>
    public void WakeAll()
    {
        lock (_lock)
        {
            foreach (var waiter in _waiting ?? [])
                waiter.Wake();
        }
    }

    internal void Disarm(FetchWaiter waiter)
    {
        lock (_lock)
        {
            if (_waiting is null || !_waiting.Remove(waiter))
                return;
            Interlocked.Decrement(ref _count);
            if (_waiting.Count == 0)
                _waiting = null;
        }
    }
}

/// <summary>One reader that waits. Dispose it when it has stopped waiting.</summary>
internal sealed class FetchWaiter(FetchWaiters owner, FetchWait? group) : IDisposable
{
    private readonly TaskCompletionSource? _woken = group is null ? new(TaskCreationOptions.RunContinuationsAsynchronously) : null;
    private long _target = long.MaxValue;
    private long _baseline;

    /// <summary>The bytes visible when it was armed (of a group's: when it was told last), counted from the partition's opening.</summary>
    internal long Baseline
    {
        get => Volatile.Read(ref _baseline);
        set => Volatile.Write(ref _baseline, value);
    }

    /// <summary>
    /// Completes when <paramref name="bytes"/> more can be read than when the waiter was armed, or the time is over, or the partition has
    /// nothing more to give.
    /// </summary>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public async Task WaitAsync(long bytes, TimeSpan time, TimeProvider clock, CancellationToken cancellationToken)
    {
        Volatile.Write(ref _target, Baseline + bytes);
        Interlocked.MemoryBarrier();
        Notice(owner.VisibleBytes); // Something may have come since the reader looked.
        if (_woken!.Task.IsCompleted)
            return;
        using var timer = clock.CreateTimer(static waiter => ((FetchWaiter)waiter!).Wake(), this, time, Timeout.InfiniteTimeSpan);
        using var registration = cancellationToken.UnsafeRegister(static (waiter, token) =>
            ((FetchWaiter)waiter!)._woken!.TrySetCanceled(token), this);
        await _woken.Task.ConfigureAwait(false);
    }

    internal void Notice(long visibleBytes)
    {
        if (group is not null)
            Tell(group, visibleBytes);
        else if (visibleBytes >= Volatile.Read(ref _target))
            Wake();
    }

    internal void Wake()
    {
        group?.Wake();
        _woken?.TrySetResult();
    }

    // Each byte is told once, whoever comes first.
    private void Tell(FetchWait group, long visibleBytes)
    {
        var before = Volatile.Read(ref _baseline);
        while (visibleBytes > before)
        {
            var seen = Interlocked.CompareExchange(ref _baseline, visibleBytes, before);
            if (seen == before)
            {
                group.Arrive(visibleBytes - before);
                return;
            }
            before = seen;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => owner.Disarm(this);
}
