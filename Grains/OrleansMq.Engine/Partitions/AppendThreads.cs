using OrleansMq.Api;

namespace OrleansMq.Partitions;

/// <summary>Work for an append thread.</summary>
internal interface IAppendWork
{
    /// <summary>Does a bounded part of the work. Must not throw. One thread at a time runs it, since it is not scheduled again before it
    /// has run.</summary>
    void Run(AppendRound round);
}

/// <summary>
/// The few threads on which all partitions of a broker write and flush. These calls block, and must not block threads of the thread pool.
/// A partition is queued at most once, so the number of partitions bounds the queue.
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

    /// <summary>Prepares the threads, which are started when they are needed.</summary>
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

    /// <summary>Runs the queued work to its end, then ends the threads.</summary>
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

/// <summary>The memory of one round. Each thread reuses its own, so that a round allocates nothing.</summary>
internal sealed class AppendRound
{
    /// <summary>The most batches in a round. Each round may cost a flush, which small batches share.</summary>
    public const int MaxBatches = 512;
    /// <summary>The most bytes in a round, unless its first batch is larger: enough to be worth a call, and short enough for other
    /// partitions to wait for.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>All operations of the round, in order of arrival.</summary>
    public List<AppendOperation> Operations { get; } = [];
    /// <summary>The operations with stamped batches, which the next call writes.</summary>
    public List<AppendOperation> Group { get; } = [];
    /// <summary>The group's batches.</summary>
    public List<ReadOnlyMemory<byte>> Buffers { get; } = [];
    /// <summary>The size of the group in bytes.</summary>
    public long GroupBytes { get; set; }

    /// <summary>Takes the partition offline, and fails all operations. Written batches fail, too: the flush or the high watermark is
    /// missing, so they do not count.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="fault">A fault of the storage, or a bug.</param>
    public void Fail(Partition partition, Exception fault)
    {
        var reason = StorageFaults.IsStorageFault(fault)
            ? StorageFaults.Describe(partition.Log!.Directory, fault)
            : StorageFaults.DescribeBug(fault);
        partition.GoOffline(reason, fault);
        foreach (var operation in Operations)
            operation.Decide(ProduceResult.Failed(ErrorCode.KafkaStorageError, reason));
    }

    /// <summary>Empties the group.</summary>
    public void ClearGroup()
    {
        Group.Clear();
        Buffers.Clear();
        GroupBytes = 0;
    }

    /// <summary>Empties the round.</summary>
    public void Clear()
    {
        ClearGroup();
        Operations.Clear();
    }
}
