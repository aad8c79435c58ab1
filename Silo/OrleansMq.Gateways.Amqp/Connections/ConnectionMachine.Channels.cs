using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>Channels: opening and closing them, assembling their contents, and publishers that are blocked.</summary>
internal sealed partial class ConnectionMachine
{
    // Those whose numbers are in use.
    private readonly Dictionary<ushort, ChannelState> _channels = [];
    private long _incompleteBytes;
    // When contents are looked at that do not go on; null: there was none since the last look.
    private TimeSpan? _stallsAt;
    // Before it the client was not read from.
    private TimeSpan _readSince;
    // Why the server takes no messages; null: it takes them.
    private string? _alarm;
    private bool _hasPublished;
    private bool _isBlocked;

    /// <summary>The channel is open.</summary>
    public void ChannelOpened(ChannelState channel, TimeSpan now)
    {
        _now = now;
        if (CanSend(channel))
            Write(channel.Number, default(ChannelOpenOk));
    }

    /// <summary>A command is done, or was dropped.</summary>
    /// <param name="bytes">What it counted among those in flight.</param>
    /// <param name="now">The time.</param>
    public void Handled(int bytes, TimeSpan now)
    {
        _now = now;
        var wasReading = IsReading;
        _inFlight -= bytes;
        _memory.Add(-bytes);
        // The time in which nothing was read is not the client's silence.
        if (!wasReading)
            _lastReceived = _readSince = now;
    }

    /// <summary>A command of a channel met an error, or the channel itself. Later commands are dropped.</summary>
    public void ChannelFailed(ChannelState channel, AmqpException fault, TimeSpan now)
    {
        _now = now;
        if (!fault.Code.IsChannelError())
            Fail(0, fault);
        else if (channel.Status is ChannelStatus.Open or ChannelStatus.ClosingByClient)
            FailChannel(channel, fault);
        else if (channel.Status == ChannelStatus.Failing)
            channel.Fault = fault; // Of an earlier command.
    }

    /// <summary>A channel has ended: its consumers are gone and its deliveries are returned.</summary>
    public void ChannelEnded(ChannelState channel, TimeSpan now)
    {
        _now = now;
        _live.Remove(channel);
        switch (channel.Status)
        {
            case ChannelStatus.ClosingByClient:
                // The number is free for another channel: what this one still sends is dropped.
                channel.Status = ChannelStatus.Ended;
                _channels.Remove(channel.Number);
                Write(channel.Number, default(ChannelCloseOk));
                break;
            case ChannelStatus.Failing:
                var fault = channel.Fault!;
                channel.Status = ChannelStatus.ClosingByServer;
                Write(channel.Number, new ChannelClose((ushort)fault.Code, fault.ReplyText, fault.Method.ClassId, fault.Method.Index));
                if (channel.IsClosedByClient)
                    Write(channel.Number, default(ChannelCloseOk));
                break;
        }
        EndSessionIfLast();
        FinishClose();
    }

    /// <summary>Sends a method on a channel; drops it where the channel or the connection closes.</summary>
    public void Send<T>(ChannelState channel, in T method, TimeSpan now)
        where T : IMethod
    {
        _now = now;
        if (CanSend(channel))
            Write(channel.Number, method);
    }

    /// <summary>Sends a method and its content on a channel; drops it where the channel or the connection closes.</summary>
    public void Send<T>(ChannelState channel, in T method, ContentProperties properties, ReadOnlySpan<byte> body, TimeSpan now)
        where T : IMethod
    {
        _now = now;
        if (!CanSend(channel))
            return;
        Frames.WriteContent(Output, channel.Number, method, properties.Bytes.IsEmpty ? ContentProperties.None.Bytes.Span
            : properties.Bytes.Span, body, Client.FrameMax);
        _lastSent = now;
    }

    /// <summary>The server takes no messages. Publishers are told at once, or at their first message, and not read from.</summary>
    /// <param name="reason">Such as <c>low on memory</c>.</param>
    /// <param name="now">The time.</param>
    public void Block(string reason, TimeSpan now)
    {
        _now = now;
        _alarm = reason;
        if (_hasPublished)
            EnterBlocked();
    }

    /// <summary>The server takes messages again.</summary>
    public void Unblock(TimeSpan now)
    {
        _now = now;
        _alarm = null;
        if (!_isBlocked)
            return;
        _isBlocked = false;
        _lastReceived = _readSince = now;
        if (_state == ConnectionState.Running && Client.WantsBlocked)
            Write(0, default(ConnectionUnblocked));
    }

    private bool CanSend(ChannelState channel) => _state == ConnectionState.Running
        && channel.Status is ChannelStatus.Open or ChannelStatus.ClosingByClient or ChannelStatus.Failing;

    private void EnterBlocked()
    {
        if (_isBlocked || _state != ConnectionState.Running)
            return;
        _isBlocked = true;
        if (Client.WantsBlocked)
            Write(0, new ConnectionBlocked(_alarm ?? MemoryBudget.Reason));
    }

    private void TakeChannelFrame(FrameHead head, ReadOnlySpan<byte> payload)
    {
        if (!_channels.TryGetValue(head.Channel, out var channel))
            OpenChannel(head, payload);
        else if (channel.Status != ChannelStatus.Open)
            TakeOfClosing(channel, head, payload);
        else if (head.Type == FrameType.Method)
            TakeMethod(channel, payload);
        else if (channel.Pending is null)
            throw new AmqpException(ReplyCode.UnexpectedFrame, "expected method frame, got non method frame instead");
        else if (head.Type == FrameType.Header)
            TakeContentHead(channel, payload);
        else
            TakeBody(channel, payload);
    }

    private void OpenChannel(FrameHead head, ReadOnlySpan<byte> payload)
    {
        if (_channels.Count >= Client.ChannelMax)
            throw new AmqpException(ReplyCode.NotAllowed,
                $"number of channels opened ({_channels.Count}) has reached the negotiated channel_max ({Client.ChannelMax})");
        if (head.Type != FrameType.Method)
            throw new AmqpException(ReplyCode.UnexpectedFrame, "expected method frame, got non method frame instead");
        if (Frames.ReadMethod(payload, _names) is not ChannelOpen)
            throw new AmqpException(ReplyCode.ChannelError, "expected 'channel.open'", Frames.ReadMethodId(payload));
        var channel = new ChannelState(head.Channel);
        _channels.Add(head.Channel, channel);
        _live.Add(channel);
        Do(new ConnectionAction(ActionKind.OpenChannel, channel));
    }

    private void TakeOfClosing(ChannelState channel, FrameHead head, ReadOnlySpan<byte> payload)
    {
        if (head.Type != FrameType.Method)
            return;
        var id = Frames.ReadMethodId(payload);
        if (id == ChannelClose.Id && channel.Status == ChannelStatus.Failing)
            channel.IsClosedByClient = true;
        else if (id == ChannelClose.Id && channel.Status == ChannelStatus.ClosingByServer)
            Write(channel.Number, default(ChannelCloseOk));
        else if (id == ChannelCloseOk.Id && channel.Status == ChannelStatus.ClosingByServer)
            _channels.Remove(channel.Number);
    }

    private void TakeMethod(ChannelState channel, ReadOnlySpan<byte> payload)
    {
        var id = Frames.ReadMethodId(payload);
        if (id == ChannelOpen.Id)
            throw new AmqpException(ReplyCode.ChannelError, "second 'channel.open' seen", id);
        if (channel.Pending is { } pending)
            throw new AmqpException(ReplyCode.UnexpectedFrame, channel.Content is null
                ? $"expected content header for class {pending.Id.ClassId}, got non content header frame instead"
                : "expected content body, got non content body frame instead", pending.Id);
        var method = Frames.ReadMethod(payload, _names);
        if (id == ChannelClose.Id)
        {
            channel.Status = ChannelStatus.ClosingByClient;
            Do(new ConnectionAction(ActionKind.EndChannel, channel));
        }
        else if (!IsCommand(id))
        {
            throw new AmqpException(ReplyCode.CommandInvalid, "unimplemented method", id);
        }
        else if (MethodTable.HasContent(id))
        {
            channel.Pending = method;
            _hasPublished = true;
            // The alarm for memory may still be on its way.
            if (_alarm is not null || _memory.IsOver)
                EnterBlocked();
        }
        else
        {
            Handle(channel, method, null, payload.Length);
        }
    }

    // Methods that clients send have indexes that their answers follow.
    private static bool IsCommand(MethodId id) => id.ClassId > ConnectionStart.Id.ClassId && id.Index % 10 == 0
        && id != BasicReturn.Id && id != BasicDeliver.Id;

    private void TakeContentHead(ChannelState channel, ReadOnlySpan<byte> payload)
    {
        var method = channel.Pending!.Id;
        if (channel.Content is not null)
            throw new AmqpException(ReplyCode.UnexpectedFrame, "expected content body, got non content body frame instead", method);
        var head = ContentHead.Read(payload);
        if (head.ClassId != method.ClassId)
            throw new AmqpException(ReplyCode.UnexpectedFrame,
                $"expected content header for class {method.ClassId}, got one for class {head.ClassId} instead", method);
        if (head.BodyBytes > (ulong)_settings.MaxMessageBytes)
            throw new AmqpException(ReplyCode.PreconditionFailed,
                $"message size {head.BodyBytes} is larger than configured max size {_settings.MaxMessageBytes}", method);
        ContentProperties.Check(payload[ContentHead.Bytes..]);
        channel.Content = new AmqpContent(payload[ContentHead.Bytes..], (int)head.BodyBytes);
        Arrived(channel, payload.Length - ContentHead.Bytes);
    }

    private void TakeBody(ChannelState channel, ReadOnlySpan<byte> payload)
    {
        var method = channel.Pending!.Id;
        if (channel.Content is not { } content)
            throw new AmqpException(ReplyCode.UnexpectedFrame,
                $"expected content header for class {method.ClassId}, got non content header frame instead", method);
        if (payload.Length > content.Missing)
            throw new AmqpException(ReplyCode.FrameError, "content body frame exceeds remaining content size", method);
        content.Append(payload);
        Arrived(channel, payload.Length);
    }

    private void Arrived(ChannelState channel, int bytes)
    {
        var content = channel.Content!;
        if (content.Missing > 0)
        {
            _incompleteBytes += bytes;
            channel.ContentAt = _now;
            _stallsAt ??= _now + ContentPause;
            if (!Unfinished.Add(bytes))
                throw Unfinished.Fault(channel.Pending!.Id);
            if (_incompleteBytes > _settings.MaxInFlightBytes)
                throw new AmqpException(ReplyCode.ResourceError, $"contents that arrived in part have {_incompleteBytes} bytes, at most "
                    + $"{_settings.MaxInFlightBytes} are allowed: complete some before others begin", channel.Pending!.Id);
            return;
        }
        // The last part was never incomplete.
        _incompleteBytes -= content.Bytes - bytes;
        Unfinished.Add(bytes - content.Bytes);
        var method = channel.Pending!;
        (channel.Pending, channel.Content) = (null, null);
        Handle(channel, method, content, content.Bytes);
    }

    // Heartbeats may leave a client silent for longer.
    private TimeSpan ContentPause => SilenceOf(Client.Heartbeat) > ConnectionSettings.MaxContentPause ? SilenceOf(Client.Heartbeat)
        : ConnectionSettings.MaxContentPause;

    // A content that has no part for a time ends with its channel. The time in which nothing is read is not the client's.
    private void EndStalled()
    {
        _stallsAt = null;
        if (!IsReading)
            _readSince = _now;
        foreach (var channel in _channels.Values)
        {
            if (channel.Content is not { } content)
                continue;
            var due = (channel.ContentAt > _readSince ? channel.ContentAt : _readSince) + ContentPause;
            if (due <= _now)
                FailChannel(channel, new AmqpException(ReplyCode.PreconditionFailed, $"nothing came of a message for "
                    + $"{ContentPause.TotalSeconds:0} s, {content.Missing} of {content.BodyBytes} bytes of its body "
                    + "are missing: publish it again on another channel", channel.Pending!.Id));
            else if (!(_stallsAt <= due))
                _stallsAt = due;
        }
    }

    private void Handle(ChannelState channel, IMethod method, AmqpContent? content, int bytes)
    {
        bytes += CommandBytes;
        _inFlight += bytes;
        _memory.Add(bytes);
        Do(new ConnectionAction(ActionKind.Handle, channel, method, content, bytes));
    }

    private void FailChannel(ChannelState channel, AmqpException fault)
    {
        // A channel that the client closes is ended already behind the command that failed.
        var isEnding = channel.Status == ChannelStatus.ClosingByClient;
        (channel.Status, channel.Fault, channel.IsClosedByClient) = (ChannelStatus.Failing, fault, isEnding);
        DropContent(channel);
        if (!isEnding)
            Do(new ConnectionAction(ActionKind.EndChannel, channel));
    }

    private void DropContent(ChannelState channel)
    {
        if (channel.Content is { } content)
        {
            _incompleteBytes -= content.Bytes - content.Missing;
            Unfinished.Add(content.Missing - content.Bytes);
            content.Dispose();
        }
        (channel.Pending, channel.Content) = (null, null);
    }
}
