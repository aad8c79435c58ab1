namespace OrleansMq.Partitions;

/// <summary>
/// One reader's wait for records of several partitions. The reader adds every partition (<see cref="Add"/>), reads them, and if that was
/// too little awaits <see cref="WaitAsync"/>. Records that become visible after a partition was added are not missed. The wait has no
/// timer: the owner of the deadlines calls <see cref="Wake"/>. The reader disposes it when it no longer waits.
/// </summary>
internal sealed class FetchWait : IDisposable
{
    private readonly TaskCompletionSource _woken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<FetchWaiter> _armed = [];
    private long _missing = long.MaxValue;
    private long _arrived;

    /// <summary>Whether the wait has ended.</summary>
    public bool IsOver => _woken.Task.IsCompleted;

    /// <summary>Counts what becomes visible in a partition from now on.</summary>
    public void Add(Partition partition) => _armed.Add(partition.Waiters.Arm(this));

    /// <summary>Completes when this many bytes have become visible in all partitions together since they were added, when one of the
    /// partitions ends, or when it is woken.</summary>
    public Task WaitAsync(long bytes)
    {
        Volatile.Write(ref _missing, bytes);
        Interlocked.MemoryBarrier();
        Arrive(0);
        return _woken.Task;
    }

    /// <summary>Ends the wait.</summary>
    public void Wake() => _woken.TrySetResult();

    /// <inheritdoc/>
    public void Dispose()
    {
        Wake();
        foreach (var waiter in _armed)
            waiter.Dispose();
        _armed.Clear();
    }

    internal void Arrive(long bytes)
    {
        if (Interlocked.Add(ref _arrived, bytes) >= Volatile.Read(ref _missing))
            Wake();
    }
}
