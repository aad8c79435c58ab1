using System.Net;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Messages that a client gets one by one: readers of the queues, and acknowledgements.</summary>
public sealed class GetTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-get").FullName;
    private RunningGateway _gateway = null!;
    private WireClient _client = null!;
    private Action<string> _called = static _ => { };
    private int _attached;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory, engine: inner =>
        {
            var broker = new ScriptedBroker(inner);
            broker.Script.Called = Called;
            return broker;
        });
        _client = await OpenChannelAsync();
    }

    public async Task DisposeAsync()
    {
        await _client.DisposeAsync();
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Reader_of_a_deleted_queue_ends_with_it()
    {
        for (var round = 0; round < 20; round++)
        {
            await DeclareAsync("q");
            await _client.SendAsync(1, new BasicGet("q", false));
            Assert.IsType<BasicGetEmpty>(await _client.ReceiveMethodAsync());
            await _client.SendAsync(1, new QueueDelete("q", false, false, false));
            Assert.IsType<QueueDeleteOk>(await _client.ReceiveMethodAsync());
            Assert.Equal(0, Volatile.Read(ref _attached));
        }
    }

    [Fact]
    public async Task Channel_that_gets_from_many_queues_keeps_some_readers_and_those_that_hold_messages()
    {
        await DeclareAsync("q");
        await _client.PublishAsync(1, "held"u8.ToArray());
        for (var queue = 0; queue < AmqpChannel.MaxGetters + 20; queue++)
        {
            var name = queue == 0 ? "q" : $"q{queue}";
            await DeclareAsync(name);
            await _client.SendAsync(1, new BasicGet(name, false));
            if (queue > 0)
                Assert.IsType<BasicGetEmpty>(await _client.ReceiveMethodAsync());
            else
                await ReceiveAsync(1);
        }
        Assert.InRange(Volatile.Read(ref _attached), 1, AmqpChannel.MaxGetters);
        // The first message is held still, and is settled.
        await _client.SendAsync(1, new BasicAck(1, false));
        await _client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        Assert.IsType<ChannelCloseOk>(await _client.ReceiveMethodAsync());
        Assert.Equal(0, Volatile.Read(ref _attached));
        await _client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await _client.ReceiveMethodAsync());
        Assert.Equal(0u, await DeclareAsync("q"));
    }

    [Fact]
    public async Task Channels_of_a_connection_keep_one_reader_each_where_they_have_many_and_those_that_hold_messages()
    {
        const ushort Channels = 24;
        const int Queues = 20;
        for (var queue = 0; queue < Queues; queue++)
            await DeclareAsync($"q{queue}");
        await DeclareAsync("q");
        await _client.PublishAsync(1, "held"u8.ToArray());
        await _client.SendAsync(1, new BasicGet("q", false));
        await ReceiveAsync(1);
        for (ushort channel = 2; channel <= Channels; channel++)
        {
            await _client.SendAsync(channel, default(ChannelOpen));
            Assert.IsType<ChannelOpenOk>(await _client.ReceiveMethodAsync());
        }
        // Twice, the second time while the connection has many: each finds its message all the same.
        for (var round = 0; round < 2; round++)
        {
            for (ushort channel = 1; channel <= Channels; channel++)
                await GetNothingAsync(channel, Queues);
            Assert.InRange(Volatile.Read(ref _attached), AmqpSession.MaxGetters / 2, AmqpSession.MaxGetters + Channels + 1);
        }
        await _client.SendAsync(1, new BasicAck(1, false));
        for (ushort channel = 1; channel <= Channels; channel++)
        {
            await _client.SendAsync(channel, new ChannelClose(200, "bye", 0, 0));
            Assert.IsType<ChannelCloseOk>(await _client.ReceiveMethodAsync());
        }
        Assert.Equal(0, Volatile.Read(ref _attached));
        // Those that have ended count no more: a channel keeps its readers again.
        await _client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await _client.ReceiveMethodAsync());
        await GetNothingAsync(1, Queues);
        Assert.Equal(Queues, Volatile.Read(ref _attached));
        Assert.Equal(0u, await DeclareAsync("q"));
    }

    [Fact]
    public async Task Get_without_acknowledgement_takes_nothing_for_a_client_that_is_gone()
    {
        await DeclareAsync("q");
        await _client.PublishAsync(1, "kept"u8.ToArray());
        Assert.Equal(1u, await DeclareAsync("q"));
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var held = new ManualResetEventSlim();
        // The queue is described for the answer, after the message was received.
        _called = name =>
        {
            if (name == nameof(IQueues.DescribeAsync) && begun.TrySetResult())
                held.Wait(Patience);
        };
        await using var gone = await OpenChannelAsync();
        await gone.SendAsync(1, new BasicGet("q", true));
        await begun.Task.WaitAsync(Patience);
        gone.Reset();
        await UntilAsync(() => Task.FromResult(_gateway.Gateway.Connections.Count(static one => one.Describe() is not null) == 1));
        held.Set();
        byte[]? body = null;
        await UntilAsync(async () =>
        {
            await _client.SendAsync(1, new BasicGet("q", true));
            if (await _client.ReceiveMethodAsync() is BasicGetOk)
                body = await _client.ReceiveBodyAsync();
            return body is not null;
        });
        Assert.Equal("kept", Encoding.UTF8.GetString(body!));
    }

    [Fact]
    public async Task Acknowledgements_of_nothing_add_nothing_to_a_transaction()
    {
        await DeclareAsync("q");
        for (var i = 0; i < 3; i++)
            await _client.PublishAsync(1, "m"u8.ToArray());
        await _client.SendAsync(1, default(TxSelect));
        Assert.IsType<TxSelectOk>(await _client.ReceiveMethodAsync());
        for (var tag = 1ul; tag <= 3; tag++)
        {
            await _client.SendAsync(1, new BasicGet("q", false));
            await ReceiveAsync(tag);
            await _client.SendAsync(1, new BasicAck(tag, false));
        }
        for (var i = 0; i < 1000; i++)
            await _client.SendAsync(1, new BasicAck(0, true));
        await _client.SendAsync(1, new BasicQos(0, 1, false));
        Assert.IsType<BasicQosOk>(await _client.ReceiveMethodAsync());
        Assert.Equal((3, 0), Uncommitted());
        await _client.SendAsync(1, default(TxRollback));
        Assert.IsType<TxRollbackOk>(await _client.ReceiveMethodAsync());
        Assert.Equal((0, 3), Uncommitted());
        await _client.SendAsync(1, new BasicAck(3, true));
        await _client.SendAsync(1, default(TxCommit));
        Assert.IsType<TxCommitOk>(await _client.ReceiveMethodAsync());
        Assert.Equal((0, 0), Uncommitted());
    }

    private async Task GetNothingAsync(ushort channel, int queues)
    {
        for (var queue = 0; queue < queues; queue++)
        {
            await _client.SendAsync(channel, new BasicGet($"q{queue}", false));
            Assert.IsType<BasicGetEmpty>(await _client.ReceiveMethodAsync());
        }
    }

    private (int Acknowledgements, int Unacknowledged) Uncommitted()
    {
        var channel = Assert.Single(Assert.Single(_gateway.Gateway.Connections).Describe()!.Channels);
        return (channel.UncommittedAcknowledgements, channel.Unacknowledged);
    }

    private void Called(string name)
    {
        if (name == nameof(IQueues.AttachAsync))
            Interlocked.Increment(ref _attached);
        else if (name == nameof(IQueues.DetachAsync))
            Interlocked.Decrement(ref _attached);
        _called(name);
    }

    private async Task<uint> DeclareAsync(string name)
    {
        await _client.SendAsync(1, new QueueDeclare(name, false, true, false, false, false, default));
        return Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync()).MessageCount;
    }

    private async Task ReceiveAsync(ulong tag)
    {
        Assert.Equal(tag, Assert.IsType<BasicGetOk>(await _client.ReceiveMethodAsync()).DeliveryTag);
        await _client.ReceiveBodyAsync();
    }

    private async Task<WireClient> OpenChannelAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
