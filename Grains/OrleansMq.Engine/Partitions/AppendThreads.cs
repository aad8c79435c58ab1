namespace OrleansMq.Partitions;

/// <summary>Something an append thread does a piece of.</summary>
internal interface IAppendWork
{
    /// <summary>Does a bounded piece of work; never by two threads at a time, since it is not scheduled again before it has run. Must not
    /// throw.</summary>
    void Run(AppendRound round);
}

/// <summary>
/// The few threads on which all partitions of a broker write and flush: blocking calls that must not take the thread pool's threads. A
/// partition stands in the queue at most once, so the queue is bounded by the number of partitions.
/// </summary>
internal sealed class AppendThreads : IDisposable
{
    private readonly Lock _startLock = new();
    private readonly object _gate = new();
    private readonly Queue<IAppendWork> _queue = new();
    private readonly Thread[] _threads;
    private int _waiting;
    private int _started;
    private bool _stopping;

    /// <summary>Threads that are started as they are needed.</summary>
    public AppendThreads(int count) => _threads = new Thread[Math.Max(1, count)];

    /// <summary>Puts work at the end of the queue.</summary>
    public void Schedule(IAppendWork work)
    {
        bool startOne;
        lock (_gate)
        {
            _queue.Enqueue(work);
            startOne = _waiting == 0 && _started < _threads.Length;
            if (!startOne)
                Monitor.Pulse(_gate);
        }
        if (startOne)
            StartThread();
    }

    /// <summary>Lets what is queued run to its end, then ends the threads.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.PulseAll(_gate);
        }
        lock (_startLock)
        {
            for (var i = 0; i < _started; i++)
                _threads[i].Join();
        }
    }

    private void StartThread()
    {
        lock (_startLock)
        {
            if (_started == _threads.Length)
                return;
            var thread = new Thread(Work) { IsBackground = true, Name = $"append-{_started}" };
            _threads[_started] = thread;
            Volatile.Write(ref _started, _started + 1);
            thread.Start();
        }
    }

    private void Work()
    {
        var round = new AppendRound();
        while (TryTake(out var work))
            work.Run(round);
    }

    private bool TryTake(out IAppendWork work)
    {
        lock (_gate)
        {
            while (!_queue.TryDequeue(out work!))
            {
                if (_stopping)
                    return false;
                _waiting++;
                Monitor.Wait(_gate);
                _waiting--;
            }
            return true;
        }
    }
}

/// <summary>What an append thread needs for one round, kept from round to round so that a round allocates nothing.</summary>
internal sealed class AppendRound
{
    /// <summary>Batches of one round at most: each round may cost a flush, which small batches had better share.</summary>
    public const int MaxBatches = 512;
    /// <summary>Bytes of one round, unless its first batch is larger: long enough a write to be worth a call, short enough for others to
    /// wait for.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>All operations of the round, in the order they came.</summary>
    public List<AppendOperation> Operations { get; } = [];
    /// <summary>Those whose batches are stamped and go out with the next write.</summary>
    public List<AppendOperation> Group { get; } = [];
    /// <summary>The group's bytes.</summary>
    public List<ReadOnlyMemory<byte>> Buffers { get; } = [];
    /// <summary>The number of the group's bytes.</summary>
    public long GroupBytes { get; set; }

    /// <summary>Empties the group.</summary>
    public void ClearGroup()
    {
        Group.Clear();
        Buffers.Clear();
        GroupBytes = 0;
    }

    /// <summary>Forgets the operations, which are their senders' again.</summary>
    public void Clear()
    {
        ClearGroup();
        Operations.Clear();
    }
}
