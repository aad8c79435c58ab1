namespace OrleansMq.Partitions;

/// <summary>
/// The readers that wait for records of one partition. A reader arms its waiter before it reads: records that become visible after the read
/// find the waiter. The lock guards the list; a partition without waiting readers never takes it.
/// </summary>
internal sealed class FetchWaiters
{
    private readonly Lock _lock = new();
    private List<FetchWaiter>? _waiting;
    private long _visibleBytes;
    private int _count;

    /// <summary>The bytes that became visible since the partition was opened.</summary>
    public long VisibleBytes => Interlocked.Read(ref _visibleBytes);

    /// <summary>Registers a waiter for what becomes visible from now on.</summary>
    /// <param name="group">The wait for several partitions that it belongs to; null for a wait for this one.</param>
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

    /// <summary>Counts bytes that the high watermark has passed, and wakes the readers that have enough.</summary>
    public void Advance(long bytes)
    {
        Interlocked.Add(ref _visibleBytes, bytes); // A full fence: the high watermark is published before the count is read.
        if (Volatile.Read(ref _count) == 0)
            return;
        lock (_lock)
        {
            // The last waiter may have left since the count was read.
            if (_waiting is null)
                return;
            foreach (var waiter in _waiting)
                waiter.Notice(Interlocked.Read(ref _visibleBytes));
        }
    }

    /// <summary>Wakes all readers; the partition then refuses them with the reason.</summary>
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

/// <summary>One reader's wait for one partition. The reader disposes it when it no longer waits.</summary>
internal sealed class FetchWaiter(FetchWaiters owner, FetchWait? group) : IDisposable
{
    private readonly TaskCompletionSource? _woken = group is null ? new(TaskCreationOptions.RunContinuationsAsynchronously) : null;
    private long _target = long.MaxValue;
    private long _baseline;

    /// <summary>The visible bytes, since the partition was opened, when it was armed. In a group: when it last told the group.</summary>
    internal long Baseline
    {
        get => Volatile.Read(ref _baseline);
        set => Volatile.Write(ref _baseline, value);
    }

    /// <summary>
    /// Completes when <paramref name="bytes"/> more can be read than when the waiter was armed, when the time is over, or when the
    /// partition ends.
    /// </summary>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public async Task WaitAsync(long bytes, TimeSpan time, TimeProvider clock, CancellationToken cancellationToken)
    {
        Volatile.Write(ref _target, Baseline + bytes);
        Interlocked.MemoryBarrier();
        Notice(owner.VisibleBytes); // Records may have become visible since the read.
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

    // Concurrent calls tell the group each byte once.
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
