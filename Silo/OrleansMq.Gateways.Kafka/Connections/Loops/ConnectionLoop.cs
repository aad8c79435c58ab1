using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Kafka.Connections.Loops;

/// <summary>What a turn of a loop does at its end.</summary>
internal interface ITurnWork
{
    /// <summary>The loop whose turn will do it already. For the loops: a connection may have moved from one to another, and then both do
    /// it.</summary>
    ConnectionLoop? DeferredBy { get; set; }

    /// <summary>Does it. It must neither throw nor wait.</summary>
    void Run();
}

/// <summary>
/// A thread that serves many clients at once (Linux). In a turn it receives from all that have sent something, begins what they ask, writes
/// what they append to a partition with one call, and answers them: with a small request in flight on each of many connections that is one
/// change of threads for all of them instead of one for each. What may take longer than a moment goes to the thread pool: only connections
/// whose last request was quick (<see cref="ClientSocket.IsQuick"/>) are received from here.
/// </summary>
/// <remarks>
/// The turn is the thread's own: <see cref="Burst"/>, <see cref="Defer"/>, <see cref="EndTurn"/> are for it alone. A socket may be added
/// and removed by any thread; an event for one that was removed finds its place empty, or used again, and is dropped. What other threads
/// have completed is posted and answered in the next turn; after the loop was stopped on the thread pool.
/// </remarks>
internal sealed unsafe class ConnectionLoop : IDisposable
{
    // Of the sockets that are ready; the others' turn is the next.
    private const int EventBytes = 4096;
    // How much one connection may bring in a turn: others wait for it. About 200 requests of 1 KB.
    private const long MaxShareBytes = 1 << 20;
    // What a request costs beside its bytes, in bytes.
    private const int RequestBytes = 4 << 10;
    private const ulong BellKey = ulong.MaxValue;

    [ThreadStatic]
    private static ConnectionLoop? t_current;

    private readonly Lock _lock = new();
    private readonly EngineLog _log;
    private readonly Thread _thread;
    private readonly SafeFileHandle _epoll;
    private readonly SafeFileHandle _bell;
    // Where an event finds its socket: the place, and above it how often the place was given up before.
    private LoopSocket?[] _places = new LoopSocket?[64];
    private uint[] _givenUp = new uint[64];
    private readonly Stack<int> _free = new();
    private int _used;
    private readonly List<ITurnWork> _deferred = [];
    private readonly ConcurrentQueue<IThreadPoolWorkItem> _posted = new();
    private int _isCalled;
    private bool _isStopped;
    private volatile bool _isStopping;

    /// <summary>Begins to serve.</summary>
    /// <exception cref="System.Net.Sockets.SocketException">The system has no more descriptors.</exception>
    public ConnectionLoop(int number, EngineLog log)
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
        _thread = new Thread(Work) { IsBackground = true, Name = $"kafka-loop-{number}" };
        _thread.Start();
    }

    /// <summary>Whether this is its thread.</summary>
    public bool IsHere => t_current == this;

    /// <summary>What is appended in this turn.</summary>
    public AppendBurst Burst { get; }

    /// <summary>The number of the turn.</summary>
    public long Turn { get; private set; }

    /// <summary>Whether a connection has brought more in this turn than is its share.</summary>
    /// <param name="share">What it has brought: kept for it from call to call.</param>
    /// <param name="bytes">The size of its next request.</param>
    public bool IsTooMuch(ref (long Turn, long Bytes) share, int bytes)
    {
        if (share.Turn != Turn)
            share = (Turn, 0);
        share.Bytes += RequestBytes + bytes;
        return share.Bytes > MaxShareBytes;
    }

    /// <summary>Has something done at the end of the turn, once.</summary>
    public void Defer(ITurnWork work)
    {
        if (work.DeferredBy == this)
            return;
        work.DeferredBy = this;
        _deferred.Add(work);
    }

    /// <summary>Writes what was appended, and answers.</summary>
    public void EndTurn()
    {
        Burst.Run();
        for (var i = 0; i < _deferred.Count; i++)
        {
            _deferred[i].DeferredBy = null;
            _deferred[i].Run();
        }
        _deferred.Clear();
    }

    /// <summary>Has its thread do something soon.</summary>
    public void Post(IThreadPoolWorkItem work)
    {
        _posted.Enqueue(work);
        if (Interlocked.Exchange(ref _isCalled, 1) != 0)
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
    /// <returns>Its key, for <see cref="Remove"/>.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The system cannot watch more.</exception>
    public ulong Add(LoopSocket socket)
    {
        lock (_lock)
        {
            if (!_free.TryPop(out var place))
                place = _used++;
            if (place == _places.Length)
            {
                Array.Resize(ref _givenUp, 2 * place);
                Array.Resize(ref _places, 2 * place);
            }
            var key = ((ulong)_givenUp[place] << 32) | (uint)place;
            try
            {
                Epoll.Watch(_epoll, socket.Handle, key);
            }
            catch
            {
                GiveUp(place);
                throw;
            }
            _places[place] = socket;
            return key;
        }
    }

    /// <summary>Watches a socket no more: it is about to be closed, or another loop watches it.</summary>
    public void Remove(LoopSocket socket, ulong key)
    {
        lock (_lock)
        {
            GiveUp((int)(uint)key);
            if (!_isStopped)
                Epoll.Forget(_epoll, socket.Handle);
        }
    }

    /// <summary>Stops. Not on its own thread.</summary>
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

    private void GiveUp(int place)
    {
        _places[place] = null;
        _givenUp[place]++;
        _free.Push(place);
    }

    private void HandOver()
    {
        Interlocked.Exchange(ref _isCalled, 0);
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
            Turn++;
            for (var i = 0; i < count; i++)
            {
                if (Epoll.KeyOf(events, i) is not BellKey and var key)
                    Tell(key, Epoll.FlagsOf(events, i));
            }
            RunPosted();
            EndTurn();
        }
    }

    // An event that is lost is not told again: whatever one connection does, the others hear of theirs.
    private void Tell(ulong key, uint flags)
    {
        var socket = Find(key);
        try
        {
            socket?.Happened(flags);
        }
        catch (Exception fault)
        {
            _log.Write(EngineLogLevel.Error, "A bug in OrleansMq ended a Kafka connection. Please report it.", fault);
            socket!.Dispose();
        }
    }

    // Who posts after the flag was taken back rings again.
    private void RunPosted()
    {
        if (Volatile.Read(ref _isCalled) == 0)
            return;
        Interlocked.Exchange(ref _isCalled, 0);
        for (var left = _posted.Count; left > 0 && _posted.TryDequeue(out var work); left--)
            work.Execute();
    }

    private LoopSocket? Find(ulong key)
    {
        var place = (int)(uint)key;
        lock (_lock)
            return _givenUp[place] == (uint)(key >> 32) ? _places[place] : null;
    }
}
