using OrleansMq.Timing;

namespace OrleansMq.Partitions;

/// <summary>
/// An actor of a partition: callers post, and turns run one after the other on the thread pool. A turn waits for nothing. Thread safe.
/// </summary>
/// <remarks>The lock guards what waits for the next turn, and nothing else. An exception in a turn is a bug and takes the partition
/// offline.</remarks>
internal abstract class PartitionTurns : IThreadPoolWorkItem
{
    // A clock that is set forward is noticed within a minute.
    private const long LongestTimerMs = 60_000;

    private readonly WakeTimer _timer;
    private readonly Lock _lock = new();
    private List<Action> _inbox = [];
    private List<Action> _turn = [];
    private int _next; // of the turn's actions
    private long _timerAt = long.MaxValue;
    private int _hasFired;
    private bool _isSignalled;
    private bool _isScheduled;

    /// <summary>Prepares the turns.</summary>
    protected PartitionTurns(Partition partition)
    {
        Partition = partition;
        Time = partition.Ports.Log.Time;
        _timer = new WakeTimer(Time, OnTimer);
    }

    /// <summary>The partition.</summary>
    public Partition Partition { get; }
    /// <summary>The broker's clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>Something changed: leadership, lease, high watermark or time. Under any lock.</summary>
    public void Signal()
    {
        lock (_lock)
            _isSignalled = true;
        Schedule();
    }

    /// <summary>Adds an action to a turn. Under any lock.</summary>
    public void Post(Action action)
    {
        lock (_lock)
            _inbox.Add(action);
        Schedule();
    }

    /// <summary>Ends what belongs to a leadership, if the partition serves no more; completes when that is done.</summary>
    public Task EndAsync()
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => ended.TrySetResult());
        return ended.Task;
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        // What is signalled from here on may be missing in what the turn reads.
        lock (_lock)
            _isSignalled = false;
        try
        {
            RunTurn();
        }
        catch (Exception fault)
        {
            Stop(fault);
        }
        // What was posted behind an action that throws has callers, too: they learn that the partition is offline, or has ended.
        while (_next < _turn.Count)
        {
            try
            {
                RunPosted();
            }
            catch (Exception fault)
            {
                Stop(fault);
            }
        }
        // The actions hold payloads.
        _turn.Clear();
        _next = 0;
        lock (_lock)
        {
            _isScheduled = false;
            if (_inbox.Count == 0 && !_isSignalled)
                return;
        }
        Schedule();
    }

    /// <summary>Runs a turn: takes what was posted, carries it out, and sets the timer.</summary>
    protected abstract void RunTurn();

    /// <summary>Takes what was posted: once a turn.</summary>
    protected void TakePosted()
    {
        lock (_lock)
            (_inbox, _turn) = (_turn, _inbox);
    }

    /// <summary>Carries out what was taken.</summary>
    protected void RunPosted()
    {
        while (_next < _turn.Count)
            _turn[_next++]();
    }

    /// <summary>Asks for a turn at a time, or earlier.</summary>
    /// <param name="at">The time, in milliseconds; <see cref="long.MaxValue"/>: there is nothing to wait for.</param>
    /// <param name="now">The time of the turn.</param>
    /// <param name="since">When that was: a timestamp of the clock.</param>
    protected void SetTimer(long at, long now, long since)
    {
        // The timer's clock may be a little ahead: it is then set again.
        var hasFired = Interlocked.Exchange(ref _hasFired, 0) != 0;
        if (at == _timerAt && !hasFired)
            return;
        _timerAt = at;
        if (at == long.MaxValue)
            _timer.Stop();
        else
            _timer.Set(TimeSpan.FromMilliseconds(Math.Clamp(at - now, 1, LongestTimerMs)), since);
    }

    private void Stop(Exception fault) => Partition.GoOffline(StorageFaults.DescribeBug(fault), fault);

    private void OnTimer()
    {
        Volatile.Write(ref _hasFired, 1);
        Signal();
    }

    private void Schedule()
    {
        lock (_lock)
        {
            if (_isScheduled)
                return;
            _isScheduled = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }
}
