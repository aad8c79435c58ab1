using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>
/// One connection as a state machine without sockets, threads and clock: bytes of the client go in (<see cref="Consume"/>), bytes for the
/// client collect in <see cref="Output"/>, and what the shell has to do in <see cref="TryTakeAction"/>. Each call brings the time since the
/// connection began. For one caller at a time.
/// <code>
/// Header -> Start -> [LoggingIn -> [Secure -> LoggingIn]] -> Tune -> Open -> OpeningHost -> Running
/// Tune to Running -> ClosingByClient   client's close: channels and session end, then close-ok
///                 -> ClosingByServer   an error, or the operator: close is sent, all but close and close-ok is ignored
/// any             -> Silent            an error that the client is not told: input is ignored until the deadline
/// any             -> Ended             the TCP connection is closed, or gone
/// </code>
/// </summary>
internal sealed partial class ConnectionMachine
{
    // What a command counts besides its content: its objects.
    private const int CommandBytes = 256;

    private readonly ConnectionSettings _settings;
    private readonly MemoryBudget _memory;
    private readonly Queue<ConnectionAction> _actions = new();
    private readonly NamePool _names = new();
    private ConnectionState _state = ConnectionState.Header;
    private TimeSpan _now;
    private TimeSpan _lastSent;
    private TimeSpan _lastReceived;
    // When the TCP connection is closed: the handshake's end, or that of a close.
    private TimeSpan? _deadline = ConnectionSettings.HandshakeTime;
    // Why, for the log; null: nothing that the client did wrong.
    private string? _deadlineReason = "the handshake took longer than 10 s";
    // Frames cannot be told apart any more.
    private bool _ignoresInput;
    private long _inFlight;
    private bool _holdsInput;

    /// <param name="settings">What is offered and allowed.</param>
    /// <param name="client">The client.</param>
    /// <param name="memory">Counts what all connections hold; null: nothing does.</param>
    /// <param name="end">Has <see cref="Fail(AmqpException, TimeSpan)"/> called where other connections need the memory; null: nothing
    /// does.</param>
    public ConnectionMachine(ConnectionSettings settings, AmqpClient client, MemoryBudget? memory = null, Action<AmqpException>? end = null)
    {
        (_settings, Client, _memory) = (settings, client, memory ?? new MemoryBudget(long.MaxValue));
        client.FrameMax = ConnectionSettings.HandshakeFrameMax;
        client.Unfinished = Unfinished = new UnfinishedBytes(_memory, client, end);
    }

    /// <summary>The client.</summary>
    public AmqpClient Client { get; }

    /// <summary>What only the client can finish. The shell disposes of it when the connection has ended.</summary>
    public UnfinishedBytes Unfinished { get; }

    /// <summary>Bytes to send.</summary>
    public PooledBuffer Output { get; private set; } = new();

    /// <summary>Whether the virtual host is open.</summary>
    public bool IsRunning => _state == ConnectionState.Running;

    /// <summary>RabbitMQ's name of the state; null before the virtual host is open, and where the TCP connection is to be closed.</summary>
    public string? OpenState => _state switch
    {
        ConnectionState.Running => _isBlocked ? "blocked" : "running",
        ConnectionState.ClosingByClient or ConnectionState.ClosingByServer when _isHostOpen => "closing",
        _ => null,
    };

    /// <summary>Whether the TCP connection is to be closed, or gone.</summary>
    public bool IsEnded => _state == ConnectionState.Ended;

    /// <summary>Whether bytes are taken. They are not while commands in flight exceed their bound, while the server takes no messages from
    /// this publisher, while a login, a virtual host or a secret is asked for, and while the shell holds them; a connection that closes
    /// takes all.</summary>
    public bool IsReading => _state > ConnectionState.Running || (!_holdsInput && !_isBlocked && _inFlight < _settings.MaxInFlightBytes
        && !_isReplacingSecret && _state is not (ConnectionState.LoggingIn or ConnectionState.OpeningHost));

    /// <summary>Whether nothing is read from it until messages are taken again.</summary>
    public bool IsBlocked => _isBlocked && _state == ConnectionState.Running;

    /// <summary>Bytes of commands that are not done.</summary>
    public long InFlight => _inFlight;

    /// <summary>The most bytes that the machine needs at once to consume some.</summary>
    public int MaxFrameBytes => Client.FrameMax + Frames.Overhead;

    /// <summary>When <see cref="Tick"/> is due; null: never.</summary>
    public TimeSpan? NextTick
    {
        get
        {
            var next = _deadline ?? TimeSpan.MaxValue;
            if (Client.Heartbeat > TimeSpan.Zero && _state is >= ConnectionState.Open and < ConnectionState.Ended)
            {
                var sending = _lastSent + (Client.Heartbeat / 2);
                next = sending < next ? sending : next;
                if (IsReading && _lastReceived + SilenceOf(Client.Heartbeat) is var silent && silent < next)
                    next = silent;
            }
            if (_stallsAt is { } stall && stall < next)
                next = stall;
            return next == TimeSpan.MaxValue ? null : next;
        }
    }

    /// <summary>Takes the next action; false where there is none.</summary>
    public bool TryTakeAction(out ConnectionAction action) => _actions.TryDequeue(out action);

    /// <summary>Takes the bytes to send, and leaves an empty buffer in their place.</summary>
    public PooledBuffer TakeOutput(PooledBuffer empty)
    {
        var output = Output;
        Output = empty;
        return output;
    }

    /// <summary>Holds input back, as where the client does not receive, or lets it in again.</summary>
    public void HoldInput(bool isHeld, TimeSpan now)
    {
        _now = now;
        if (!IsReading)
            _lastReceived = _readSince = now;
        _holdsInput = isHeld;
    }

    /// <summary>Takes bytes of the client: whole frames, as many as there are.</summary>
    /// <returns>How many bytes were taken; the others come again with those that follow.</returns>
    public int Consume(ReadOnlySpan<byte> bytes, TimeSpan now)
    {
        (_now, _lastReceived) = (now, now);
        var taken = 0;
        while (IsReading && taken < bytes.Length)
        {
            var rest = bytes[taken..];
            if (_ignoresInput || _state is ConnectionState.Silent or ConnectionState.Ended)
                return bytes.Length;
            if (_state == ConnectionState.Header)
            {
                if (rest.Length < ProtocolHeader.Bytes)
                    break;
                TakeHeader(rest[..ProtocolHeader.Bytes]);
                taken += ProtocolHeader.Bytes;
                continue;
            }
            if (rest.Length < FrameHead.Bytes)
                break;
            var head = FrameHead.Read(rest);
            // Clients that count a frame's overhead wrongly send 8 bytes more than they may.
            if (head.Size > Client.FrameMax)
            {
                FailFrame(head, default, $"{{frame_too_large,{head.Size},{Client.FrameMax - Frames.Overhead}}}", ignoresInput: true);
                continue;
            }
            var length = Frames.Overhead + (int)head.Size;
            if (rest.Length < length)
            {
                // All contents wait for a frame that a slow network brings in parts.
                if (head.Type == FrameType.Body)
                    _readSince = now;
                break;
            }
            var payload = rest.Slice(FrameHead.Bytes, (int)head.Size);
            if (rest[length - 1] != Frames.End)
                FailFrame(head, payload, $"{{invalid_frame_end_marker,{rest[length - 1]}}}", ignoresInput: true);
            else
                TakeFrame(head, payload);
            taken += length;
        }
        return taken;
    }

    /// <summary>Does what is due: heartbeats, the ends of waits, and of contents that do not go on.</summary>
    public void Tick(TimeSpan now)
    {
        _now = now;
        if (_state == ConnectionState.Ended)
            return;
        if (_deadline <= now)
        {
            EndTcp(_deadlineReason);
            return;
        }
        if (_stallsAt <= now)
            EndStalled();
        if (Client.Heartbeat <= TimeSpan.Zero || _state < ConnectionState.Open)
            return;
        if (!IsReading)
            _lastReceived = now;
        if (now - _lastReceived >= SilenceOf(Client.Heartbeat))
        {
            EndTcp($"missed heartbeats: nothing came from the client for {(now - _lastReceived).TotalSeconds:0} s, its heartbeat is "
                + $"{Client.Heartbeat.TotalSeconds:0} s");
        }
        else if (now - _lastSent >= Client.Heartbeat / 2)
        {
            Frames.WriteHeartbeat(Output);
            _lastSent = now;
        }
    }

    // RabbitMQ looks each heartbeat and misses two: between two and three of them.
    private static TimeSpan SilenceOf(TimeSpan heartbeat) => heartbeat * 2.5;

    private void TakeFrame(FrameHead head, ReadOnlySpan<byte> payload)
    {
        try
        {
            switch (head.Type)
            {
                case FrameType.Heartbeat when head.Channel == 0:
                    break;
                case FrameType.Method when head.Channel == 0:
                    TakeConnectionMethod(payload);
                    break;
                case FrameType.Method or FrameType.Header or FrameType.Body when head.Channel != 0 && _state >= ConnectionState.Running:
                    // A connection that closes ignores all channels.
                    if (_state == ConnectionState.Running)
                        TakeChannelFrame(head, payload);
                    break;
                case FrameType.Method or FrameType.Header or FrameType.Body or FrameType.Heartbeat:
                    throw new AmqpException(ReplyCode.UnexpectedFrame, Describe(head, payload));
                default:
                    FailFrame(head, payload, "unknown_frame", ignoresInput: false);
                    break;
            }
        }
        catch (AmqpException fault)
        {
            Fail(head.Channel, fault);
        }
    }

    private void FailFrame(FrameHead head, ReadOnlySpan<byte> payload, string detail, bool ignoresInput)
    {
        _ignoresInput |= ignoresInput;
        Fail(0, new AmqpException(ReplyCode.FrameError, $"{Describe(head, payload)}: {detail}"));
        // Its close-ok cannot be read.
        if (ignoresInput && _state == ConnectionState.ClosingByServer)
            _deadline = _now + ConnectionSettings.SilentCloseTime;
    }

    // As RabbitMQ describes a frame, in Erlang's notation.
    private static string Describe(FrameHead head, ReadOnlySpan<byte> payload)
    {
        const int Most = 16;
        var shown = payload[..Math.Min(payload.Length, Most)].ToArray();
        return $"type {(int)head.Type}, {(payload.Length > Most ? "first 16" : "all")} octets = <<{string.Join(',', shown)}>>";
    }

    private void Write<T>(ushort channel, in T method)
        where T : IMethod
    {
        Frames.WriteMethod(Output, channel, method);
        _lastSent = _now;
    }

    private void Do(ConnectionAction action) => _actions.Enqueue(action);

    private void Expect(ConnectionState state) =>
        Invariant.Check(_state == state || _state > ConnectionState.Running, "An answer comes to the question that was asked.");

    /// <summary>The states, in the order of a connection's life.</summary>
    private enum ConnectionState
    {
        Header,
        Start,
        LoggingIn,
        Secure,
        Tune,
        Open,
        OpeningHost,
        Running,
        ClosingByClient,
        ClosingByServer,
        Silent,
        Ended,
    }
}
