using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Sockets;

/// <summary>Connections over sockets.</summary>
public sealed class ConnectionTests
{
    [Fact]
    public async Task Messages_of_all_sizes_come_back_and_close_is_answered_behind_them()
    {
        var (access, log) = (new TestAccess(), new RecordedLog());
        await using var server = Start(access, log);
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new BasicConsume("q", "c", false, true, false, false, default));
        Assert.IsType<BasicConsumeOk>(await client.ReceiveMethodAsync());
        foreach (var size in (int[])[0, 1, 1000, 5000, 70_000, 131_064, 131_065, 3_000_000, 10])
        {
            var body = new byte[size];
            new Random(size).NextBytes(body);
            await client.PublishAsync(1, body);
            Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            Assert.Equal(body, await client.ReceiveBodyAsync());
        }
        await client.SendAsync(1, new BasicAck(9, true));
        await client.SendAsync(0, new ConnectionClose(200, "bye", 0, 0));
        Assert.IsType<ConnectionCloseOk>(await client.ReceiveMethodAsync());
        Assert.Null(await client.ReceiveAsync());
        Assert.Equal(["ack 9", "channel 1 ended", "session ended"], access.Events);
        Assert.Empty(log.Lines);
    }

    [Fact]
    public async Task Client_that_still_writes_behind_its_close_is_not_reset()
    {
        await using var server = Start(new TestAccess(), new RecordedLog(), time: new StoppedClock());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(0, new ConnectionClose(200, "bye", 0, 0));
        await client.PublishAsync(1, new byte[10_000]);
        Assert.IsType<ConnectionCloseOk>(await client.ReceiveMethodAsync());
        Assert.Null(await client.ReceiveAsync());
        // More than the sockets hold: it is received.
        for (var index = 0; index < 2000; index++)
            await client.PublishAsync(1, new byte[10_000]);
    }

    [Fact]
    public async Task Thousands_of_pipelined_publishes_are_confirmed_in_order()
    {
        const int Count = 5000;
        await using var server = Start(new TestAccess(), new RecordedLog());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        await client.SendAsync(1, default(ConfirmSelect));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
        var sending = Task.Run(async () =>
        {
            for (var index = 0; index < Count; index++)
                await client.PublishAsync(1, new byte[100]);
        });
        for (var tag = 1UL; tag <= Count; tag++)
            Assert.Equal(new BasicAck(tag, false), await client.ReceiveMethodAsync());
        await sending;
    }

    [Fact]
    public async Task Channel_that_waits_holds_no_other_up()
    {
        var gate = new TaskCompletionSource();
        var access = new TestAccess { Before = method => method is BasicQos ? gate.Task : Task.CompletedTask };
        await using var server = Start(access, new RecordedLog());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        foreach (ushort channel in (ushort[])[1, 2])
        {
            await client.SendAsync(channel, default(ChannelOpen));
            Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        }
        await client.SendAsync(1, new BasicQos(0, 1, false));
        await client.SendAsync(1, new BasicGet("q", true));
        await client.SendAsync(2, new BasicGet("q", true));
        Assert.Equal((2, FrameKind.GetEmpty), await NextAsync(client));
        gate.SetResult();
        Assert.Equal((1, FrameKind.QosOk), await NextAsync(client));
        Assert.Equal((1, FrameKind.GetEmpty), await NextAsync(client));
    }

    [Fact]
    public async Task Failed_command_closes_its_channel_and_later_ones_are_dropped()
    {
        var access = new TestAccess();
        await using var server = Start(access, new RecordedLog());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        await client.SendAsync(1, new QueuePurge("missing", false));
        await client.SendAsync(1, new BasicGet("q", true));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        Assert.Equal(new ChannelClose(404, "NOT_FOUND - no queue 'missing' in vhost '/'", 50, 30), await client.ReceiveMethodAsync());
        await client.SendAsync(1, default(ChannelCloseOk));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        Assert.Equal(["channel 1 ended"], access.Events);
    }

    [Fact]
    public async Task Fault_of_a_channel_closes_the_connection_with_541()
    {
        var log = new RecordedLog();
        await using var server = Start(new TestAccess { Before = static _ => throw new InvalidOperationException("a bug") }, log);
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new BasicGet("q", true));
        Assert.Equal(new ConnectionClose(541, "INTERNAL_ERROR - the broker met a fault; see its log", 60, 70),
            await client.ReceiveMethodAsync());
        Assert.Contains(log.Lines, static line => line.Contains("'basic.get' could not be handled", StringComparison.Ordinal)
            && line.Contains("a bug", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Publisher_is_not_read_above_its_bound_and_read_again_below_it()
    {
        const int Count = 200;
        var gate = new TaskCompletionSource();
        var handled = 0;
        var access = new TestAccess
        {
            Before = async method =>
            {
                if (method is not BasicPublish)
                    return;
                await gate.Task;
                Interlocked.Increment(ref handled);
            },
        };
        await using var server = Start(access, new RecordedLog(), new ConnectionSettings { MaxInFlightBytes = 100_000 });
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        await client.SendAsync(1, default(ConfirmSelect));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
        // More than the sockets between them hold: the send completes only once the server reads on.
        var sending = Task.Run(async () =>
        {
            for (var index = 0; index < Count; index++)
                await client.PublishAsync(1, new byte[100_000]);
        });
        Assert.False(sending.IsCompleted);
        gate.SetResult();
        for (var tag = 1UL; tag <= Count; tag++)
            Assert.Equal(new BasicAck(tag, false), await client.ReceiveMethodAsync());
        await sending;
        Assert.Equal(Count, handled);
    }

    [Fact]
    public async Task Stopped_server_closes_connections_with_320()
    {
        var access = new TestAccess();
        await using var server = Start(access, new RecordedLog());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        var stopping = server.StopAsync(CancellationToken.None);
        Assert.Equal(new ConnectionClose(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", 0, 0),
            await client.ReceiveMethodAsync());
        await client.SendAsync(0, default(ConnectionCloseOk));
        await stopping;
        Assert.Null(await client.ReceiveAsync());
        Assert.Equal(["session ended"], access.Events);
    }

    [Fact]
    public async Task Http_request_is_answered_with_a_header_and_logged()
    {
        var log = new RecordedLog();
        await using var server = Start(new TestAccess(), log);
        await using var client = await WireClient.ConnectAsync(server.EndPoint);
        await client.SendAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());
        Assert.Equal("AMQP", System.Text.Encoding.ASCII.GetString(await client.ReceiveRawAsync(8), 0, 4));
        Assert.Null(await client.ReceiveAsync());
        Assert.Contains(log.Lines, static line => line.EndsWith("is closed: the client speaks HTTP: this port speaks AMQP 0-9-1.",
            StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_channels_have_added_and_do_not_send_yet_takes_room()
    {
        const int Count = 9;
        var access = new TestAccess();
        await using var server = Start(access, new RecordedLog());
        await using var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        var output = new ChannelOutput(access.Client!, EngineLog.Silent);
        for (var tag = 1UL; tag <= Count; tag++)
        {
            Assert.False(access.Client!.IsFull);
            output.Add(new BasicDeliver("c", tag, false, "", "q"), ContentProperties.None,
                new byte[(ConnectionOutput.MaxUnsentBytes / (Count - 1)) - 64]);
        }
        Assert.True(access.Client!.IsFull);
        Assert.False(access.Client.DropsReplies);
        var room = access.Client.WaitForRoomAsync();
        Assert.False(room.IsCompleted);
        output.Flush();
        for (var tag = 1UL; tag <= Count; tag++)
        {
            Assert.Equal(new BasicDeliver("c", tag, false, "", "q"), await client.ReceiveMethodAsync());
            await client.ReceiveBodyAsync();
        }
        await room.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.False(access.Client.IsFull);
    }

    private enum FrameKind
    {
        Other,
        GetEmpty,
        QosOk,
    }

    private static async Task<(int, FrameKind)> NextAsync(WireClient client)
    {
        var frame = (await client.ReceiveAsync())!.Value;
        return (frame.Head.Channel, OrleansMq.Gateways.Amqp.Wire.Frames.ReadMethod(frame.Payload) switch
        {
            BasicGetEmpty => FrameKind.GetEmpty,
            BasicQosOk => FrameKind.QosOk,
            _ => FrameKind.Other,
        });
    }

    private static AmqpServer Start(TestAccess access, RecordedLog log, ConnectionSettings? settings = null, TimeProvider? time = null) =>
        AmqpServer.Start(new IPEndPoint(IPAddress.Loopback, 0), settings ?? new ConnectionSettings(), access, time ?? TimeProvider.System,
            log);

    /// <summary>Nothing is ever due: a connection that waits for its client waits for ever.</summary>
    private sealed class StoppedClock : TimeProvider
    {
        public override long GetTimestamp() => 0;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            new Never();

        private sealed class Never : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
