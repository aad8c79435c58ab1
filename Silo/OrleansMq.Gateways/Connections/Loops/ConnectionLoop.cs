using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Connections.Loops;

/// <summary>Work that a loop does at the end of an iteration.</summary>
internal interface IDeferredWork
{
    /// <summary>Whether the loop has deferred this work already. Used by the loop alone.</summary>
    bool IsDeferred { get; set; }

    /// <summary>Runs the work. It must neither throw nor wait.</summary>
    void Run();
}

/// <summary>
/// A thread that serves many clients at once (Linux). Each iteration receives from all clients that have sent something, begins their
/// requests, writes their appends with one call a partition, and answers. With a small request in flight on each of many connections, that
/// is one change of threads for all of them instead of one for each. Work that may wait goes to the thread pool: the loop receives only
/// from connections whose last request was quick (<see cref="ClientSocket.IsQuick"/>).
/// </summary>
/// <remarks>
/// <see cref="Burst"/>, <see cref="Defer"/> and <see cref="EndIteration"/> are for the loop's thread alone. Any thread may add and remove a
/// socket. An event for a removed socket finds its place empty, or used again, and is dropped. Work that other threads complete is posted,
/// and answered in the next iteration; once the loop has stopped, on the thread pool.
/// </remarks>
internal sealed unsafe class ConnectionLoop : IDisposable
{
    /// <summary>The largest request that a loop serves itself. Kafka's producers send batches of 16 KiB by default, which are written in
    /// microseconds.</summary>
    public const int MaxQuickBytes = 32 << 10;

    // Events of one iteration; further sockets that are ready wait for the next.
    private const int EventBytes = 4096;
    // How much one connection may bring in an iteration: others wait for it. About 200 requests of 1 KB.
    private const long MaxShareBytes = 1 << 20;
    // The cost of a request beside its bytes, in bytes.
    private const int RequestBytes = 4 << 10;
    private const ulong BellKey = ulong.MaxValue;

    [ThreadStatic]
    private static ConnectionLoop? t_current;

    private readonly Lock _lock = new();
    private readonly EngineLog _log;
    private readonly Thread _thread;
    private readonly SafeFileHandle _epoll;
    private readonly SafeFileHandle _bell;
    // An event's key is its socket's place in the low half, and how often that place was freed before in the high half.
    private LoopSocket?[] _places = new LoopSocket?[64];
    private uint[] _freed = new uint[64];
    private readonly Stack<int> _freePlaces = new();
    private int _used;
    private readonly List<IDeferredWork> _deferred = [];
    private readonly ConcurrentQueue<IThreadPoolWorkItem> _posted = new();
    private int _isRung;
    private bool _isStopped;
    private volatile bool _isStopping;

    /// <summary>Starts the thread.</summary>
    /// <param name="name">The thread's name.</param>
    /// <param name="log">Where log lines go.</param>
    /// <exception cref="System.Net.Sockets.SocketException">The system has no more descriptors.</exception>
    public ConnectionLoop(string name, EngineLog log)
    {
        _log = log;
        Burst = new AppendBurst(Post);
        _epoll = Epoll.Open();
        try
        {
            _bell = Epoll.OpenBell();
            Epoll.Watch(_epoll, _bell, BellKey);
        }
        catch
        {
            _bell?.Dispose();
            _epoll.Dispose();
            throw;
        }
        _thread = new Thread(Work) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Whether the current thread is the loop's.</summary>
    public bool IsCurrent => t_current == this;

    /// <summary>The appends of this iteration.</summary>
    public AppendBurst Burst { get; }

    /// <summary>The number of the iteration.</summary>
    public long Iteration { get; private set; }

    /// <summary>Whether a connection has brought more than its share in this iteration.</summary>
    /// <param name="share">What the connection has brought, kept from call to call.</param>
    /// <param name="bytes">The size of its next request.</param>
    public bool IsTooMuch(ref (long Iteration, long Bytes) share, int bytes)
    {
        if (share.Iteration != Iteration)
            share = (Iteration, 0);
        share.Bytes += RequestBytes + bytes;
        return share.Bytes > MaxShareBytes;
    }

    /// <summary>Runs work once, at the end of the iteration.</summary>
    public void Defer(IDeferredWork work)
    {
        if (work.IsDeferred)
            return;
        work.IsDeferred = true;
        _deferred.Add(work);
    }

    /// <summary>Writes the appends of this iteration, and sends the responses.</summary>
    public void EndIteration()
    {
        Burst.Run();
        for (var i = 0; i < _deferred.Count; i++)
        {
            _deferred[i].IsDeferred = false;
            _deferred[i].Run();
        }
        _deferred.Clear();
    }

    /// <summary>Runs work on the loop's thread soon.</summary>
    public void Post(IThreadPoolWorkItem work)
    {
        _posted.Enqueue(work);
        if (Interlocked.Exchange(ref _isRung, 1) != 0)
            return;
        try
        {
            Epoll.Ring(_bell);
        }
        catch (ObjectDisposedException)
        {
            HandOver();
        }
    }

    /// <summary>Watches a socket from now on.</summary>
    /// <returns>The key for <see cref="Remove"/>.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The system cannot watch more.</exception>
    public ulong Add(LoopSocket socket)
    {
        lock (_lock)
        {
            if (!_freePlaces.TryPop(out var place))
                place = _used++;
            if (place == _places.Length)
            {
                Array.Resize(ref _freed, 2 * place);
                Array.Resize(ref _places, 2 * place);
            }
            var key = ((ulong)_freed[place] << 32) | (uint)place;
            try
            {
                Epoll.Watch(_epoll, socket.Handle, key);
            }
            catch
            {
                Free(place);
                throw;
            }
            _places[place] = socket;
            return key;
        }
    }

    /// <summary>Stops watching a socket: it is about to be closed.</summary>
    public void Remove(LoopSocket socket, ulong key)
    {
        lock (_lock)
        {
            Free((int)(uint)key);
            if (!_isStopped)
                Epoll.Forget(_epoll, socket.Handle);
        }
    }

    /// <summary>Stops the thread. Not to be called on that thread.</summary>
    public void Dispose()
    {
        if (_isStopping)
            return;
        _isStopping = true;
        Epoll.Ring(_bell);
        _thread.Join();
        lock (_lock)
        {
            _isStopped = true;
            _bell.Dispose();
            _epoll.Dispose();
        }
        HandOver();
    }

    private void Free(int place)
    {
        _places[place] = null;
        _freed[place]++;
        _freePlaces.Push(place);
    }

    private void HandOver()
    {
        Interlocked.Exchange(ref _isRung, 0);
        while (_posted.TryDequeue(out var work))
            ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);
    }

    private void Work()
    {
        t_current = this;
        var events = stackalloc byte[EventBytes];
        while (!_isStopping)
        {
            var count = Epoll.Wait(_epoll, events, EventBytes);
            Iteration++;
            for (var i = 0; i < count; i++)
            {
                if (Epoll.KeyOf(events, i) is not BellKey and var key)
                    Notify(key, Epoll.FlagsOf(events, i));
            }
            RunPosted();
            EndIteration();
        }
    }

    // A lost event does not come again: a fault of one connection must not keep the others from theirs.
    private void Notify(ulong key, uint flags)
    {
        var socket = Find(key);
        try
        {
            socket?.OnEvent(flags);
        }
        catch (Exception fault)
        {
            _log.Write(EngineLogLevel.Error, "A bug in OrleansMq ended a connection. Please report it.", fault);
            socket!.Dispose();
        }
    }

    // Work that is posted after the flag is cleared rings again.
    private void RunPosted()
    {
        if (Volatile.Read(ref _isRung) == 0)
            return;
        Interlocked.Exchange(ref _isRung, 0);
        for (var left = _posted.Count; left > 0 && _posted.TryDequeue(out var work); left--)
            work.Execute();
    }

    private LoopSocket? Find(ulong key)
    {
        var place = (int)(uint)key;
        lock (_lock)
            return _freed[place] == (uint)(key >> 32) ? _places[place] : null;
    }
}
