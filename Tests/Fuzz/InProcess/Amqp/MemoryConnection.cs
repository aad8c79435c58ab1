using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>A connection without a socket: the shell of a <see cref="ConnectionMachine"/>, with the broker's own channels. Its client reads
/// at once what is written, and checks it. One thread at a time drives it; channels and consumers run on the pool.</summary>
internal sealed class MemoryConnection : IChannelOwner
{
    // What a frame may take for each of its bytes, and for a content that grows with it: names, a boxed method, a place in a queue.
    private const int MaxAllocatedPerByte = 64;
    private const int MaxAllocatedPerHeldByte = 8;
    // Several errors with their stacks, and the runtime's own pools.
    private const int MaxAllocatedBeside = 64 << 10;

    private const int MaxMessageBytes = 1 << 20;
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);
    private static readonly ConnectionSettings Settings = new() { MaxMessageBytes = MaxMessageBytes };

    private readonly Lock _lock = new();
    private readonly MemoryBroker _broker;
    private readonly ConnectionMachine _machine;
    private readonly ServerFrames _frames;
    private readonly PooledBuffer _input = new();
    private readonly Dictionary<ChannelState, ChannelLane> _lanes = [];
    private IAmqpSession? _session;
    private bool _hasSessionEnded;
    // Lanes that run, and answers of the access or the session that are on their way.
    private int _working;
    private TaskCompletionSource? _quiet;
    private TimeSpan _now;
    private Exception? _fault;

    public MemoryConnection(MemoryBroker broker)
    {
        _broker = broker;
        var client = new AmqpClient(new IPEndPoint(IPAddress.Loopback, 1));
        _machine = new ConnectionMachine(Settings, client, broker.Memory, EndForMemory);
        _frames = new ServerFrames(client);
    }

    bool IChannelOwner.ChargesTime => false;

    /// <summary>The frames that the broker has written.</summary>
    public int Written
    {
        get
        {
            lock (_lock)
                return _frames.Count;
        }
    }

    /// <summary>The commands that channels have got.</summary>
    public int Commands { get; private set; }

    /// <summary>Bytes that the machine has not taken.</summary>
    public int Waiting => _input.Length;

    /// <summary>Whether the virtual host is open, and the connection does not close.</summary>
    public bool IsRunning
    {
        get
        {
            lock (_lock)
                return _machine.IsRunning;
        }
    }

    /// <summary>Whether the broker awaits close-ok.</summary>
    public bool IsClosing
    {
        get
        {
            lock (_lock)
                return _frames.IsClosing && !_machine.IsEnded;
        }
    }

    /// <summary>Whether it is over, with its channels and its session.</summary>
    public bool IsEnded
    {
        get
        {
            lock (_lock)
                return _machine.IsEnded && _lanes.Count == 0 && _working == 0;
        }
    }

    /// <summary>Returns the state of a channel; null if it was never opened.</summary>
    public ChannelTalkState? StateOf(ushort number)
    {
        lock (_lock)
            return _frames.Find(number)?.State;
    }

    /// <summary>Takes a tag of a channel that waits for its acknowledgement; 0 if there is none.</summary>
    /// <param name="number">The channel.</param>
    /// <param name="choice">Chooses one.</param>
    /// <param name="isMultiple">Whether those before it are acknowledged with it.</param>
    public ulong TakeTag(ushort number, int choice, bool isMultiple)
    {
        lock (_lock)
            return _frames.Find(number)?.TakeTag(choice, isMultiple) ?? 0;
    }

    /// <summary>Receives bytes behind those that wait. Returns how many of all were taken.</summary>
    public int Receive(ReadOnlySpan<byte> bytes)
    {
        _input.Write(bytes);
        var work = new Work();
        int taken;
        lock (_lock)
        {
            var held = _machine.Unfinished.Counted;
            var before = GC.GetAllocatedBytesForCurrentThread();
            taken = _machine.Consume(_input.WrittenSpan, _now);
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            held = Math.Max(held, _machine.Unfinished.Counted);
            var most = MaxAllocatedBeside + ((long)_input.Length * MaxAllocatedPerByte) + (held * MaxAllocatedPerHeldByte);
            if (allocated > most)
                _fault ??= new FuzzFailedException($"Consuming {taken} of {_input.Length} bytes with {held} before them allocated "
                    + $"{allocated}; {most} are the most.");
            Collect(ref work);
        }
        var rest = _input.WrittenSpan[taken..];
        rest.CopyTo(_input.WrittenSpan);
        _input.Truncate(rest.Length);
        Run(work);
        return taken;
    }

    /// <summary>Waits until no command is on its way.</summary>
    /// <exception cref="FuzzFailedException">One takes too long, or something went wrong.</exception>
    public async ValueTask QuietAsync()
    {
        Task quiet;
        lock (_lock)
            quiet = _working == 0 ? Task.CompletedTask
                : (_quiet ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        try
        {
            if (!quiet.IsCompleted)
                await quiet.WaitAsync(Deadline);
        }
        catch (TimeoutException)
        {
            throw new FuzzFailedException($"A command is not done after {Deadline.TotalSeconds:0} s.");
        }
        if (Volatile.Read(ref _fault) is { } fault)
            throw new FuzzFailedException(fault.Message, fault);
    }

    /// <summary>Time passes.</summary>
    public void Wait(TimeSpan time) => Act(() =>
    {
        _now += time;
        _machine.Tick(_now);
    });

    /// <summary>The broker takes no messages, or takes them again.</summary>
    public void Alarm(bool isRaised) => Act(() =>
    {
        if (isRaised)
            _machine.Block("low on memory", _now);
        else
            _machine.Unblock(_now);
    });

    /// <summary>The broker closes the connection, as one that stops.</summary>
    public void Close() => Act(() => _machine.Close(ReplyCode.ConnectionForced, "broker forced connection closure", _now));

    /// <summary>The client is gone.</summary>
    public void Disconnect() => Act(() => _machine.Disconnected(_now));

    /// <summary>Checks that a connection that has ended holds nothing.</summary>
    /// <exception cref="FuzzFailedException">It has not ended, or does.</exception>
    public void CheckEnded()
    {
        lock (_lock)
        {
            if (!_machine.IsEnded || _lanes.Count > 0 || _machine.InFlight != 0 || _machine.Unfinished.Counted != 0
                || (_session is not null && !_hasSessionEnded))
                throw new FuzzFailedException($"After its end the connection has {_lanes.Count} channels, {_machine.InFlight} bytes in "
                    + $"flight, {_machine.Unfinished.Counted} unfinished bytes; ended: {_machine.IsEnded}, with its session: "
                    + $"{_session is null || _hasSessionEnded}.");
            _machine.Unfinished.Dispose();
            _machine.Output.Dispose();
        }
        _input.Dispose();
    }

    bool IChannelOwner.TryTake(ChannelLane lane, out ConnectionAction action)
    {
        lock (_lock)
            return lane.TryTake(out action);
    }

    void IChannelOwner.Opened(ChannelState channel) => Act(() => _machine.ChannelOpened(channel, _now));

    void IChannelOwner.Charge(TimeSpan time)
    {
    }

    void IChannelOwner.Handled(int bytes)
    {
        var work = new Work();
        lock (_lock)
        {
            _machine.Handled(bytes, _now);
            Collect(ref work);
        }
        Run(work);
    }

    void IChannelOwner.Failed(ChannelState channel, AmqpException fault) => Act(() => _machine.ChannelFailed(channel, fault, _now));

    void IChannelOwner.Ended(ChannelState channel) => Act(() =>
    {
        _lanes.Remove(channel);
        _machine.ChannelEnded(channel, _now);
    });

    public void Send<T>(ChannelState channel, in T method)
        where T : IMethod
    {
        var work = new Work();
        lock (_lock)
        {
            _machine.Send(channel, method, _now);
            Collect(ref work);
        }
        Run(work);
    }

    Task IChannelOwner.WaitForRoomAsync() => Task.CompletedTask;

    void IChannelOwner.Log(EngineLogLevel level, string message, Exception? fault) => _broker.Log.Write(level, message, fault);

    private void Send<T>(ChannelState channel, in T method, ContentProperties properties, ReadOnlySpan<byte> body)
        where T : IMethod
    {
        var work = new Work();
        lock (_lock)
        {
            _machine.Send(channel, method, properties, body, _now);
            Collect(ref work);
        }
        Run(work);
    }

    private void EndForMemory(AmqpException fault) => Act(() => _machine.Fail(fault, _now));

    private void Act(Action change)
    {
        var work = new Work();
        lock (_lock)
        {
            change();
            Collect(ref work);
        }
        Run(work);
    }

    // What was written comes before what is asked for. Commands enter their lanes in the machine's order.
    private void Collect(ref Work work)
    {
        if (_machine.Output.Length > 0)
        {
            try
            {
                // What follows a fault is not looked at: it is the first that counts.
                if (_fault is null)
                    _frames.Read(_machine.Output.WrittenSpan);
            }
            catch (Exception fault)
            {
                _fault = fault;
            }
            _machine.Output.Clear();
        }
        while (_machine.TryTakeAction(out var action))
            Collect(action, ref work);
    }

    private void Collect(in ConnectionAction action, ref Work work)
    {
        switch (action.Kind)
        {
            case ActionKind.OpenChannel:
                var (session, channel) = (_session!, action.Channel!);
                Note(action);
                var opened = new ChannelLane(channel, this, ending => session.CreateChannel(new ChannelClient(this, channel, ending)));
                _lanes.Add(channel, opened);
                Add(opened, action, ref work);
                break;
            case ActionKind.Handle or ActionKind.EndChannel:
                Note(action);
                Add(_lanes[action.Channel!], action, ref work);
                break;
            case ActionKind.CloseTcp:
                break;
            default:
                _working++;
                (work.Asks ??= []).Add(action);
                break;
        }
    }

    private void Note(in ConnectionAction action)
    {
        try
        {
            if (action.Kind == ActionKind.OpenChannel)
                _frames.Opening(action.Channel!.Number);
            else if (action.Kind == ActionKind.Handle)
                _frames.Commanded(action.Channel!.Number, action.Method!);
        }
        catch (FuzzFailedException fault)
        {
            _fault ??= fault;
        }
        if (action.Kind == ActionKind.Handle)
            Commands++;
    }

    private void Add(ChannelLane lane, in ConnectionAction action, ref Work work)
    {
        if (!lane.Add(action))
            return;
        _working++;
        (work.Lanes ??= []).Add(lane);
    }

    private void Run(Work work)
    {
        for (var index = 0; index < work.Lanes?.Count; index++)
            _ = FollowAsync(work.Lanes[index].RunAsync());
        for (var index = 0; index < work.Asks?.Count; index++)
            _ = FollowAsync(AskAsync(work.Asks[index]));
    }

    private async Task FollowAsync(Task working)
    {
        try
        {
            await working.ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            Interlocked.CompareExchange(ref _fault, fault, null);
        }
        TaskCompletionSource? quiet = null;
        lock (_lock)
        {
            if (--_working == 0)
                (quiet, _quiet) = (_quiet, null);
        }
        quiet?.SetResult();
    }

    private async Task AskAsync(ConnectionAction action)
    {
        var access = _broker.Access;
        switch (action.Kind)
        {
            case ActionKind.Login:
                var login = await access.LoginAsync(action.Login!, _machine.Client).ConfigureAwait(false);
                Act(() => _machine.LoggedIn(login, action.Login!, _now));
                break;
            case ActionKind.OpenHost:
                AmqpException? refusal = null;
                try
                {
                    _session = await access.OpenAsync(_machine.Client.VirtualHost, _machine.Client).ConfigureAwait(false);
                }
                catch (AmqpException refused)
                {
                    refusal = refused;
                }
                Act(() => _machine.HostOpened(refusal, _now));
                break;
            case ActionKind.UpdateSecret:
                Act(() => _machine.SecretUpdated(isAccepted: true, _now));
                break;
            default:
                await _session!.EndAsync().ConfigureAwait(false);
                Act(() =>
                {
                    _hasSessionEnded = true;
                    _machine.SessionEnded(_now);
                });
                break;
        }
    }

    /// <summary>What is done outside of the lock.</summary>
    private struct Work
    {
        public List<ChannelLane>? Lanes;
        public List<ConnectionAction>? Asks;
    }

    /// <summary>A channel's way to the client, which always has room.</summary>
    private sealed class ChannelClient(MemoryConnection connection, ChannelState channel, Task ending) : IChannelClient
    {
        public ushort Number => channel.Number;

        public AmqpClient Client => connection._machine.Client;

        public bool IsFull => !CanDeliver;

        public bool CanDeliver => connection.IsRunning;

        public Task Ending => ending;

        public void Send<T>(in T method)
            where T : IMethod => connection.Send(channel, method);

        public void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
            where T : IMethod => connection.Send(channel, method, properties, body);

        public void Hold()
        {
        }

        public void Release()
        {
        }

        // A connection that closes has no room any more.
        public Task WaitForRoomAsync() => CanDeliver ? Task.CompletedTask : new TaskCompletionSource().Task;

        public void Fail(AmqpException fault) => ((IChannelOwner)connection).Failed(channel, fault);
    }
}
