using System.Net;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Messages that many durable queues get: the copies of them that are under way at once.</summary>
public sealed class FanOutTests : SlowLeaderTests
{
    private const int Queues = 10;
    private const int Body = 8 << 20;
    // A connection has room for 64 MiB of copies: seven, with what belongs to each, beside the first queue's.
    private const int MostUnderWay = 8;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly BasicPublish ToAll = new("all", "", false, false);

    private readonly Lock _lock = new();
    private readonly Queue<TaskCompletionSource> _held = new();
    private int _underWay;
    private int _most;
    private int _stored;

    [Fact]
    public async Task Large_message_for_many_queues_is_stored_some_at_a_time_and_confirmed_when_all_have_it()
    {
        await using var client = await OpenAsync();
        await client.SendAsync(1, default(ConfirmSelect));
        Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
        HoldAppends();
        await PublishAsync(client, 1);
        await PublishAsync(client, 2);
        var answer = client.ReceiveMethodAsync();
        await UntilAsync(() => _held.Count == MostUnderWay);
        for (var i = 0; i < 2 * Queues; i++)
        {
            Assert.False(answer.IsCompleted && _stored < Queues);
            await ReleaseAsync();
        }
        var ack = Assert.IsType<BasicAck>(await answer);
        if (ack.DeliveryTag == 1)
            ack = Assert.IsType<BasicAck>(await client.ReceiveMethodAsync());
        Assert.Equal(2UL, ack.DeliveryTag);
        Assert.Equal(MostUnderWay, _most);
        Broker.Produce = null;
        for (var i = 0; i < Queues; i++)
        {
            foreach (var number in new byte[] { 1, 2 })
            {
                await client.SendAsync(1, new BasicGet($"q{i}", true));
                Assert.IsType<BasicGetOk>(await client.ReceiveMethodAsync());
                Assert.Equal(number, (await client.ReceiveBodyAsync())[0]);
            }
        }
    }

    [Fact]
    public async Task Commit_is_answered_when_all_queues_have_the_message()
    {
        await using var client = await OpenAsync();
        await client.SendAsync(1, default(TxSelect));
        Assert.IsType<TxSelectOk>(await client.ReceiveMethodAsync());
        HoldAppends();
        await PublishAsync(client, 1);
        await client.SendAsync(1, default(TxCommit));
        var answer = client.ReceiveMethodAsync();
        for (var i = 0; i < Queues; i++)
        {
            Assert.False(answer.IsCompleted);
            await ReleaseAsync();
        }
        Assert.IsType<TxCommitOk>(await answer);
        Assert.Equal(Queues, _stored);
        Assert.InRange(_most, 1, MostUnderWay);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Close_is_answered_within_seconds_where_queues_take_no_copy(bool closesConnection)
    {
        await using var client = await OpenAsync();
        HoldAppends();
        await PublishAsync(client, 1);
        await UntilAsync(() => _held.Count == MostUnderWay);
        if (closesConnection)
            await client.SendAsync(0, new ConnectionClose(200, "bye", 0, 0));
        else
            await client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        var answer = client.ReceiveMethodAsync();
        await Clock.AdvanceUntilAsync(answer, TimeSpan.FromSeconds(25), ClockSteps.Small);
        Assert.IsType(closesConnection ? typeof(ConnectionCloseOk) : typeof(ChannelCloseOk), await answer);
        // The copies that are under way are stored; the others never go.
        for (var i = 0; i < MostUnderWay; i++)
            await ReleaseAsync();
        Assert.Empty(_held);
    }

    [Fact]
    public async Task Message_that_was_published_before_a_close_reaches_all_queues_while_they_take_copies()
    {
        await using var client = await OpenAsync();
        HoldAppends();
        await PublishAsync(client, 1);
        await client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        var answer = client.ReceiveMethodAsync();
        for (var i = 0; i < Queues; i++)
        {
            Assert.False(answer.IsCompleted);
            await ReleaseAsync();
        }
        Assert.IsType<ChannelCloseOk>(await answer);
        Assert.Equal(Queues, _stored);
    }

    [Fact]
    public async Task Batches_of_all_connections_and_of_dead_letters_have_half_of_the_memory_of_messages()
    {
        const long Memory = 64L << 20;
        var directory = Directory.CreateTempSubdirectory("omq-letters").FullName;
        ScriptedBroker? broker = null;
        await using (var gateway = await RunningGateway.StartAsync(directory, configure: static options => options with
        {
            MaxMemoryBytes = Memory,
        }, engine: inner => broker = new ScriptedBroker(inner)))
        {
            await using var client = await OpenAsync(gateway.Port);
            await client.SendAsync(1, new QueueDeclare("source", false, true, false, false, false,
                FieldTable.Of(("x-dead-letter-exchange", FieldValue.Of("all")))));
            Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
            await PublishAsync(client, 1, new BasicPublish("", "source", false, false));
            await client.SendAsync(1, new BasicGet("source", false));
            var tag = Assert.IsType<BasicGetOk>(await client.ReceiveMethodAsync()).DeliveryTag;
            await client.ReceiveBodyAsync();
            HoldAppends(broker);
            await client.SendAsync(1, new BasicReject(tag, false));
            for (var i = 0; i < Queues; i++)
                await ReleaseAsync();
            Assert.Equal(Queues, _stored);
            Assert.InRange(_most, 1, Memory / 2 / Body);
            Assert.InRange(gateway.Gateway.Copies!.MostBytes, Body, Memory / 2);
        }
        Directory.Delete(directory, recursive: true);
    }

    private void HoldAppends(ScriptedBroker? broker = null) => (broker ?? Broker).Produce = (_, store) =>
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            _held.Enqueue(held);
            _most = Math.Max(_most, ++_underWay);
        }
        return StoreAsync(held.Task, store);
    };

    private async ValueTask<ProduceResult> StoreAsync(Task released, Func<ValueTask<ProduceResult>> store)
    {
        await released;
        var result = await store();
        lock (_lock)
        {
            _underWay--;
            _stored++;
        }
        return result;
    }

    // Has the oldest append be stored.
    private async Task ReleaseAsync()
    {
        TaskCompletionSource? held = null;
        var before = _stored;
        await UntilAsync(() => _held.TryDequeue(out held));
        held!.SetResult();
        await UntilAsync(() => _stored == before + 1);
    }

    private async Task UntilAsync(Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (true)
        {
            lock (_lock)
            {
                if (condition())
                    return;
            }
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(5);
        }
    }

    private static async Task PublishAsync(WireClient client, byte number, BasicPublish? publish = null)
    {
        var body = new byte[Body];
        body[0] = number;
        using var output = new PooledBuffer();
        Frames.WriteContent(output, 1, publish ?? ToAll, ContentProperties.None.Bytes.Span, body, 131072);
        await client.SendAsync(output.WrittenMemory);
    }

    private Task<WireClient> OpenAsync() => OpenAsync(Gateway.Port);

    // Declares an exchange that leads to many queues.
    private static async Task<WireClient> OpenAsync(int port)
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new ExchangeDeclare("all", "fanout", false, true, false, false, false, default));
        Assert.IsType<ExchangeDeclareOk>(await client.ReceiveMethodAsync());
        for (var i = 0; i < Queues; i++)
        {
            await client.SendAsync(1, new QueueDeclare($"q{i}", false, true, false, false, false, default));
            Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
            await client.SendAsync(1, new QueueBind($"q{i}", "all", "", false, default));
            Assert.IsType<QueueBindOk>(await client.ReceiveMethodAsync());
        }
        return client;
    }
}
