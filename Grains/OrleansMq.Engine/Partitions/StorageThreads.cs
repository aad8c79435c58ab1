namespace OrleansMq.Partitions;

/// <summary>
/// Threads for work that flushes, for many partitions at once: their flushes share the disk's time, and must not block threads of the
/// thread pool. A thread is started when work waits for it, and ends when it had none for a while. Thread safe.
/// </summary>
internal sealed class StorageThreads
{
    /// <summary>With this many flushes at a time a disk is as fast as with more.</summary>
    private const int Most = 32;
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(5);

    private readonly object _gate = new();
    private readonly Queue<Action> _queue = new();
    private int _running;
    private int _waiting;

    /// <summary>Runs work that may block. The order is that of the calls.</summary>
    public Task RunAsync(Action work) => RunAsync(() =>
    {
        work();
        return true;
    });

    /// <summary>Runs work that may block, and returns its result. The order is that of the calls.</summary>
    /// <exception cref="OutOfMemoryException">There is no thread, and none can be started; the work waits for the next call.</exception>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            _queue.Enqueue(() =>
            {
                try
                {
                    done.SetResult(work());
                }
                catch (Exception fault)
                {
                    done.SetException(fault);
                }
            });
            if (_queue.Count <= _waiting || _running == Most)
                Monitor.Pulse(_gate);
            else
                Start();
        }
        return done.Task;
    }

    private void Start()
    {
        try
        {
            new Thread(Work) { IsBackground = true, Name = "storage" }.Start();
            _running++;
        }
        catch (OutOfMemoryException) when (_running > 0)
        {
            // The machine has no more threads: those that run take the work.
        }
    }

    private void Work()
    {
        while (TryTake(out var work))
            work();
    }

    private bool TryTake(out Action work)
    {
        lock (_gate)
        {
            while (!_queue.TryDequeue(out work!))
            {
                _waiting++;
                var pulsed = Monitor.Wait(_gate, Idle);
                _waiting--;
                if (pulsed || _queue.Count > 0)
                    continue;
                _running--;
                return false;
            }
            return true;
        }
    }
}
