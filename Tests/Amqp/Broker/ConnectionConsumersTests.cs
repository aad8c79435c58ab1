using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>The limit of a connection's consumers, and what gives their places back: after each end of consumers as many fit as before, and
/// no more.</summary>
public sealed class ConnectionConsumersTests : IAsyncLifetime
{
    private const int Most = 6;
    private const int MostOfUser = 10;

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-consumers").FullName;
    private TestHosts _hosts = null!;
    private RunningGateway _gateway = null!;
    private WireClient _client = null!;

    private static BasicConsume Consume => new("q", "", false, true, false, false, default);

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory,
            configure: static options => options with { MaxConsumersPerConnection = Most, MaxConsumersPerUser = MostOfUser },
            hosts: inner => _hosts = new TestHosts(inner));
        _client = await OpenAsync();
    }

    public async Task DisposeAsync()
    {
        await _client.DisposeAsync();
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Connection_has_a_limit_of_consumers_on_all_its_channels()
    {
        Assert.Equal(10_000, new AmqpGatewayOptions().MaxConsumersPerConnection);
        await TakeAsync(Most);
        // One of direct reply-to is no consumer of a queue.
        Assert.IsType<BasicConsumeOk>(await AskAsync(1, Consume with { Queue = "amq.rabbitmq.reply-to" }));
        await using var other = await OpenAsync();
        await other.SendAsync(1, Consume);
        Assert.IsType<BasicConsumeOk>(await other.ReceiveMethodAsync());
        await RefusedAsync();
    }

    [Fact]
    public async Task Arguments_of_a_consumer_have_a_limit()
    {
        await FailAsync(1, WithArgument(AmqpChannel.MaxArgumentBytes), 406);
        Assert.IsType<BasicConsumeOk>(await AskAsync(1, WithArgument(AmqpChannel.MaxArgumentBytes / 2)));

        static BasicConsume WithArgument(int bytes) =>
            Consume with { Arguments = FieldTable.Of(("note", FieldValue.Of(new string('n', bytes)))) };
    }

    [Fact]
    public async Task User_has_a_limit_of_consumers_on_all_its_connections()
    {
        Assert.Equal(100_000, new AmqpGatewayOptions().MaxConsumersPerUser);
        var taken = await TakeAsync(Most);
        await using var other = await OpenAsync();
        for (var i = Most; i < MostOfUser; i++)
            Assert.IsType<BasicConsumeOk>(await ConsumeAsync(other));
        Assert.IsType<BasicCancelOk>(await AskAsync(taken[0].Channel, new BasicCancel(taken[0].Tag, false)));
        Assert.IsType<BasicConsumeOk>(await ConsumeAsync(other));
        var close = Assert.IsType<ConnectionClose>(await ConsumeAsync(other));
        Assert.Equal(530, close.ReplyCode);
        Assert.Equal($"NOT_ALLOWED - reached maximum ({MostOfUser}) of consumers per user", close.ReplyText);

        static async Task<IMethod?> ConsumeAsync(WireClient client)
        {
            await client.SendAsync(1, Consume);
            return await client.ReceiveMethodAsync();
        }
    }

    [Fact]
    public async Task Consumers_that_are_cancelled_give_their_places_back()
    {
        foreach (var (channel, tag) in await TakeAsync(Most))
            Assert.IsType<BasicCancelOk>(await AskAsync(channel, new BasicCancel(tag, false)));
        await TakeAsync(Most);
        await RefusedAsync();
    }

    [Fact]
    public async Task Channels_that_close_give_the_places_of_their_consumers_back()
    {
        await TakeAsync(Most);
        Assert.IsType<ChannelCloseOk>(await AskAsync(1, new ChannelClose(200, "", 0, 0)));
        await OpenChannelAsync(_client, 1);
        // The other one is closed by the broker.
        await FailAsync(2, new QueueDeclare("none", true, false, false, false, false, default), 404);
        await TakeAsync(Most);
        await RefusedAsync();
    }

    [Fact]
    public async Task Queue_that_is_deleted_gives_the_places_of_its_consumers_back()
    {
        await TakeAsync(Most);
        Assert.IsType<QueueDeleteOk>(await AskAsync(1, new QueueDelete("q", false, false, false)));
        await DeclareAsync(_client);
        await TakeAsync(Most);
        await RefusedAsync();
    }

    [Fact]
    public async Task Queue_that_is_deleted_while_a_consumer_is_added_gives_its_place_back_once()
    {
        var queues = await _gateway.Gateway.OpenQueuesAsync();
        _hosts.Before = async command =>
        {
            if (command is not AddConsumer { Consumer.Queue: "gone" })
                return;
            var queue = _hosts.Find("/")!.Topology.FindQueue("gone")!;
            await _hosts.SendAsync("/", new DeleteQueue("gone", null));
            await queues.EndAsync("/", queue);
        };
        for (var i = 0; i <= Most; i++)
        {
            await DeclareAsync(_client, "gone");
            await FailAsync(1, Consume with { Queue = "gone" }, 404);
        }
        await TakeAsync(Most);
        await RefusedAsync();
    }

    [Theory]
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(406)]
    public async Task Consumer_that_is_refused_takes_no_place(int code)
    {
        await using var other = await OpenAsync();
        await other.SendAsync(1, Consume);
        Assert.IsType<BasicConsumeOk>(await other.ReceiveMethodAsync());
        var refused = code switch
        {
            403 => Consume with { Exclusive = true },
            404 => Consume with { Queue = "none" },
            _ => Consume with { Arguments = FieldTable.Of(("x-consumer-timeout", FieldValue.Of(-1L))) },
        };
        for (var i = 0; i <= Most; i++)
            await FailAsync(1, refused, code);
        await TakeAsync(Most);
        await RefusedAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancelled_consumer_that_holds_a_message_has_its_place_until_it_is_acknowledged(bool isAcknowledged)
    {
        Assert.IsType<BasicConsumeOk>(await AskAsync(1, Consume with { ConsumerTag = "holder", NoAck = false }));
        await _client.PublishAsync(1, "m"u8.ToArray());
        var delivered = Assert.IsType<BasicDeliver>(await _client.ReceiveMethodAsync());
        await _client.ReceiveBodyAsync();
        Assert.IsType<BasicCancelOk>(await AskAsync(1, new BasicCancel("holder", false)));
        await TakeAsync(Most - 1);
        if (isAcknowledged)
        {
            await _client.SendAsync(1, new BasicAck(delivered.DeliveryTag, false));
            await TakeAsync(1);
        }
        await RefusedAsync();
    }

    private async Task<WireClient> OpenAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await OpenChannelAsync(client, 1);
        await OpenChannelAsync(client, 2);
        await DeclareAsync(client);
        return client;
    }

    private static async Task OpenChannelAsync(WireClient client, ushort channel)
    {
        await client.SendAsync(channel, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
    }

    private static async Task DeclareAsync(WireClient client, string queue = "q")
    {
        await client.SendAsync(1, new QueueDeclare(queue, false, false, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
    }

    // On both channels by turns, the first one first.
    private async Task<List<(ushort Channel, string Tag)>> TakeAsync(int count)
    {
        var taken = new List<(ushort Channel, string Tag)>();
        for (var i = 0; i < count; i++)
        {
            var channel = (ushort)(1 + (i % 2));
            taken.Add((channel, Assert.IsType<BasicConsumeOk>(await AskAsync(channel, Consume)).ConsumerTag));
        }
        return taken;
    }

    private async Task RefusedAsync()
    {
        var close = Assert.IsType<ConnectionClose>(await AskAsync(2, Consume));
        Assert.Equal(530, close.ReplyCode);
        Assert.Equal($"NOT_ALLOWED - reached maximum ({Most}) of consumers per connection", close.ReplyText);
        Assert.Equal(BasicConsume.Id, new MethodId(close.ClassId, close.MethodId));
    }

    // Sends what closes a channel, and opens the channel again.
    private async Task FailAsync<T>(ushort channel, T method, int code)
        where T : IMethod
    {
        Assert.Equal(code, Assert.IsType<ChannelClose>(await AskAsync(channel, method)).ReplyCode);
        await _client.SendAsync(channel, default(ChannelCloseOk));
        await OpenChannelAsync(_client, channel);
    }

    private async Task<IMethod?> AskAsync<T>(ushort channel, T method)
        where T : IMethod
    {
        await _client.SendAsync(channel, method);
        return await _client.ReceiveMethodAsync();
    }
}
