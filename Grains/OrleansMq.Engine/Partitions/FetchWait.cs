namespace OrleansMq.Partitions;

/// <summary>
/// One reader's wait for records of several partitions at once: <see cref="Add"/> every partition, read them, and where that was too little
/// await <see cref="WaitAsync"/>. What becomes visible after a partition was added is not missed. It has no time of its own: whoever keeps
/// the deadlines calls <see cref="Wake"/>. Dispose it when it has stopped waiting.
/// </summary>
public sealed class FetchWait : IDisposable
{
    private readonly TaskCompletionSource _woken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<FetchWaiter> _armed = [];
    private long _missing = long.MaxValue;
    private long _arrived;

    /// <summary>Whether it was woken.</summary>
    public bool IsOver => _woken.Task.IsCompleted;

    /// <summary>Looks out for what becomes visible in a partition.</summary>
    public void Add(Partition partition) => _armed.Add(partition.Waiters.Arm(this));

    /// <summary>Completes when so many bytes have become visible since the partitions were added, in all of them together; or one of them
    /// has nothing more to give; or it was woken.</summary>
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
