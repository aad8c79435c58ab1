using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace OrleansMq.Gateways.Connections.Loops;

/// <summary>A socket that a <see cref="ConnectionLoop"/> watches.</summary>
internal sealed class LoopSocket : ClientSocket
{
    private readonly Lock _lock = new();
    private readonly ConnectionLoop _loop;
    private readonly Receiver _receiver;
    private readonly Sender _sender;
    private readonly ulong _key;
    private bool _hasEnded;
    private bool _isClosed;
    private volatile bool _isQuick;

    /// <param name="socket">The socket, which this object owns.</param>
    /// <param name="loop">The loop that serves it.</param>
    /// <exception cref="SocketException">The system cannot watch more.</exception>
    public LoopSocket(Socket socket, ConnectionLoop loop)
        : base(socket)
    {
        socket.Blocking = false;
        Handle = socket.SafeHandle;
        _loop = loop;
        _receiver = new Receiver(this);
        _sender = new Sender(this);
        _key = loop.Add(this);
    }

    /// <summary>The socket's descriptor.</summary>
    public SafeSocketHandle Handle { get; }

    /// <inheritdoc/>
    public override ConnectionLoop? CurrentLoop => _loop.IsCurrent ? _loop : null;

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

    /// <summary>Handles an event of the socket. On the loop's thread.</summary>
    public void OnEvent(uint flags)
    {
        var ended = (flags & Epoll.Ended) != 0;
        bool receives, sends;
        lock (_lock)
        {
            _hasEnded |= ended;
            receives = (ended || (flags & Epoll.Readable) != 0) && _receiver.Notify();
            sends = (ended || (flags & Epoll.Writable) != 0) && _sender.Notify();
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

    /// <inheritdoc/>
    public override void Dispose()
    {
        bool receives, sends;
        lock (_lock)
        {
            if (_isClosed)
                return;
            _isClosed = true;
            receives = _receiver.Notify();
            sends = _sender.Notify();
        }
        _loop.Remove(this, _key);
        Socket.Dispose();
        // Pending operations fail, since the socket is closed.
        if (receives)
            ThreadPool.UnsafeQueueUserWorkItem(_receiver, preferLocal: false);
        if (sends)
            ThreadPool.UnsafeQueueUserWorkItem(_sender, preferLocal: false);
    }

    /// <summary>An operation that completes at once where it can, and otherwise after an event.</summary>
    private abstract class Operation(LoopSocket owner) : IValueTaskSource<int>, IThreadPoolWorkItem
    {
        private ManualResetValueTaskSourceCore<int> _result;
        // The number of events so far.
        private int _events;
        // The event after which nothing was left to do.
        private int _exhausted = -1;
        private bool _isPending;

        protected LoopSocket Owner => owner;

        /// <summary>Counts an event. Under the socket's lock.</summary>
        /// <returns>Whether the operation is pending: then <see cref="Continue"/> is called.</returns>
        public bool Notify()
        {
            _events++;
            var wasPending = _isPending;
            _isPending = false;
            return wasPending;
        }

        public void Continue()
        {
            try
            {
                if (TryAll(out var count))
                    _result.SetResult(count);
            }
            catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
            {
                _result.SetException(fault);
            }
        }

        protected ValueTask<int> Begin()
        {
            _result.Reset();
            return TryAll(out var count) ? new(count) : new(this, _result.Version);
        }

        /// <summary>Performs the operation with one system call.</summary>
        /// <returns>-1 where the operation has to wait.</returns>
        protected abstract int Try(out bool isLast);

        protected abstract void Clear();

        // False: the operation is pending.
        private bool TryAll(out int count)
        {
            while (true)
            {
                var seen = Volatile.Read(ref _events);
                if (seen != _exhausted)
                {
                    count = Try(out var isLast);
                    if (count >= 0)
                    {
                        // The end has no second event.
                        if (isLast && !Volatile.Read(ref owner._hasEnded))
                            _exhausted = seen;
                        Clear();
                        return true;
                    }
                }
                lock (owner._lock)
                {
                    ObjectDisposedException.ThrowIf(owner._isClosed, owner);
                    if (seen != _events)
                        continue;
                    _isPending = true;
                    count = 0;
                    return false;
                }
            }
        }

        void IThreadPoolWorkItem.Execute() => Continue();

        int IValueTaskSource<int>.GetResult(short token) => _result.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _result.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token,
            ValueTaskSourceOnCompletedFlags flags) =>
            _result.OnCompleted(continuation, state, token, flags);
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
