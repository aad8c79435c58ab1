using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;
using OrleansMq.Tests.Amqp.DotNet;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Clients that consume, and do not read what they are sent, or acknowledge nothing.</summary>
public sealed class UnreadDeliveriesTests : ClientTest
{
    private const int Body = 1 << 20;
    // Sixteen receives of one message each may be on their way when the room is used up.
    private const long MostHeld = DeliveryRoom.MaxBytes + (16 * (Body + 1024));

    [Fact]
    public async Task Client_that_does_not_read_holds_what_its_connection_has_room_for_and_others_get_the_rest()
    {
        const int Messages = 120;
        await DeclareAsync("q", "quorum");
        await using var client = await OpenAsync();
        for (var i = 0; i < Messages; i++)
            await client.SendAsync(1, new BasicConsume("q", $"c{i}", false, false, false, true, default));
        await UntilAsync(() => Task.FromResult(Unread()!.Describe()!.Channels[0].Consumers.Count == Messages));
        await PublishAsync("q", Messages);
        // Most consumers have no room, and the queue serves another client.
        await using var reading = await Connection.CreateChannelAsync();
        var received = await StartAsync(reading, "q", prefetch: 200);
        var bodies = new HashSet<string>();
        for (var i = 0; i < Messages / 2; i++)
            Assert.True(bodies.Add((await NextAsync(received)).Body[..4]));
        Assert.InRange(UnreadSession()!.Deliveries.MostBytes, DeliveryRoom.MaxBytes / 2, MostHeld);
        // What it holds returns when it ends.
        client.Reset();
        while (bodies.Count < Messages)
            bodies.Add((await NextAsync(received)).Body[..4]);
    }

    [Fact]
    public async Task Consumers_of_streams_hold_what_their_connection_has_room_for_and_pass_over_nothing()
    {
        const int Consumers = 60;
        const int Messages = 2;
        await DeclareAsync("s", "stream");
        await using var client = await OpenAsync();
        await client.SendAsync(1, new BasicQos(0, 100, false));
        Assert.IsType<BasicQosOk>(await client.ReceiveMethodAsync());
        for (var i = 0; i < Consumers; i++)
            await client.SendAsync(1, new BasicConsume("s", $"{i}", false, false, false, true, default));
        await UntilAsync(() => Task.FromResult(Unread()!.Describe()!.Channels[0].Consumers.Count == Consumers));
        await PublishAsync("s", Messages);
        var received = new Dictionary<string, List<string>>();
        for (var i = 0; i < Consumers * Messages; i++)
        {
            var deliver = Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            if (!received.TryGetValue(deliver.ConsumerTag, out var bodies))
                received.Add(deliver.ConsumerTag, bodies = []);
            bodies.Add(System.Text.Encoding.UTF8.GetString((await client.ReceiveBodyAsync()).AsSpan(0, 4)));
        }
        Assert.Equal(Consumers, received.Count);
        Assert.All(received.Values, static bodies => Assert.Equal(Enumerable.Range(0, Messages).Select(Number), bodies));
        Assert.InRange(UnreadSession()!.Deliveries.MostBytes, DeliveryRoom.MaxBytes / 2, MostHeld);
    }

    [Fact]
    public async Task Client_that_acknowledges_nothing_has_few_messages_kept_and_all_become_dead_letters_in_order()
    {
        const int Messages = 50;
        await DeclareAsync("dead", "quorum");
        await DeclareAsync("q", "quorum", ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead"));
        await PublishAsync("q", Messages);
        await using var consuming = await ConnectAsync();
        await using var channel = await consuming.CreateChannelAsync();
        var received = await StartAsync(channel, "q", prefetch: 0);
        for (var i = 0; i < Messages; i++)
            await NextAsync(received);
        var session = Sessions().Single(static one => one.Kept.Used > 0);
        Assert.InRange(session.Kept.Used, 16L << 20, 32L << 20);
        await channel.BasicNackAsync(0, multiple: true, requeue: false);
        for (var i = 0; i < Messages; i++)
            Assert.Equal(Number(i), (await GetAsync("dead")).Body[..4]);
        await UntilAsync(() => Task.FromResult(session.Kept.Used == 0));
        Assert.InRange(session.Letters.MostBytes, 1, 32L << 20);
    }

    [Fact]
    public async Task Gets_of_many_channels_hold_what_the_connection_has_room_for()
    {
        const int Channels = 60;
        await DeclareAsync("q", "quorum");
        await PublishAsync("q", Channels);
        await using var client = await OpenAsync();
        for (ushort number = 2; number <= Channels; number++)
        {
            await client.SendAsync(number, default(ChannelOpen));
            Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        }
        // Together, so that the channels handle them side by side.
        using var gets = new PooledBuffer();
        for (ushort number = 1; number <= Channels; number++)
            Frames.WriteMethod(gets, number, new BasicGet("q", true));
        await client.SendAsync(gets.WrittenMemory);
        for (var i = 0; i < Channels; i++)
        {
            Assert.IsType<BasicGetOk>(await client.ReceiveMethodAsync());
            Assert.Equal(Body, (await client.ReceiveBodyAsync()).Length);
        }
        Assert.InRange(UnreadSession()!.Deliveries.MostBytes, Body, MostHeld);
    }

    private static string Number(int number) => $"{number:0000}";

    private async Task PublishAsync(string queue, int messages)
    {
        for (var i = 0; i < messages; i++)
            await PublishAsync(queue, Number(i) + new string('x', Body - 4));
    }

    private IEnumerable<AmqpSession> Sessions() => Gateway.Gateway.Connections.Select(static one => one.Session).OfType<AmqpSession>();

    // The connection of the client that sends frames, which has no properties.
    private AmqpConnection? Unread() => Gateway.Gateway.Connections.SingleOrDefault(one => one.Describe() is { } described
        && described.Client.Properties.Find("product"u8) is null);

    private AmqpSession? UnreadSession() => Unread()?.Session as AmqpSession;

    private async Task<WireClient> OpenAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, Gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }
}
