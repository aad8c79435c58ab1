using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>
/// How a connection ends. Channels that are not ended yet are <see cref="_live"/>; the session ends after the last of them.
/// </summary>
internal sealed partial class ConnectionMachine
{
    private readonly HashSet<ChannelState> _live = [];
    private bool _isSessionEnding;
    private bool _isSessionEnded;
    // Whether a close of the client was answered after the server's own.
    private bool _isCloseAnswered;

    /// <summary>Closes the connection with an error, as an operator does, or a broker that stops.</summary>
    public void Close(ReplyCode code, string text, TimeSpan now)
    {
        _now = now;
        if (_state < ConnectionState.Tune)
        {
            EndTcp(null);
        }
        else if (_state <= ConnectionState.Running)
        {
            CloseByServer(new AmqpException(code, text));
            _deadlineReason = null;
        }
    }

    /// <summary>Closes the connection with an error of the client's.</summary>
    public void Fail(AmqpException fault, TimeSpan now)
    {
        _now = now;
        Fail(0, fault);
    }

    /// <summary>The TCP connection is gone, or nothing more comes.</summary>
    public void Disconnected(TimeSpan now)
    {
        _now = now;
        if (_state != ConnectionState.Ended)
            EndTcp(_state is ConnectionState.Silent or ConnectionState.ClosingByServer ? _deadlineReason : null);
    }

    /// <summary>The session has ended.</summary>
    public void SessionEnded(TimeSpan now)
    {
        _now = now;
        _isSessionEnded = true;
        FinishClose();
    }

    // An error on a channel, or of the connection where it is a hard one or the channel is 0.
    private void Fail(ushort channel, AmqpException fault)
    {
        if (_state >= ConnectionState.ClosingByClient)
            return;
        if (_state < ConnectionState.Tune)
            FallSilent($"{fault.Message}, during the handshake");
        else if (fault.Code.IsChannelError() && _channels.TryGetValue(channel, out var state))
            FailChannel(state, fault);
        else
            CloseByServer(fault);
    }

    private void CloseByClient()
    {
        (_state, _deadline) = (ConnectionState.ClosingByClient, null);
        EndChannels();
        FinishClose();
    }

    private void CloseByServer(AmqpException fault)
    {
        Write(0, new ConnectionClose((ushort)fault.Code, fault.ReplyText, fault.Method.ClassId, fault.Method.Index));
        var wait = Client.Heartbeat > TimeSpan.Zero && Client.Heartbeat < ConnectionSettings.MaxCloseTime ? Client.Heartbeat
            : ConnectionSettings.MaxCloseTime;
        (_state, _deadline, _deadlineReason) = (ConnectionState.ClosingByServer, _now + wait, fault.Message);
        EndChannels();
    }

    // The client is told nothing: one that guesses passwords waits.
    private void FallSilent(string reason)
    {
        (_state, _deadline, _deadlineReason) = (ConnectionState.Silent, _now + ConnectionSettings.SilentCloseTime, reason);
        EndChannels();
    }

    private void TakeWhileClosing(MethodId id)
    {
        if (_state != ConnectionState.ClosingByServer)
            return;
        if (id == ConnectionCloseOk.Id)
        {
            EndTcp(_deadlineReason);
        }
        else if (id == ConnectionClose.Id && !_isCloseAnswered)
        {
            // Once: what a client that reads nothing is sent has a bound.
            _isCloseAnswered = true;
            Write(0, default(ConnectionCloseOk));
        }
    }

    // All channels end before the client's close is answered: what it does next finds its messages requeued.
    private void FinishClose()
    {
        if (_state != ConnectionState.ClosingByClient || _live.Count > 0 || (_isHostOpen && !_isSessionEnded))
            return;
        Write(0, default(ConnectionCloseOk));
        EndTcp(null, awaitsClient: true);
    }

    private void EndTcp(string? reason, bool awaitsClient = false)
    {
        (_state, _deadline) = (ConnectionState.Ended, null);
        Do(new ConnectionAction(ActionKind.CloseTcp, Text: reason, AwaitsClient: awaitsClient));
        EndChannels();
    }

    private void EndChannels()
    {
        foreach (var channel in _channels.Values)
        {
            DropContent(channel);
            if (channel.Status is ChannelStatus.Open)
                Do(new ConnectionAction(ActionKind.EndChannel, channel));
            channel.Status = ChannelStatus.Ended;
        }
        _channels.Clear();
        _stallsAt = null;
        EndSessionIfLast();
    }

    private void EndSessionIfLast()
    {
        if (_state <= ConnectionState.Running || _live.Count > 0 || !_isHostOpen || _isSessionEnding)
            return;
        _isSessionEnding = true;
        Do(new ConnectionAction(ActionKind.EndSession));
    }
}
