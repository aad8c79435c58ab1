using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace OrleansMq.Gateways.Kafka.Connections.Loops;

/// <summary>
/// A socket that a <see cref="ConnectionLoop"/> watches. Which one goes by what it sends: while its requests are small it belongs to one of
/// the few loops that have all such connections, since a thread takes less time for each request the more it finds at once; while they are
/// large, to one of all, since they are work for every processor.
/// </summary>
/// <remarks>
/// It moves on the thread of the loop that it leaves, which is left then: what that loop has begun for it is completed there, and what is
/// received from now on belongs to the other. Nothing is missed in between, since a loop that begins to watch is told what holds already;
/// what both were told costs one receive that finds nothing.
/// </remarks>
internal sealed class LoopSocket : ClientSocket
{
    /// <summary>A request up to that costs more to be woken for than to be answered.</summary>
    public const int SmallBytes = 4 << 10;

    /// <summary>So many requests that belong to the other loop, one after the other, and it moves: one that is now small, now large, stays
    /// where it is.</summary>
    public const int MovesAfter = 8;

    private readonly Lock _lock = new();
    private readonly ConnectionLoop _home;
    private readonly ConnectionLoop _homeWhileSmall;
    private readonly Receiver _receiver;
    private readonly Sender _sender;
    // Written under the lock, on the thread of the loop that is left.
    private volatile ConnectionLoop _loop;
    private ulong _key;
    // Requests in a row that belong to the other loop. The loop's own.
    private int _misplaced;
    private bool _hasEnded;
    private bool _isClosed;
    private volatile bool _isQuick;

    /// <param name="socket">The socket, which it owns.</param>
    /// <param name="home">Serves it while its requests are large, and first.</param>
    /// <param name="homeWhileSmall">Serves it while they are small.</param>
    /// <exception cref="SocketException">The system cannot watch more.</exception>
    public LoopSocket(Socket socket, ConnectionLoop home, ConnectionLoop homeWhileSmall)
        : base(socket)
    {
        socket.Blocking = false;
        Handle = socket.SafeHandle;
        (_home, _homeWhileSmall, _loop) = (home, homeWhileSmall, home);
        _receiver = new Receiver(this);
        _sender = new Sender(this);
        _key = home.Add(this);
    }

    /// <summary>Its descriptor.</summary>
    public SafeSocketHandle Handle { get; }

    /// <inheritdoc/>
    public override ConnectionLoop? Turn => _loop is { IsHere: true } loop ? loop : null;

    /// <inheritdoc/>
    public override bool TryMove(int requestBytes)
    {
        var to = requestBytes <= SmallBytes ? _homeWhileSmall : _home;
        if (to == _loop)
        {
            _misplaced = 0;
            return false;
        }
        if (++_misplaced < MovesAfter)
            return false;
        _misplaced = 0;
        return MoveTo(to);
    }

    /// <inheritdoc/>
    public override bool IsQuick
    {
        get => _isQuick;
        set
        {
            if (_isQuick != value)
                _isQuick = value;
        }
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReceiveAsync(Memory<byte> into) => _receiver.Begin(into);

    /// <inheritdoc/>
    public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => _sender.Begin(bytes, null);

    /// <inheritdoc/>
    public override ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces) => _sender.Begin(default, pieces);

    /// <summary>Its loop was told of a change. On the loop's thread.</summary>
    public void Happened(uint flags)
    {
        var ended = (flags & Epoll.Ended) != 0;
        bool receives, sends;
        lock (_lock)
        {
            _hasEnded |= ended;
            receives = (ended || (flags & Epoll.Readable) != 0) && _receiver.Noticed();
            sends = (ended || (flags & Epoll.Writable) != 0) && _sender.Noticed();
        }
        if (receives)
        {
            if (_isQuick)
                _receiver.Continue();
            else
                ThreadPool.UnsafeQueueUserWorkItem(_receiver, preferLocal: false);
        }
        if (sends)
            ThreadPool.UnsafeQueueUserWorkItem(_sender, preferLocal: false);
    }

    // False: the system cannot watch more, or it was closed.
    private bool MoveTo(ConnectionLoop to)
    {
        lock (_lock)
        {
            if (_isClosed)
                return false;
            ulong key;
            try
            {
                key = to.Add(this);
            }
            catch (SocketException)
            {
                return false;
            }
            _loop.Remove(this, _key);
            (_loop, _key) = (to, key);
            return true;
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        bool receives, sends;
        lock (_lock)
        {
            if (_isClosed)
                return;
            _isClosed = true;
            receives = _receiver.Noticed();
            sends = _sender.Noticed();
        }
        _loop.Remove(this, _key);
        Socket.Dispose();
        // They find it closed.
        if (receives)
            ThreadPool.UnsafeQueueUserWorkItem(_receiver, preferLocal: false);
        if (sends)
            ThreadPool.UnsafeQueueUserWorkItem(_sender, preferLocal: false);
    }

    /// <summary>What is done at once where that can be, and else when the loop is told that it can.</summary>
    private abstract class Operation(LoopSocket owner) : IValueTaskSource<int>, IThreadPoolWorkItem
    {
        private ManualResetValueTaskSourceCore<int> _done;
        // How often it was noticed that there is something to do.
        private int _noticed;
        // When there was nothing left to do.
        private int _exhausted = -1;
        private bool _isWaiting;

        protected LoopSocket Owner => owner;

        /// <summary>Under the socket's lock: there is something to do.</summary>
        /// <returns>Whether it is waited for: call <see cref="Continue"/>.</returns>
        public bool Noticed()
        {
            _noticed++;
            var wasWaiting = _isWaiting;
            _isWaiting = false;
            return wasWaiting;
        }

        public void Continue()
        {
            try
            {
                if (TryAll(out var count))
                    _done.SetResult(count);
            }
            catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
            {
                _done.SetException(fault);
            }
        }

        protected ValueTask<int> Begin()
        {
            _done.Reset();
            return TryAll(out var count) ? new(count) : new(this, _done.Version);
        }

        /// <summary>Does it with one call to the system.</summary>
        /// <returns>-1 where nothing can be done now.</returns>
        protected abstract int Try(out bool isLast);

        protected abstract void Clear();

        // False: it waits now.
        private bool TryAll(out int count)
        {
            while (true)
            {
                var noticed = Volatile.Read(ref _noticed);
                if (noticed != _exhausted)
                {
                    count = Try(out var isLast);
                    if (count >= 0)
                    {
                        // There is no event for the end once more.
                        if (isLast && !Volatile.Read(ref owner._hasEnded))
                            _exhausted = noticed;
                        Clear();
                        return true;
                    }
                }
                lock (owner._lock)
                {
                    ObjectDisposedException.ThrowIf(owner._isClosed, owner);
                    if (noticed != _noticed)
                        continue;
                    _isWaiting = true;
                    count = 0;
                    return false;
                }
            }
        }

        void IThreadPoolWorkItem.Execute() => Continue();

        int IValueTaskSource<int>.GetResult(short token) => _done.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _done.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token,
            ValueTaskSourceOnCompletedFlags flags) =>
            _done.OnCompleted(continuation, state, token, flags);
    }

    private sealed class Receiver(LoopSocket owner) : Operation(owner)
    {
        private Memory<byte> _into;

        public ValueTask<int> Begin(Memory<byte> into)
        {
            _into = into;
            return Begin();
        }

        protected override int Try(out bool isLast)
        {
            var count = LinuxSockets.Receive(Owner.Handle, _into.Span);
            isLast = count > 0 && count < _into.Length;
            return count;
        }

        protected override void Clear() => _into = default;
    }

    private sealed class Sender(LoopSocket owner) : Operation(owner)
    {
        private ReadOnlyMemory<byte> _bytes;
        private List<ArraySegment<byte>>? _pieces;

        public ValueTask<int> Begin(ReadOnlyMemory<byte> bytes, List<ArraySegment<byte>>? pieces)
        {
            (_bytes, _pieces) = (bytes, pieces);
            return Begin();
        }

        protected override int Try(out bool isLast)
        {
            isLast = false;
            return _pieces is null ? LinuxSockets.Send(Owner.Handle, _bytes.Span) : LinuxSockets.Send(Owner.Handle, _pieces);
        }

        protected override void Clear() => (_bytes, _pieces) = (default, null);
    }
}
