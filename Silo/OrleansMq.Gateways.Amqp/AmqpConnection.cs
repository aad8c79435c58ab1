using System.Buffers;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Gateways.Connections;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Amqp;

/// <summary>
/// An AMQP client's connection: the shell of a <see cref="ConnectionMachine"/>. It receives bytes, has the channels handle commands, and
/// sends what collects meanwhile. The machine and the queues of the channels are used under one lock; ports are called outside of it.
/// </summary>
internal sealed class AmqpConnection : IServedConnection, IChannelOwner, IAlarmed
{
    // An idle connection holds this much.
    private const int SmallBytes = 4 << 10;
    // What is sent while more follows collects up to this much.
    private const int HeldBytes = 64 << 10;
    // Answers of direct reply-to that may wait for the thread that sends.
    private const int MaxLateReplies = 16 << 20;
    // Received at once while much comes.
    private const int ManyBytes = 64 << 10;
    // How long the last bytes of a connection may take to be sent, and the client to end it in its turn.
    private static readonly TimeSpan LastSendTime = TimeSpan.FromSeconds(3);
    private static long s_count;

    private readonly Lock _lock = new();
    private readonly ConnectionServer _server;
    private readonly ClientSocket _socket;
    private readonly ConnectionMachine _machine;
    private readonly IAmqpAccess _access;
    private readonly ResourceAlarms? _alarms;
    private readonly IPEndPoint _local;
    private readonly long _began;
    private readonly DateTimeOffset _connectedAt;
    private readonly long _number = Interlocked.Increment(ref s_count);
    private readonly ConnectionOutput _output;
    private readonly ITimer _timer;
    private readonly AmqpPace? _pace;
    private readonly IDisposable? _place;
    private readonly Dictionary<ChannelState, ChannelLane> _lanes = [];
    // Completed once the machine has ended, and with it all channels and the session.
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _readable;
    private TaskCompletionSource? _room;
    private IAmqpSession? _session;
    private TimeSpan _armedFor = TimeSpan.MaxValue;
    // When a connection that closes is cut, whatever is not sent.
    private TimeSpan _cutAt = TimeSpan.MaxValue;
    private bool _isClosing;
    // The side of the socket that is shut down when all is sent.
    private SocketShutdown _ending = SocketShutdown.Receive;
    // Answers of the access or the session that are on their way.
    private int _pending;
    // Bytes that were received together are handled: what they are answered is sent together.
    private bool _holdsOutput;
    // The senders of which more follows at once.
    private int _holders;
    // Of contents that channels have added to what they send: a thread that sends for all may be slower than those that add.
    private long _expected;
    private long _received;

    /// <param name="server">The server of the gateway's connections.</param>
    /// <param name="client">The client.</param>
    /// <param name="settings">What is offered and allowed.</param>
    /// <param name="access">Decides who may connect, and opens virtual hosts.</param>
    /// <param name="alarms">Say when publishers are blocked; null: never.</param>
    /// <param name="quotas">What users may send and receive; null: everything.</param>
    public AmqpConnection(ConnectionServer server, AcceptedClient client, ConnectionSettings settings, IAmqpAccess access,
        ResourceAlarms? alarms = null, BrokerQuotas? quotas = null)
    {
        (_server, _socket, _access, RemoteEndPoint, _local) = (server, client.Socket, access, client.Remote, client.Local);
        (_alarms, _place) = (alarms, client.Place);
        _machine = new ConnectionMachine(settings, new AmqpClient(client.Remote), alarms?.Memory, EndForMemory);
        _began = server.TimeProvider.GetTimestamp();
        _connectedAt = server.TimeProvider.GetUtcNow();
        _pace = quotas is null ? null : new AmqpPace(quotas, () => Guard(() => Run(Collect())));
        var pace = new SendPace(server.TimeProvider, server.Limits.MaxIdle);
        _output = new ConnectionOutput(_lock, _machine, _socket, pace, () => Run(Collect()));
        _timer = server.TimeProvider.CreateTimer(static connection => ((AmqpConnection)connection!).TickOrCut(), this,
            Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Its number among the connections of this process.</summary>
    public long Number => _number;

    /// <summary>Its name, as <see cref="ConnectionDescription.Name"/>.</summary>
    public string Name => ConnectionDescription.NameOf(RemoteEndPoint, _local);

    /// <inheritdoc/>
    public IPEndPoint RemoteEndPoint { get; }

    /// <summary>Zero: heartbeats end silent connections, where the client wants that.</summary>
    public TimeSpan Idle => TimeSpan.Zero;

    private TimeSpan Now => _server.TimeProvider.GetElapsedTime(_began);

    /// <inheritdoc/>
    public bool SendsTooSlowly() => _output.IsTooSlow();

    /// <summary>Bytes that the client has not received.</summary>
    public int UnsentBytes
    {
        get
        {
            lock (_lock)
                return _output.UnsentBytes;
        }
    }

    /// <summary>False: what has arrived of a frame is small, and of contents bounded.</summary>
    public bool ReceivesTooSlowly(bool isScarce) => false;

    /// <inheritdoc/>
    public void Stop() => Close("broker forced connection closure with reason 'shutdown'");

    /// <summary>Closes it with 320, as an operator does.</summary>
    /// <param name="reason">What the client is told.</param>
    public void Close(string reason)
    {
        lock (_lock)
            _machine.Close(ReplyCode.ConnectionForced, reason, Now);
        Run(Collect());
    }

    /// <summary>Closes it where its user or its virtual host is deleted.</summary>
    public void EndIfForced() => Guard(() =>
    {
        if (Volatile.Read(ref _session)?.EndReason is { } reason)
            Close(reason);
    });

    /// <summary>Describes it; null while its virtual host is not open.</summary>
    public ConnectionDescription? Describe()
    {
        string? state;
        ChannelLane[] lanes;
        lock (_lock)
            (state, lanes) = (_machine.OpenState, [.. _lanes.Values]);
        return state is null ? null : new ConnectionDescription
        {
            Number = _number,
            Remote = RemoteEndPoint,
            Local = _local,
            Client = _machine.Client,
            State = state,
            ConnectedAt = _connectedAt,
            ReceivedBytes = Volatile.Read(ref _received),
            SentBytes = _output.SentBytes,
            Channels = [.. lanes.Select(static lane => lane.Describe()).OfType<ChannelDescription>().OrderBy(static one => one.Number)],
        };
    }

    /// <inheritdoc/>
    public void Cut()
    {
        _output.Close();
        _socket.Dispose();
        Disconnect();
    }

    /// <inheritdoc/>
    public async Task RunAsync()
    {
        try
        {
            _alarms?.Add(this);
            Run(Collect());
            await ReadAsync().ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client disconnected, or the connection was cut.
        }
        catch
        {
            // A bug, or no memory: the caller logs it. The channels and the session end as those of a client that is gone.
            _output.Close();
            throw;
        }
        finally
        {
            _alarms?.Remove(this);
            _pace?.Dispose();
            Disconnect();
            await _ended.Task.ConfigureAwait(false);
            _machine.Unfinished.Dispose();
            await _timer.DisposeAsync().ConfigureAwait(false);
        }
    }

    void IAlarmed.AlarmChanged() => Guard(ChangeAlarm);

    bool IChannelOwner.TryTake(ChannelLane lane, out ConnectionAction action)
    {
        lock (_lock)
            return lane.TryTake(out action);
    }

    void IChannelOwner.Opened(ChannelState channel)
    {
        lock (_lock)
            _machine.ChannelOpened(channel, Now);
        Run(Collect());
    }

    bool IChannelOwner.ChargesTime => _pace is { ChargesTime: true };

    // The input is held once the method is done.
    void IChannelOwner.Charge(TimeSpan time) => _pace?.Handled(time);

    void IChannelOwner.Handled(int bytes)
    {
        lock (_lock)
            _machine.Handled(bytes, Now);
        Run(Collect());
    }

    void IChannelOwner.Failed(ChannelState channel, AmqpException fault)
    {
        lock (_lock)
            _machine.ChannelFailed(channel, fault, Now);
        Run(Collect());
    }

    void IChannelOwner.Ended(ChannelState channel)
    {
        lock (_lock)
        {
            _lanes.Remove(channel);
            _machine.ChannelEnded(channel, Now);
        }
        Run(Collect());
    }

    /// <inheritdoc/>
    public void Send<T>(ChannelState channel, in T method)
        where T : IMethod
    {
        bool isHeld;
        lock (_lock)
        {
            _machine.Send(channel, method, Now);
            isHeld = IsHeld;
        }
        if (!isHeld)
            Run(Collect(), isOfSender: true);
    }

    void IChannelOwner.Log(EngineLogLevel level, string message, Exception? fault) =>
        _server.Log.Write(level, $"AMQP connection from {RemoteEndPoint}: {message}", fault);

    private void Send<T>(ChannelState channel, in T method, ContentProperties properties, ReadOnlySpan<byte> body)
        where T : IMethod
    {
        bool isHeld;
        lock (_lock)
        {
            _machine.Send(channel, method, properties, body, Now);
            _pace?.Delivered(_machine.Client.User, body.Length);
            isHeld = IsHeld;
        }
        if (!isHeld)
            Run(Collect(), isOfSender: true);
    }

    // Under the lock. What it leaves to do is done with the release.
    private bool IsHeld => _holders > 0 && _machine.Output.Length < HeldBytes;

    private void Hold()
    {
        lock (_lock)
            _holders++;
    }

    private void Release()
    {
        lock (_lock)
            _holders--;
        Run(Collect(), isOfSender: true);
    }

    private void EndForMemory(AmqpException fault) => Guard(() =>
    {
        lock (_lock)
            _machine.Fail(fault, Now);
        Run(Collect());
    });

    private void TickOrCut() => Guard(Tick);

    // Of timers, where a fault would end the process.
    private void Guard(Action action)
    {
        try
        {
            action();
        }
        catch (Exception fault)
        {
            ((IChannelOwner)this).Log(EngineLogLevel.Error, "A bug in OrleansMq ended it. Please report it.", fault);
            Cut();
        }
    }

    private void Tick()
    {
        bool isLate;
        lock (_lock)
        {
            var now = Now;
            _armedFor = TimeSpan.MaxValue;
            isLate = _cutAt <= now;
            _cutAt = isLate ? TimeSpan.MaxValue : _cutAt;
            _machine.Tick(now);
        }
        if (isLate)
            Cut();
        else
            Run(Collect());
    }

    private void ChangeAlarm()
    {
        lock (_lock)
        {
            if (_alarms!.Reason is { } reason)
                _machine.Block(reason, Now);
            else
                _machine.Unblock(Now);
        }
        Run(Collect());
    }

    private void Disconnect()
    {
        lock (_lock)
            _machine.Disconnected(Now);
        Run(Collect());
    }

    private async Task ReadAsync()
    {
        var buffer = ArrayPool<byte>.Shared.Rent(SmallBytes);
        var (filled, isMoreLikely) = (0, false);
        try
        {
            while (true)
            {
                await WaitUntilReadableAsync().ConfigureAwait(false);
                var taken = Consume(buffer.AsSpan(0, filled), out var isReading);
                buffer.AsSpan(taken, filled - taken).CopyTo(buffer);
                filled -= taken;
                if (!isReading)
                    continue;
                if (filled == 0 && !isMoreLikely)
                {
                    // Waits without a buffer: an idle connection holds no memory.
                    var size = buffer.Length;
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = [];
                    await _socket.ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false);
                    buffer = ArrayPool<byte>.Shared.Rent(size);
                }
                var count = await _socket.ReceiveAsync(buffer.AsMemory(filled)).ConfigureAwait(false);
                if (count == 0)
                    return;
                filled += count;
                Volatile.Write(ref _received, _received + count);
                if (_pace is not null)
                    TakeReceived(count);
                // More waits in the system where the buffer is full.
                isMoreLikely = filled == buffer.Length;
                buffer = Resize(buffer, filled);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // A full buffer has room for more before the next receive; one that little came into is small again.
    private byte[] Resize(byte[] buffer, int filled)
    {
        var size = filled == buffer.Length ? Math.Max(ManyBytes, Math.Min(2 * filled, _machine.MaxFrameBytes))
            : filled <= SmallBytes / 2 ? SmallBytes : buffer.Length;
        if (size == buffer.Length || (size < filled + 1 && filled < buffer.Length))
            return buffer;
        var other = ArrayPool<byte>.Shared.Rent(Math.Max(size, filled + 1));
        buffer.AsSpan(0, filled).CopyTo(other);
        ArrayPool<byte>.Shared.Return(buffer);
        return other;
    }

    private int Consume(ReadOnlySpan<byte> bytes, out bool isReading)
    {
        int taken;
        try
        {
            lock (_lock)
            {
                _holdsOutput = true;
                taken = bytes.IsEmpty ? 0 : _machine.Consume(bytes, Now);
                // Then no whole frame is left.
                isReading = _machine.IsReading;
            }
            Run(Collect());
        }
        finally
        {
            lock (_lock)
                _holdsOutput = false;
        }
        Run(Collect());
        return taken;
    }

    // What has arrived is handled; after it, Collect holds the input.
    private void TakeReceived(int bytes)
    {
        lock (_lock)
            _pace!.Received(_machine.Client.User, bytes);
    }

    private Task WaitUntilReadableAsync()
    {
        lock (_lock)
        {
            if (_machine.IsReading)
                return Task.CompletedTask;
            return (_readable ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    // A connection that closes drops what channels send. Under the lock.
    private bool IsFull => IsFullWith(Interlocked.Read(ref _expected));

    // A client that receives does not lose answers because the thread that sends them is late.
    private bool DropsReplies => IsFullWith(Math.Max(Interlocked.Read(ref _expected) - MaxLateReplies, 0)) || !CanDeliver;

    private bool IsFullWith(long expected) => (_output.IsFull(expected) || _pace is { HoldsOutput: true }) && _machine.IsRunning;

    /// <inheritdoc/>
    public Task WaitForRoomAsync()
    {
        lock (_lock)
        {
            if (!IsFull)
                return Task.CompletedTask;
            return (_room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    // Deliveries have no room where the connection closes: they would be dropped, and count as delivered. Their consumers are stopped by
    // their channel, behind the command that it still handles.
    private async Task WaitToDeliverAsync()
    {
        await WaitForRoomAsync().ConfigureAwait(false);
        bool canDeliver;
        lock (_lock)
            canDeliver = CanDeliver;
        if (!canDeliver)
            await new TaskCompletionSource().Task.ConfigureAwait(false);
    }

    // Under the lock. The client may be gone before the end of what it has sent is read.
    private bool CanDeliver => _machine.IsRunning && !_output.HasFailed;

    // What the machine asks for, and what follows from its new state. Commands enter their queues here, in the machine's order.
    private Work Collect()
    {
        var work = default(Work);
        lock (_lock)
        {
            // Others are read from, and what they have sent before counts.
            if (_output.HasFailed && (_machine.IsBlocked || _pace is { HoldsInput: true }))
                _machine.Disconnected(Now);
            while (_machine.TryTakeAction(out var action))
                Collect(action, ref work);
            _machine.HoldInput(_output.IsFull() || _pace is { HoldsInput: true }, Now);
            if (_readable is not null && _machine.IsReading)
                (work.Readable, _readable) = (_readable, null);
            if (_room is not null && !IsFull)
                (work.Room, _room) = (_room, null);
            work.Sends = !_holdsOutput && !IsHeld && _output.TryBegin();
            work.IsClosing = _isClosing && !work.Sends && _output.IsDone;
            work.HasEnded = _machine.IsEnded && _lanes.Count == 0 && _pending == 0;
            Arm();
        }
        return work;
    }

    private void Collect(in ConnectionAction action, ref Work work)
    {
        switch (action.Kind)
        {
            case ActionKind.OpenChannel:
                var (session, channel) = (_session!, action.Channel!);
                var opened = new ChannelLane(channel, this, ending => session.CreateChannel(new ChannelClient(this, channel, ending)));
                _lanes.Add(channel, opened);
                Add(opened, action, ref work);
                break;
            case ActionKind.Handle or ActionKind.EndChannel:
                Add(_lanes[action.Channel!], action, ref work);
                break;
            case ActionKind.CloseTcp:
                (_isClosing, _cutAt) = (true, Now + LastSendTime);
                _ending = action.AwaitsClient ? SocketShutdown.Send : SocketShutdown.Receive;
                if (action.Text is { } reason)
                    _server.Malformed(RemoteEndPoint, new MalformedRequestException(reason));
                break;
            default:
                _pending++;
                (work.Asks ??= []).Add(action);
                break;
        }
    }

    private static void Add(ChannelLane lane, in ConnectionAction action, ref Work work)
    {
        if (lane.Add(action))
            (work.Lanes ??= []).Add(lane);
    }

    private void Arm()
    {
        var next = _machine.NextTick ?? TimeSpan.MaxValue;
        next = _cutAt < next ? _cutAt : next;
        if (next >= _armedFor)
            return;
        _armedFor = next;
        var wait = next - Now;
        _timer.Change(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    // A thread that sends handles no commands: what it holds would wait for those of another channel, which may be many.
    private void Run(Work work, bool isOfSender = false)
    {
        work.Readable?.SetResult();
        work.Room?.SetResult();
        isOfSender |= Volatile.Read(ref _holders) > 0;
        for (var index = 0; index < work.Lanes?.Count; index++)
        {
            if (isOfSender)
                ThreadPool.UnsafeQueueUserWorkItem(static lane => _ = lane.RunAsync(), work.Lanes[index], preferLocal: false);
            else
                _ = work.Lanes[index].RunAsync();
        }
        for (var index = 0; index < work.Asks?.Count; index++)
            _ = AskAsync(work.Asks[index]);
        if (work.Sends)
            _ = _output.SendAsync();
        if (work.IsClosing)
            Shutdown();
        if (work.HasEnded)
            _ended.TrySetResult();
    }

    // A client that closed the connection may still write: that is received and dropped until the client ends. A socket that is closed with
    // unread bytes resets the connection, and the answer to the close may be lost. In other cases the receive that is in progress ends. The
    // server then closes the socket.
    private void Shutdown()
    {
        try
        {
            _socket.Shutdown(_ending);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The connection has ended already.
        }
    }

    private async Task AskAsync(ConnectionAction action)
    {
        Action<TimeSpan> answer;
        try
        {
            answer = await AnswerAsync(action).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            ((IChannelOwner)this).Log(EngineLogLevel.Error, $"{action.Kind} failed; the connection is closed.", fault);
            answer = now =>
            {
                _machine.Close(ReplyCode.InternalError, "the broker met a fault; see its log", now);
                if (action.Kind == ActionKind.EndSession)
                    _machine.SessionEnded(now);
            };
        }
        lock (_lock)
        {
            _pending--;
            answer(Now);
        }
        Run(Collect());
    }

    private async Task<Action<TimeSpan>> AnswerAsync(ConnectionAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.Login:
                var login = await _access.LoginAsync(action.Login!, _machine.Client).ConfigureAwait(false);
                if (login.Outcome == LoginOutcome.Accepted)
                    _place?.Dispose();
                return now => _machine.LoggedIn(login, action.Login!, now);
            case ActionKind.OpenHost:
                AmqpException? refusal = null;
                try
                {
                    _session = await _access.OpenAsync(_machine.Client.VirtualHost, _machine.Client).ConfigureAwait(false);
                }
                catch (AmqpException refused)
                {
                    refusal = refused;
                }
                return now => _machine.HostOpened(refusal, now);
            case ActionKind.UpdateSecret:
                var update = (ConnectionUpdateSecret)action.Method!;
                var isAccepted = await _session!.UpdateSecretAsync(update.NewSecret, update.Reason).ConfigureAwait(false);
                return now => _machine.SecretUpdated(isAccepted, now);
            default:
                await _session!.EndAsync().ConfigureAwait(false);
                return _machine.SessionEnded;
        }
    }

    /// <summary>What is done outside of the lock.</summary>
    private struct Work
    {
        public List<ChannelLane>? Lanes;
        public List<ConnectionAction>? Asks;
        public TaskCompletionSource? Readable;
        public TaskCompletionSource? Room;
        public bool Sends;
        public bool IsClosing;
        public bool HasEnded;
    }

    /// <summary>A channel's way to the client.</summary>
    private sealed class ChannelClient(AmqpConnection connection, ChannelState channel, Task ending) : IChannelClient
    {
        public ushort Number => channel.Number;

        public AmqpClient Client => connection._machine.Client;

        public bool IsFull
        {
            get
            {
                lock (connection._lock)
                    return connection.IsFull || !connection.CanDeliver;
            }
        }

        public bool DropsReplies
        {
            get
            {
                lock (connection._lock)
                    return connection.DropsReplies;
            }
        }

        public bool CanDeliver
        {
            get
            {
                lock (connection._lock)
                    return connection.CanDeliver;
            }
        }

        public Task Ending => ending;

        public void Send<T>(in T method)
            where T : IMethod => connection.Send(channel, method);

        public void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
            where T : IMethod => connection.Send(channel, method, properties, body);

        public void Expect(int bytes) => Interlocked.Add(ref connection._expected, bytes);

        public void Hold() => connection.Hold();

        public void Release() => connection.Release();

        public Task WaitForRoomAsync() => connection.WaitToDeliverAsync();

        public void Fail(AmqpException fault) => ((IChannelOwner)connection).Failed(channel, fault);
    }
}
