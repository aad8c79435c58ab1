using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>The handshake, and the methods of the connection itself.</summary>
internal sealed partial class ConnectionMachine
{
    private string _mechanism = "";
    private bool _isHostOpen;
    private bool _isReplacingSecret;

    /// <summary>The login was checked.</summary>
    public void LoggedIn(LoginResult result, AmqpLogin login, TimeSpan now)
    {
        _now = now;
        Expect(ConnectionState.LoggingIn);
        if (_state != ConnectionState.LoggingIn)
            return;
        switch (result.Outcome)
        {
            case LoginOutcome.Accepted:
                (Client.User, Client.Mechanism) = (login.User, login.Mechanism);
                _state = ConnectionState.Tune;
                Write(0, new ConnectionTune(_settings.ChannelMax, (uint)_settings.FrameMax, _settings.Heartbeat));
                break;
            case LoginOutcome.Challenged:
                _state = ConnectionState.Secure;
                Write(0, new ConnectionSecure(result.Challenge));
                break;
            default:
                RefuseLogin(login, result.Reason);
                break;
        }
    }

    /// <summary>The virtual host was opened, or refused.</summary>
    /// <param name="refusal">Why it was refused; null: it is open.</param>
    /// <param name="now">The time.</param>
    public void HostOpened(AmqpException? refusal, TimeSpan now)
    {
        _now = now;
        Expect(ConnectionState.OpeningHost);
        _isHostOpen = refusal is null;
        if (_state != ConnectionState.OpeningHost)
        {
            // The connection closes meanwhile.
            EndSessionIfLast();
            return;
        }
        if (refusal is not null)
        {
            Fail(0, refusal.For(ConnectionOpen.Id));
            return;
        }
        _state = ConnectionState.Running;
        _deadline = null;
        // The time of the answer is not the client's silence.
        _lastReceived = now;
        Write(0, default(ConnectionOpenOk));
    }

    /// <summary>The secret of the login was replaced, or refused.</summary>
    public void SecretUpdated(bool isAccepted, TimeSpan now)
    {
        _now = now;
        if (_state != ConnectionState.Running)
            return;
        _isReplacingSecret = false;
        _lastReceived = _readSince = now;
        if (isAccepted)
            Write(0, default(ConnectionUpdateSecretOk));
        else
            Fail(0, new AmqpException(ReplyCode.NotAllowed, "New secret was refused by one of the backends", ConnectionUpdateSecret.Id));
    }

    private void TakeHeader(ReadOnlySpan<byte> header)
    {
        var kind = ProtocolHeader.Recognise(header);
        if (kind == ProtocolHeaderKind.Amqp091)
        {
            _state = ConnectionState.Start;
            var mechanisms = LongString.Of(SaslMechanisms.Offered);
            Write(0, new ConnectionStart(0, 9, _settings.ServerProperties(), mechanisms, LongString.Of("en_US")));
            return;
        }
        Output.Write(ProtocolHeader.Amqp091);
        EndTcp(kind switch
        {
            ProtocolHeaderKind.Tls => "the client speaks TLS: this port speaks AMQP 0-9-1 without TLS",
            ProtocolHeaderKind.Http => "the client speaks HTTP: this port speaks AMQP 0-9-1",
            ProtocolHeaderKind.OtherAmqp =>
                $"the client speaks AMQP {string.Join('.', header[4..].ToArray())}: this port speaks AMQP 0.0.9.1",
            _ => $"the client began with the bytes {Convert.ToHexString(header)}: this port speaks AMQP 0-9-1",
        });
    }

    private void TakeConnectionMethod(ReadOnlySpan<byte> payload)
    {
        var id = Frames.ReadMethodId(payload);
        if (_state >= ConnectionState.ClosingByClient)
        {
            TakeWhileClosing(id);
            return;
        }
        var method = Frames.ReadMethod(payload, _names);
        switch (method)
        {
            case ConnectionStartOk startOk when _state == ConnectionState.Start:
                Client.Introduce(startOk.ClientProperties);
                _mechanism = startOk.Mechanism;
                LogIn(startOk.Response, id);
                break;
            case ConnectionSecureOk secureOk when _state == ConnectionState.Secure:
                LogIn(secureOk.Response, id);
                break;
            case ConnectionTuneOk tuneOk when _state == ConnectionState.Tune:
                Tune(tuneOk);
                break;
            case ConnectionOpen open when _state == ConnectionState.Open:
                Client.VirtualHost = open.VirtualHost;
                _state = ConnectionState.OpeningHost;
                Do(new ConnectionAction(ActionKind.OpenHost));
                break;
            case ConnectionUpdateSecret when _state == ConnectionState.Running:
                _isReplacingSecret = true;
                Do(new ConnectionAction(ActionKind.UpdateSecret, Method: method));
                break;
            case ConnectionClose when _state >= ConnectionState.Tune:
                CloseByClient();
                break;
            default:
                throw new AmqpException(ReplyCode.ChannelError, $"unexpected method in connection state {StateName()}", id);
        }
    }

    private void LogIn(LongString response, MethodId method)
    {
        AmqpLogin login;
        try
        {
            login = SaslMechanisms.Read(_mechanism, response, method);
        }
        catch (AmqpException fault)
        {
            CloseByServer(fault);
            return;
        }
        _state = ConnectionState.LoggingIn;
        Do(new ConnectionAction(ActionKind.Login, Login: login));
    }

    private void RefuseLogin(AmqpLogin login, string reason)
    {
        if (Client.WantsLoginFailure)
        {
            CloseByServer(new AmqpException(ReplyCode.AccessRefused, "Login was refused using authentication mechanism "
                + $"{login.Mechanism}. For details see the broker logfile."));
            _deadlineReason = $"user '{login.User}' could not log in: {reason}";
        }
        else
        {
            FallSilent($"user '{login.User}' could not log in: {reason}");
        }
    }

    private void Tune(ConnectionTuneOk tuneOk)
    {
        Negotiate("frame_max", tuneOk.FrameMax, ConnectionSettings.MinFrameMax, (uint)_settings.FrameMax);
        Negotiate("channel_max", tuneOk.ChannelMax, 1, _settings.ChannelMax);
        (Client.FrameMax, Client.ChannelMax) = ((int)tuneOk.FrameMax, tuneOk.ChannelMax);
        Client.Heartbeat = TimeSpan.FromSeconds(tuneOk.Heartbeat);
        _lastSent = _now;
        _state = ConnectionState.Open;
    }

    private static void Negotiate(string name, uint chosen, uint least, uint most)
    {
        if (chosen != 0 && chosen < least)
            throw new AmqpException(ReplyCode.NotAllowed,
                $"negotiated {name} = {chosen} is lower than the minimum allowed value ({least})", ConnectionTuneOk.Id);
        var none = chosen == 0 ? " (no limit)" : "";
        if (chosen == 0 || chosen > most)
            throw new AmqpException(ReplyCode.NotAllowed,
                $"negotiated {name} = {chosen}{none} is higher than the maximum allowed value ({most})", ConnectionTuneOk.Id);
    }

    // As RabbitMQ names its states.
    private string StateName() => _state switch
    {
        ConnectionState.Start or ConnectionState.LoggingIn => "starting",
        ConnectionState.Secure => "securing",
        ConnectionState.Tune => "tuning",
        ConnectionState.Open or ConnectionState.OpeningHost => "opening",
        _ => "running",
    };
}
