using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>The handshake of a connection, to its last byte.</summary>
public sealed class HandshakeTests
{
    [Fact]
    public void Handshake_runs_to_open_ok()
    {
        var machine = new MachineUnderTest();
        Assert.Equal("0 connection.start", machine.Header().Said());
        Assert.Equal("> Login guest by PLAIN with secret", machine.Method(0, MachineUnderTest.StartOk()).Said());
        machine.LogIn(new LoginResult(LoginOutcome.Accepted));
        Assert.Equal("0 connection.tune 2047 131072 60", machine.Said());
        Assert.Equal("", machine.Method(0, new ConnectionTuneOk(100, 4096, 30)).Said());
        Assert.Equal("> OpenHost", machine.Method(0, new ConnectionOpen("shop")).Said());
        machine.Machine.HostOpened(null, machine.Now);
        Assert.Equal("0 connection.open-ok", machine.Said());
        Assert.True(machine.Machine.IsRunning);
        var client = machine.Machine.Client;
        Assert.Equal(("guest", "shop", 4096, 100, 30), (client.User, client.VirtualHost, client.FrameMax, client.ChannelMax,
            (int)client.Heartbeat.TotalSeconds));
    }

    [Fact]
    public void Start_says_what_clients_look_for()
    {
        var machine = new MachineUnderTest().Header();
        var output = machine.Machine.Output.WrittenSpan;
        var start = Assert.IsType<ConnectionStart>(Frames.ReadMethod(output[FrameHead.Bytes..^1]));
        Assert.Equal((0, 9, "PLAIN AMQPLAIN", "en_US"), ((int)start.VersionMajor, (int)start.VersionMinor,
            start.Mechanisms.ToString(), start.Locales.ToString()));
        Assert.True(Version.Parse(start.ServerProperties.Find("version"u8)!.Value.Text!) >= new Version(3, 10));
        var capabilities = start.ServerProperties.Find("capabilities"u8)!.Value.Table!.Value.Entries().ToList();
        Assert.Equal(9, capabilities.Count);
        Assert.All(capabilities, static capability => Assert.True(capability.Value.Boolean));
        Assert.Equal("capabilities cluster_name copyright information platform product version",
            string.Join(' ', start.ServerProperties.Entries().Select(static entry => entry.Name)));
    }

    [Theory]
    [InlineData("414D515003010000", "the client speaks AMQP 3.1.0.0: this port speaks AMQP 0.0.9.1")]
    [InlineData("16030100F8010000", "the client speaks TLS: this port speaks AMQP 0-9-1 without TLS")]
    [InlineData("474554202F204854", "the client speaks HTTP: this port speaks AMQP 0-9-1")]
    [InlineData("0000001200120003", "the client began with the bytes 0000001200120003: this port speaks AMQP 0-9-1")]
    public void Other_protocol_is_answered_with_a_header_and_closed(string hex, string reason) =>
        Assert.Equal($"header 0.0.9.1\n> CloseTcp: {reason}", new MachineUnderTest().Bytes(Convert.FromHexString(hex)).Said());

    [Fact]
    public void Amqplain_is_read()
    {
        var login = FieldTable.Of(("LOGIN", FieldValue.Of("me")), ("PASSWORD", FieldValue.Of("pw")));
        var machine = new MachineUnderTest().Header();
        machine.Said();
        Assert.Equal("> Login me by AMQPLAIN with pw",
            machine.Method(0, new ConnectionStartOk(default, "AMQPLAIN", new LongString(login.Bytes), "en_US")).Said());
    }

    [Theory]
    [InlineData("PLAIN", "guest\0secret", "SYNTAX_ERROR - the PLAIN response does not begin with octet 0: send octet 0, user, octet 0, "
        + "password (502, 10.11)")]
    [InlineData("PLAIN", "\0guest", "SYNTAX_ERROR - the PLAIN response has no password: send octet 0, user, octet 0, "
        + "password (502, 10.11)")]
    [InlineData("AMQPLAIN", "", "SYNTAX_ERROR - AMQPLAIN auth info is missing LOGIN or PASSWORD field (502, 10.11)")]
    [InlineData("KERBEROS", "", "COMMAND_INVALID - unknown authentication mechanism 'KERBEROS' (503, 10.11)")]
    [InlineData("EXTERNAL", "", "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL' (503, 10.11)")]
    public void Broken_login_is_told(string mechanism, string response, string expected)
    {
        var machine = new MachineUnderTest().Header();
        machine.Said();
        Assert.Equal("0 connection.close " + expected, machine.Method(0, MachineUnderTest.StartOk(default, mechanism, response)).Said());
    }

    [Fact]
    public void Closes_of_a_client_are_answered_once_while_the_server_closes()
    {
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk(default, "X"));
        machine.Said();
        using var closes = new PooledBuffer();
        for (var index = 0; index < 10_000; index++)
            Frames.WriteMethod(closes, 0, new ConnectionClose(200, "", 0, 0));
        machine.Bytes(closes.WrittenSpan);
        Assert.Equal("0 connection.close-ok", machine.Said());
        Assert.False(machine.Machine.IsEnded);
        Assert.StartsWith("> CloseTcp", machine.Method(0, default(ConnectionCloseOk)).Said(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_follows_a_login_or_an_open_waits_for_its_answer()
    {
        var machine = new MachineUnderTest().Header();
        machine.Said();
        machine.Method(0, MachineUnderTest.StartOk()).Method(0, new ConnectionTuneOk(100, 4096, 10));
        Assert.False(machine.Machine.IsReading);
        Assert.Equal("> Login guest by PLAIN with secret", machine.Said());
        machine.LogIn(new LoginResult(LoginOutcome.Accepted));
        Assert.Equal("0 connection.tune 2047 131072 60", machine.Said());
        Assert.Equal("> OpenHost", machine.Method(0, new ConnectionOpen("/")).Method(1, default(ChannelOpen)).Said());
        Assert.False(machine.Machine.IsReading);
        machine.Now += TimeSpan.FromSeconds(9);
        machine.Machine.HostOpened(null, machine.Now);
        Assert.Equal("0 connection.open-ok", machine.Said());
        Assert.Equal("> OpenChannel 1", machine.Continue().Said());
    }

    [Fact]
    public void Secrets_are_replaced_one_after_the_other()
    {
        var machine = MachineUnderTest.Running(heartbeat: 10);
        foreach (var secret in (string[])["one", "two"])
            machine.Method(0, new ConnectionUpdateSecret(LongString.Of(secret), "expired"));
        Assert.Equal("> UpdateSecret connection.update-secret", machine.Said());
        Assert.False(machine.Machine.IsReading);
        machine.Now += TimeSpan.FromSeconds(60);
        machine.Machine.SecretUpdated(true, machine.Now);
        Assert.Equal("0 connection.update-secret-ok", machine.Said());
        // The time of the answer is not the client's silence.
        Assert.False(machine.After(0).Machine.IsEnded);
        machine.Said();
        Assert.Equal("> UpdateSecret connection.update-secret", machine.Continue().Said());
        Assert.Equal("two", ((ConnectionUpdateSecret)machine.Take(ActionKind.UpdateSecret).Method!).NewSecret.ToString());
    }

    [Fact]
    public void Challenge_is_answered_by_secure_ok()
    {
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk());
        machine.LogIn(new LoginResult(LoginOutcome.Challenged, "", LongString.Of("again")));
        Assert.EndsWith("0 connection.secure", machine.Said(), StringComparison.Ordinal);
        Assert.Equal("> Login u by PLAIN with p", machine.Method(0, new ConnectionSecureOk(LongString.Of("\0u\0p"))).Said());
        machine.LogIn(new LoginResult(LoginOutcome.Accepted));
        Assert.Equal("0 connection.tune 2047 131072 60", machine.Said());
        Assert.Equal("u", machine.Machine.Client.User);
    }

    [Fact]
    public void Failed_login_is_told_to_clients_that_want_it()
    {
        var machine = new MachineUnderTest().Header()
            .Method(0, MachineUnderTest.StartOk(MachineUnderTest.Capable("authentication_failure_close")));
        machine.Said();
        machine.LogIn(new LoginResult(LoginOutcome.Refused, "wrong password"));
        Assert.Equal("0 connection.close ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the "
            + "broker logfile. (403, 0.0)", machine.Said());
        Assert.Equal("> CloseTcp: user 'guest' could not log in: wrong password", machine.Method(0, default(ConnectionCloseOk)).Said());
    }

    [Fact]
    public void Failed_login_of_other_clients_is_silent_for_three_seconds()
    {
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk());
        machine.Said();
        machine.LogIn(new LoginResult(LoginOutcome.Refused, "no such user"));
        Assert.Equal(TimeSpan.FromSeconds(3), machine.Machine.NextTick);
        Assert.Equal("", machine.Method(0, new ConnectionTuneOk(1, 1, 1)).After(2.9).Said());
        Assert.Equal("> CloseTcp: user 'guest' could not log in: no such user", machine.After(0.2).Said());
    }

    [Theory]
    [InlineData(2047, 1, "negotiated frame_max = 1 is lower than the minimum allowed value (4096)")]
    [InlineData(2047, 0, "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)")]
    [InlineData(2047, 131073, "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)")]
    [InlineData(0, 131072, "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)")]
    [InlineData(2048, 131072, "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)")]
    public void Tune_ok_outside_the_limits_is_refused(int channelMax, int frameMax, string text)
    {
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk());
        machine.LogIn(new LoginResult(LoginOutcome.Accepted));
        machine.Said();
        Assert.Equal($"0 connection.close NOT_ALLOWED - {text} (530, 10.31)",
            machine.Method(0, new ConnectionTuneOk((ushort)channelMax, (uint)frameMax, 0)).Said());
    }

    [Fact]
    public void Refused_virtual_host_is_told_at_once()
    {
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk());
        machine.LogIn(new LoginResult(LoginOutcome.Accepted));
        machine.Method(0, new ConnectionTuneOk(1, 4096, 0)).Method(0, new ConnectionOpen("x")).Said();
        machine.Machine.HostOpened(new AmqpException(ReplyCode.NotAllowed, "vhost x not found"), machine.Now);
        Assert.Equal("0 connection.close NOT_ALLOWED - vhost x not found (530, 10.40)", machine.Said());
        Assert.Equal("> CloseTcp: NOT_ALLOWED - vhost x not found", machine.Method(0, default(ConnectionCloseOk)).Said());
    }

    [Fact]
    public void Handshake_ends_after_ten_seconds()
    {
        Assert.Equal("> CloseTcp: the handshake took longer than 10 s", new MachineUnderTest().After(10).Said());
        var machine = new MachineUnderTest().Header().Method(0, MachineUnderTest.StartOk());
        machine.Said();
        Assert.Equal("", machine.After(9.9).Said());
        Assert.Equal("> CloseTcp: the handshake took longer than 10 s", machine.After(0.1).Said());
    }

    [Fact]
    public void Method_out_of_turn_is_silent_before_tune_and_told_after_it()
    {
        var machine = new MachineUnderTest().Header();
        machine.Said();
        Assert.Equal("", machine.Method(0, new ConnectionOpen("/")).Said());
        Assert.Equal("> CloseTcp: CHANNEL_ERROR - unexpected method in connection state starting, during the handshake",
            machine.After(3).Said());
        Assert.Equal("0 connection.close CHANNEL_ERROR - unexpected method in connection state running (504, 10.31)\n> EndSession",
            MachineUnderTest.Running().Method(0, new ConnectionTuneOk(1, 4096, 0)).Said());
    }
}
