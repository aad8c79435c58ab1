using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>Channels, contents, ends and errors of an open connection.</summary>
public sealed class ChannelTests
{
    private const string NoRoom = "RESOURCE_ERROR - transactions and incomplete messages of all connections have the 1000 bytes that are "
        + "allowed, and this connection has the most of them: commit more often, publish fewer large messages at a time, or "
        + "raise --amqp-memory";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public void Channel_opens_handles_and_closes_in_order()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        Assert.Equal("> Handle 1 queue.purge\n> Handle 1 basic.publish 'hello'\n> EndChannel 1",
            machine.Method(1, new QueuePurge("q", false)).Publish(1).Method(1, default(ChannelClose)).Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("1 channel.close-ok", machine.Said());
        machine.Open(1);
    }

    [Fact]
    public void Late_confirm_of_a_closed_channel_is_dropped()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        machine.Publish(1).Method(1, default(ChannelClose)).Said();
        machine.Machine.Send(channel, new BasicAck(1, false), machine.Now);
        Assert.Equal("1 basic.ack", machine.Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        machine.Machine.Send(channel, new BasicAck(2, false), machine.Now);
        Assert.Equal("1 channel.close-ok", machine.Said());
        machine.Open(1);
        machine.Machine.Send(channel, new BasicAck(3, false), machine.Now);
        Assert.Equal("", machine.Said());
    }

    [Fact]
    public void Content_in_several_frames_is_assembled_beside_other_channels()
    {
        var machine = MachineUnderTest.Running();
        machine.Open(1);
        machine.Open(2);
        var body = new string('a', 5000) + new string('b', 5000);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00").Frame(FrameType.Header, 1, "003C000000000000000000050000");
        Assert.Equal($"> Handle 2 basic.publish '{body}'", machine.Publish(2, body).Said());
        Assert.Equal("", machine.Frame(FrameType.Body, 1, "6865").Said());
        Assert.Equal("> Handle 1 basic.publish 'hello'", machine.Frame(FrameType.Body, 1, "6C6C6F").Said());
        Assert.Equal("> Handle 1 basic.publish ''", machine.Publish(1, "").Said());
    }

    [Fact]
    public void Bytes_may_come_one_at_a_time()
    {
        var machine = MachineUnderTest.Running();
        foreach (var one in Convert.FromHexString("010001000000050014000A00CE" + "0100010000000B003C000A00000000006401CE"))
            machine.Bytes([one]);
        Assert.Equal("> OpenChannel 1\n> Handle 1 basic.qos", machine.Said());
    }

    [Theory]
    [InlineData("010001", "CHANNEL_ERROR - expected 'channel.open' (504, 60.10)", "0100020000000B003C000A00000000006401CE")]
    [InlineData("second", "CHANNEL_ERROR - second 'channel.open' seen (504, 20.10)", "010001000000050014000A00CE")]
    [InlineData("body without method", "UNEXPECTED_FRAME - expected method frame, got non method frame instead (505, 0.0)",
        "0300010000000168CE")]
    [InlineData("body without header", "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead "
        + "(505, 60.40)", "0100010000000B003C002800000178016B00CE", "0300010000000168CE")]
    [InlineData("method within content", "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead "
        + "(505, 60.40)", "0100010000000B003C002800000178016B00CE", "0100010000000B003C000A00000000006401CE")]
    [InlineData("header of another class", "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead "
        + "(505, 60.40)", "0100010000000B003C002800000178016B00CE", "0200010000000E0032000000000000000000050000CE")]
    [InlineData("body too long", "FRAME_ERROR - content body frame exceeds remaining content size (501, 60.40)",
        "0100010000000B003C002800000178016B00CE", "0200010000000E003C000000000000000000010000CE", "030001000000026868CE")]
    [InlineData("broken properties", "SYNTAX_ERROR - malformed content properties: they end within 'ContentType' (502, 60.40)",
        "0100010000000B003C002800000178016B00CE", "0200010000000E003C000000000000000000018000CE")]
    [InlineData("heartbeat on a channel", "UNEXPECTED_FRAME - type 8, all octets = <<>> (505, 0.0)", "08000100000000CE")]
    [InlineData("content on channel 0", "UNEXPECTED_FRAME - type 3, all octets = <<104>> (505, 0.0)", "0300000000000168CE")]
    [InlineData("unknown type", "FRAME_ERROR - type 5, all octets = <<1,2>>: unknown_frame (501, 0.0)", "050000000000020102CE")]
    [InlineData("unknown method", "COMMAND_INVALID - unknown method 60.99 (503, 60.99)", "01000100000004003C0063CE")]
    [InlineData("method of the server", "COMMAND_INVALID - unimplemented method (503, 60.11)", "01000100000004003C000BCE")]
    [InlineData("connection's method", "COMMAND_INVALID - unimplemented method (503, 10.51)", "01000100000004000A0033CE")]
    [InlineData("short arguments", "SYNTAX_ERROR - malformed arguments of 'basic.qos': it ends within an argument (502, 60.10)",
        "01000100000005003C000A00CE")]
    [InlineData("long arguments", "SYNTAX_ERROR - malformed arguments of 'confirm.select': 1 bytes follow the last argument (502, 85.10)",
        "010001000000060055000A0000CE")]
    public void Broken_frames_close_the_connection(string what, string expected, params string[] frames)
    {
        var machine = MachineUnderTest.Running();
        machine.Open(1);
        foreach (var frame in frames)
            machine.Bytes(Convert.FromHexString(frame));
        Assert.Equal($"0 connection.close {expected}\n> EndChannel 1", machine.Said());
        Assert.NotEqual("", what);
        // All but close and close-ok is ignored.
        Assert.Equal("", machine.Method(3, default(ChannelOpen)).Publish(1).Said());
        Assert.Equal("0 connection.close-ok", machine.Method(0, default(ConnectionClose)).Said());
        Assert.StartsWith("> CloseTcp: ", machine.Method(0, default(ConnectionCloseOk)).Said(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("01000000000004000A003300", "FRAME_ERROR - type 1, all octets = <<0,10,0,51>>: {invalid_frame_end_marker,0}")]
    [InlineData("01000000020001", "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064}")]
    public void Frames_that_lose_their_bounds_end_the_input(string frame, string text)
    {
        var machine = MachineUnderTest.Running();
        Assert.Equal($"0 connection.close {text} (501, 0.0)\n> EndSession", machine.Bytes(Convert.FromHexString(frame)).Said());
        Assert.Equal("", machine.Method(0, default(ConnectionCloseOk)).After(2.9).Said());
        Assert.Equal($"> CloseTcp: {text}", machine.After(0.1).Said());
    }

    [Fact]
    public void Frame_of_eight_bytes_more_than_negotiated_is_taken()
    {
        var machine = MachineUnderTest.Running(frameMax: 4096);
        machine.Open(1);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00").Frame(FrameType.Header, 1, "003C000000000000000010000000");
        Assert.StartsWith("> Handle 1", machine.Frame(FrameType.Body, 1, new string('A', 8192)).Said(), StringComparison.Ordinal);
    }

    [Fact]
    public void Channels_above_channel_max_are_refused()
    {
        var machine = MachineUnderTest.Running(channelMax: 2);
        machine.Open(1);
        machine.Open(7);
        Assert.StartsWith("0 connection.close NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) "
            + "(530, 0.0)", machine.Method(2, default(ChannelOpen)).Said(), StringComparison.Ordinal);
    }

    [Fact]
    public void Failed_channel_ends_before_its_close_and_ignores_the_client_until_close_ok()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        machine.Method(1, new QueuePurge("q", false)).Said();
        var fault = new AmqpException(ReplyCode.NotFound, "no queue 'q' in vhost '/'", QueuePurge.Id);
        machine.Machine.ChannelFailed(channel, fault, machine.Now);
        Assert.Equal("> EndChannel 1", machine.Said());
        Assert.Equal("", machine.Publish(1).Method(1, default(ChannelOpen)).Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("1 channel.close NOT_FOUND - no queue 'q' in vhost '/' (404, 50.30)", machine.Said());
        Assert.Equal("1 channel.close-ok", machine.Publish(1).Method(1, default(ChannelClose)).Said());
        Assert.Equal("", machine.Method(1, default(ChannelCloseOk)).Said());
        machine.Open(1);
    }

    [Fact]
    public void Client_that_closes_a_failing_channel_gets_the_error_and_its_answer()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        machine.Publish(1).Method(1, default(ChannelClose)).Said();
        machine.Machine.ChannelFailed(channel, new AmqpException(ReplyCode.NotFound, "no exchange", BasicPublish.Id), machine.Now);
        Assert.Equal("", machine.Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("1 channel.close NOT_FOUND - no exchange (404, 60.40)\n1 channel.close-ok", machine.Said());
        machine.Method(1, default(ChannelCloseOk));
        machine.Open(1);
    }

    [Fact]
    public void Large_message_fails_its_channel_and_its_body_is_ignored()
    {
        var machine = MachineUnderTest.Running(settings: new ConnectionSettings { MaxMessageBytes = 10 });
        var channel = machine.Open(1);
        Assert.Equal("> Handle 1 basic.publish 'before'\n> EndChannel 1", machine.Publish(1, "before").Publish(1, "eleven bytes").Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("1 channel.close PRECONDITION_FAILED - message size 12 is larger than configured max size 10 (406, 60.40)",
            machine.Said());
    }

    [Fact]
    public void Hard_error_of_a_command_closes_the_connection()
    {
        var machine = MachineUnderTest.Running();
        var (first, second) = (machine.Open(1), machine.Open(2));
        machine.Machine.ChannelFailed(second, new AmqpException(ReplyCode.NotImplemented, "immediate=true", BasicPublish.Id), machine.Now);
        Assert.Equal("0 connection.close NOT_IMPLEMENTED - immediate=true (540, 60.40)\n> EndChannel 1\n> EndChannel 2", machine.Said());
        machine.Machine.ChannelEnded(first, machine.Now);
        Assert.Equal("", machine.Said());
        machine.Machine.ChannelEnded(second, machine.Now);
        Assert.Equal("> EndSession", machine.Said());
    }

    [Fact]
    public void Close_of_the_client_is_answered_after_channels_and_session_have_ended()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        Assert.Equal("> EndChannel 1", machine.Method(0, default(ConnectionClose)).Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("> EndSession", machine.Said());
        machine.Machine.SessionEnded(machine.Now);
        Assert.Equal("0 connection.close-ok\n> CloseTcp", machine.Said());
    }

    [Fact]
    public void Lost_connection_ends_channels_and_session()
    {
        var machine = MachineUnderTest.Running();
        var channel = machine.Open(1);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00").Frame(FrameType.Header, 1, "003C000000000000000000050000");
        machine.Machine.Disconnected(machine.Now);
        Assert.Equal("> CloseTcp\n> EndChannel 1", machine.Said());
        machine.Machine.ChannelEnded(channel, machine.Now);
        Assert.Equal("> EndSession", machine.Said());
    }

    [Fact]
    public void Operator_closes_with_320_and_gives_up_after_the_heartbeat()
    {
        var machine = MachineUnderTest.Running(heartbeat: 5);
        machine.Machine.Close(ReplyCode.ConnectionForced, "Closed via management plugin", machine.Now);
        Assert.Equal("0 connection.close CONNECTION_FORCED - Closed via management plugin (320, 0.0)\n> EndSession", machine.Said());
        machine.After(4.9).Said();
        Assert.Equal("> CloseTcp", machine.After(0.1).Said());
    }

    [Fact]
    public void Heartbeats_go_out_after_half_their_time_and_silence_ends_the_connection()
    {
        var machine = MachineUnderTest.Running(heartbeat: 10);
        Assert.Equal(TimeSpan.FromSeconds(5), machine.Machine.NextTick);
        Assert.Equal("", machine.After(4.9).Said());
        Assert.Equal("heartbeat", machine.After(0.1).Said());
        Assert.Equal("heartbeat", machine.Frame(FrameType.Heartbeat, 0, "").After(5).Said());
        Assert.Equal("heartbeat", machine.After(19.9).Said());
        Assert.Equal("> CloseTcp: missed heartbeats: nothing came from the client for 25 s, its heartbeat is 10 s\n> EndSession",
            machine.After(0.1).Said());
    }

    [Fact]
    public void Reading_stops_above_the_bytes_in_flight_and_the_pause_is_not_the_clients_silence()
    {
        var machine = MachineUnderTest.Running(heartbeat: 10, settings: new ConnectionSettings { MaxInFlightBytes = 1000 });
        var channel = machine.Open(1);
        machine.Publish(1, new string('a', 800)).Publish(1, "later");
        Assert.False(machine.Machine.IsReading);
        Assert.Equal($"> Handle 1 basic.publish '{new string('a', 800)}'", machine.Said());
        Assert.Equal("heartbeat", machine.After(60).Said());
        machine.Machine.Handled(machine.Actions[^1].Bytes, machine.Now);
        Assert.Equal("> Handle 1 basic.publish 'later'", machine.Continue().Said());
        Assert.Equal("heartbeat", machine.After(24).Said());
        Assert.Equal(ChannelStatus.Open, channel.Status);
    }

    [Fact]
    public void Contents_that_arrive_in_part_are_bounded()
    {
        var machine = MachineUnderTest.Running(settings: new ConnectionSettings { MaxInFlightBytes = 1000 });
        for (ushort number = 1; number <= 2; number++)
        {
            machine.Open(number);
            machine.Frame(FrameType.Method, number, "003C002800000178016B00")
                .Frame(FrameType.Header, number, "003C000000000000000010000000").Frame(FrameType.Body, number, new string('A', 1200));
        }
        Assert.Equal("0 connection.close RESOURCE_ERROR - contents that arrived in part have 1204 bytes, at most 1000 are allowed: "
            + "complete some before others begin (506, 60.40)\n> EndChannel 1\n> EndChannel 2", machine.Said());
    }

    [Fact]
    public void Incomplete_contents_of_all_connections_are_bounded_and_given_back()
    {
        var memory = new MemoryBudget(2000);
        var machines = new[] { new MachineUnderTest(memory: memory), new MachineUnderTest(memory: memory) };
        foreach (var machine in machines)
        {
            machine.Start().Open(1);
            machine.Frame(FrameType.Method, 1, "003C002800000178016B00")
                .Frame(FrameType.Header, 1, "003C000000000000000010000000").Frame(FrameType.Body, 1, new string('A', 1200));
        }
        Assert.Equal("", machines[0].Said());
        Assert.Equal($"0 connection.close {NoRoom} (506, 60.40)\n> EndChannel 1", machines[1].Said());
        Assert.Equal(602, memory.Unfinished);
        machines[0].Machine.Disconnected(machines[0].Now);
        Assert.Equal((0, 0), (memory.Unfinished, memory.Used));
    }

    [Fact]
    public async Task Connection_that_holds_most_ends_where_incomplete_contents_have_no_room()
    {
        var memory = new MemoryBudget(2000);
        var machines = new[] { new MachineUnderTest(memory: memory), new MachineUnderTest(memory: memory) };
        foreach (var (machine, bytes) in machines.Zip([900, 200]))
        {
            machine.Start().Open(1);
            machine.Frame(FrameType.Method, 1, "003C002800000178016B00")
                .Frame(FrameType.Header, 1, "003C000000000000000010000000").Frame(FrameType.Body, 1, new string('A', 2 * bytes));
        }
        var fault = await machines[0].Evicted.WaitAsync(Patience);
        Assert.Equal("", machines[1].Said());
        Assert.Equal(202, memory.Unfinished);
        machines[0].Machine.Fail(fault, machines[0].Now);
        Assert.Equal($"0 connection.close {NoRoom} (506, 0.0)\n> EndChannel 1", machines[0].Said());
        Assert.Equal((202, 202), (memory.Unfinished, memory.Used));
        Assert.False(machines[1].Evicted.IsCompleted);
    }

    [Fact]
    public void Content_that_does_not_go_on_for_a_minute_ends_with_its_channel()
    {
        var memory = new MemoryBudget(100_000);
        var machine = new MachineUnderTest(memory: memory).Start();
        foreach (var number in new ushort[] { 1, 2 })
        {
            machine.Open(number);
            machine.Frame(FrameType.Method, number, "003C002800000178016B00")
                .Frame(FrameType.Header, number, "003C000000000000000010000000").Frame(FrameType.Body, number, "AA");
        }
        Assert.Equal(TimeSpan.FromMinutes(1), machine.Machine.NextTick);
        machine.After(59).Frame(FrameType.Body, 2, "AA");
        Assert.Equal("", machine.Said());
        Assert.Equal("1 channel.close", string.Join(' ', machine.After(1).SaidAfterEnd(1).Split(' ')[..2]));
        Assert.Equal(4, memory.Unfinished);
        Assert.Equal(TimeSpan.FromSeconds(119), machine.Machine.NextTick);
        Assert.Equal("2 channel.close PRECONDITION_FAILED - nothing came of a message for 60 s, 4094 of 4096 bytes of its body are "
            + "missing: publish it again on another channel (406, 60.40)", machine.After(59).SaidAfterEnd(2));
        Assert.Equal((0, 0), (memory.Unfinished, memory.Used));
        Assert.Null(machine.Machine.NextTick);
    }

    [Fact]
    public void Connection_that_has_ended_waits_for_no_content()
    {
        var machine = MachineUnderTest.Running();
        machine.Open(1);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00")
            .Frame(FrameType.Header, 1, "003C000000000000000010000000").Frame(FrameType.Body, 1, "AA");
        Assert.Equal(TimeSpan.FromMinutes(1), machine.Machine.NextTick);
        machine.Machine.Disconnected(machine.Now);
        Assert.Null(machine.Machine.NextTick);
    }

    [Fact]
    public void Content_may_pause_for_as_long_as_heartbeats_let_a_client_be_silent()
    {
        var machine = MachineUnderTest.Running(heartbeat: 60);
        machine.Open(1);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00")
            .Frame(FrameType.Header, 1, "003C000000000000000010000000").Frame(FrameType.Body, 1, "AA");
        for (var second = 0; second < 149; second += 10)
            machine.After(10).Frame(FrameType.Heartbeat, 0, "");
        Assert.DoesNotContain("channel.close", machine.Said(), StringComparison.Ordinal);
    }

    [Fact]
    public void Content_of_a_client_that_was_not_read_or_whose_frame_comes_slowly_does_not_end()
    {
        var machine = MachineUnderTest.Running();
        machine.Open(1);
        machine.Frame(FrameType.Method, 1, "003C002800000178016B00")
            .Frame(FrameType.Header, 1, "003C000000000000000000040000").Frame(FrameType.Body, 1, "AA");
        machine.Machine.Block("low on memory", machine.Now);
        machine.After(90);
        machine.Machine.Unblock(machine.Now);
        machine.After(59).Bytes([(byte)FrameType.Body, 0, 1, 0, 0, 0, 3, 0xAA]).After(59).Bytes([0xAA]).After(59);
        Assert.Equal("", machine.Said());
        Assert.Equal("> Handle 1 basic.publish", machine.Bytes([0xAA, 0xCE]).Said()[..24]);
    }

    [Fact]
    public void Commands_in_flight_count_until_they_are_handled()
    {
        var memory = new MemoryBudget(2000);
        var machine = new MachineUnderTest(memory: memory).Start(MachineUnderTest.Capable("connection.blocked"));
        machine.Open(1);
        machine.Publish(1, new string('a', 2000)).Said();
        Assert.True(memory.IsOver);
        Assert.Equal("0 connection.blocked low on memory", machine.Publish(1, "later").Said());
        Assert.Equal((0, machine.Actions[^1].Bytes), (memory.Unfinished, memory.Used));
        machine.Machine.Handled(machine.Actions[^1].Bytes, machine.Now);
        Assert.Equal((0, false), (memory.Used, memory.IsOver));
        machine.Machine.Unblock(machine.Now);
        Assert.Equal("0 connection.unblocked\n> Handle 1 basic.publish 'later'", machine.Continue().Said());
    }

    [Fact]
    public void Publisher_is_told_that_it_is_blocked_at_its_next_message_and_read_again_after()
    {
        var machine = MachineUnderTest.Running(MachineUnderTest.Capable("connection.blocked"));
        machine.Open(1);
        machine.Machine.Block("low on memory", machine.Now);
        Assert.Equal("> Handle 1 basic.get", machine.Method(1, new BasicGet("q", false)).Said());
        Assert.True(machine.Machine.IsReading);
        Assert.Equal("0 connection.blocked low on memory", machine.Publish(1).Publish(1, "later").Said());
        Assert.False(machine.Machine.IsReading);
        machine.Machine.Unblock(machine.Now);
        Assert.Equal("0 connection.unblocked\n> Handle 1 basic.publish 'hello'\n> Handle 1 basic.publish 'later'",
            machine.Continue().Said());
        machine.Machine.Block("low on disk", machine.Now);
        Assert.Equal("0 connection.blocked low on disk", machine.Said());
    }

    [Fact]
    public void Secret_is_replaced_or_the_connection_closed()
    {
        var machine = MachineUnderTest.Running();
        var update = new ConnectionUpdateSecret(LongString.Of("new"), "expires");
        Assert.Equal("> UpdateSecret connection.update-secret", machine.Method(0, update).Said());
        machine.Machine.SecretUpdated(true, machine.Now);
        Assert.Equal("0 connection.update-secret-ok", machine.Said());
        machine.Method(0, update).Said();
        machine.Machine.SecretUpdated(false, machine.Now);
        Assert.Equal("0 connection.close NOT_ALLOWED - New secret was refused by one of the backends (530, 10.70)\n> EndSession",
            machine.Said());
    }

    [Fact]
    public void Deliveries_are_divided_by_frame_max_and_dropped_once_the_channel_has_failed()
    {
        var machine = MachineUnderTest.Running(frameMax: 4096);
        var channel = machine.Open(1);
        machine.Machine.Send(channel, new BasicDeliver("t", 1, false, "x", "k"), default, new byte[5000], machine.Now);
        Assert.Equal("1 basic.deliver\n1 Header 14\n1 Body 4088\n1 Body 912", machine.Said());
        machine.Machine.ChannelFailed(channel, new AmqpException(ReplyCode.NotFound, "gone"), machine.Now);
        machine.Machine.ChannelEnded(channel, machine.Now);
        machine.Said();
        machine.Machine.Send(channel, new BasicAck(1, false), machine.Now);
        Assert.Equal("", machine.Said());
    }
}
