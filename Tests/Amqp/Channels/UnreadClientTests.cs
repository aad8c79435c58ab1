using OrleansMq.Api;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Channels;

/// <summary>What a client that does not read, or does not acknowledge, costs, and that it gets all messages nevertheless.</summary>
public sealed class UnreadClientTests : SlowLeaderTests
{
    // What may be in memory is more than sockets hold (4.3 MB of a client that does not read), and less than a first receive brings.
    private const long MaxMemory = 4 * MemoryBudget.LeastLimit;
    // Of one connection, beyond its first MiB: a quarter of what all have.
    private const long Shared = MaxMemory / 8 / 4;
    private const int Queues = 100;
    private const int Each = 4;
    private const int Bytes = 128 << 10;

    private int _fetches;

    private protected override AmqpGatewayOptions Configure(AmqpGatewayOptions options) =>
        options with { MaxMemoryBytes = MaxMemory };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_that_reads_late_gets_each_message_once_and_in_order(bool areStreams)
    {
        await PublishAllAsync(areStreams);
        CountFetches();
        await using var client = await ReceiveAllAsync(areStreams);
        Assert.InRange(Gateway.Gateway.Deliveries!.Value.Unread.Used, 1, Shared);
        await ReadAllAsync(client, areStreams);
        Assert.NotEqual(0, Volatile.Read(ref _fetches));
        await Until(() => Gateway.Gateway.Deliveries!.Value.Unread.Used == 0);
    }

    [Fact]
    public async Task Client_that_reads_nothing_and_goes_leaves_all_messages_to_the_next()
    {
        await PublishAllAsync(areStreams: false);
        var gone = await ReceiveAllAsync(areStreams: false);
        gone.Reset();
        await Until(() => Gateway.Gateway.Deliveries!.Value.Unread.Used == 0);
        await using var client = await ConsumeAllAsync(areStreams: false);
        await ReadAllAsync(client, areStreams: false);
    }

    [Fact]
    public async Task Queues_that_are_deleted_leave_nothing_in_memory_although_the_client_does_not_read()
    {
        await PublishAllAsync(areStreams: false);
        await using var unread = await ReceiveAllAsync(areStreams: false);
        await using var other = await OpenChannelAsync();
        for (var queue = 0; queue < Queues; queue++)
        {
            await other.SendAsync(1, new QueueDelete($"q{queue}", false, false, false));
            Assert.IsType<QueueDeleteOk>(await other.ReceiveMethodAsync());
        }
        await Until(() => Gateway.Gateway.Deliveries!.Value.Unread.Used == 0);
    }

    [Fact]
    public async Task Message_that_cannot_be_read_again_now_is_delivered_once_it_can_be()
    {
        await PublishAllAsync(areStreams: false);
        var (refused, isRefusing) = (0, false);
        Broker.Fetch = (_, forward) => Volatile.Read(ref isRefusing) && Interlocked.Increment(ref refused) <= 20
            ? new ValueTask<FetchResult>(new FetchResult(ErrorCode.NotLeaderOrFollower, 0, 0, 0, default)) : forward();
        await using var client = await ReceiveAllAsync(areStreams: false);
        // Not before: while the clock stands still, nothing would take the place of what the socket has taken.
        Volatile.Write(ref isRefusing, true);
        var reading = ReadAllAsync(client, areStreams: false);
        await Clock.AdvanceUntilAsync(reading, TimeSpan.FromHours(1), TimeSpan.FromMilliseconds(100));
        await reading;
        Assert.True(refused > 20);
    }

    [Fact]
    public async Task Messages_that_are_not_acknowledged_become_dead_letters_although_they_had_no_room()
    {
        const int Count = 100;
        await using var client = await HoldAsync(Count);
        Assert.InRange(Gateway.Gateway.Deliveries!.Value.Kept.Used, Shared - (2 * Bytes), Shared);
        CountFetches();
        await client.SendAsync(1, new BasicNack(0, true, false));
        await client.SendAsync(1, new BasicConsume("letters", "letters", false, true, false, true, default));
        for (var i = 0; i < Count; i++)
        {
            Assert.Equal("letters", Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync()).ConsumerTag);
            Assert.Equal((byte)i, (await client.ReceiveBodyAsync())[1]);
        }
        Assert.NotEqual(0, Volatile.Read(ref _fetches));
        await Until(() => Gateway.Gateway.Deliveries!.Value.Kept.Used == 0);
    }

    [Fact]
    public async Task Rejections_that_wait_when_their_channel_ends_leave_each_message_in_one_place()
    {
        const int Count = 100;
        await using var client = await HoldAsync(Count);
        var (asked, answer) = (0, new TaskCompletionSource());
        Broker.Fetch = async (_, forward) =>
        {
            Interlocked.Increment(ref asked);
            await answer.Task;
            return await forward();
        };
        await client.SendAsync(1, new BasicNack(0, true, false));
        await Until(() => Volatile.Read(ref asked) > 0);
        await client.SendAsync(1, new ChannelClose(200, "", 0, 0));
        var closing = client.ReceiveMethodAsync();
        await Clock.AdvanceUntilAsync(closing, TimeSpan.FromMinutes(1));
        Assert.IsType<ChannelCloseOk>(await closing);
        answer.SetResult();
        await Until(() => Gateway.Gateway.Deliveries!.Value.Kept.Used == 0);

        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        foreach (var queue in (string[])["q", "letters"])
            await client.SendAsync(1, new BasicConsume(queue, queue, false, true, false, true, default));
        var found = new Dictionary<string, HashSet<byte>> { ["q"] = [], ["letters"] = [] };
        for (var i = 0; i < Count; i++)
        {
            var deliver = Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            Assert.True(found[deliver.ConsumerTag].Add((await client.ReceiveBodyAsync())[1]));
        }
        Assert.Equal(Count, found["q"].Union(found["letters"]).Count());
        Assert.NotEmpty(found["q"]);
        Assert.NotEmpty(found["letters"]);
        foreach (var queue in (string[])["q", "letters"])
        {
            await client.SendAsync(1, new QueueDeclare(queue, true, true, false, false, false, default));
            Assert.Equal(0u, Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync()).MessageCount);
        }
    }

    // A client that holds messages of a queue with a dead-letter exchange, more than are kept in memory for that.
    private async Task<WireClient> HoldAsync(int count)
    {
        var client = await OpenChannelAsync();
        await DeclareAsync(client, "q", ("x-dead-letter-exchange", FieldValue.Of("")),
            ("x-dead-letter-routing-key", FieldValue.Of("letters")));
        await DeclareAsync(client, "letters");
        for (var i = 0; i < count; i++)
            await client.PublishAsync(1, Body(0, i));
        await client.SendAsync(1, new BasicConsume("q", "c", false, false, false, true, default));
        for (var i = 0; i < count; i++)
        {
            Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            Assert.Equal((byte)i, (await client.ReceiveBodyAsync())[1]);
        }
        return client;
    }

    private void CountFetches()
    {
        Volatile.Write(ref _fetches, 0);
        Broker.Fetch = (_, forward) =>
        {
            Interlocked.Increment(ref _fetches);
            return forward();
        };
    }

    private async Task PublishAllAsync(bool areStreams)
    {
        await using var client = await OpenChannelAsync();
        for (var queue = 0; queue < Queues; queue++)
            await DeclareAsync(client, $"q{queue}", areStreams ? [("x-queue-type", FieldValue.Of("stream"))] : []);
        await client.SendAsync(1, new ConfirmSelect(false));
        Assert.IsType<ConfirmSelectOk>(await client.ReceiveMethodAsync());
        for (var i = 0; i < Each; i++)
        {
            for (var queue = 0; queue < Queues; queue++)
                await client.PublishAsync(1, Body(queue, i), queue: $"q{queue}");
        }
        for (var confirmed = new HashSet<ulong>(); confirmed.Count < Queues * Each;)
        {
            var ack = Assert.IsType<BasicAck>(await client.ReceiveMethodAsync());
            for (var tag = ack.Multiple ? 1 : ack.DeliveryTag; tag <= ack.DeliveryTag; tag++)
                confirmed.Add(tag);
        }
    }

    private async Task<WireClient> ConsumeAllAsync(bool areStreams)
    {
        var client = await OpenChannelAsync();
        await client.SendAsync(1, new BasicQos(0, 1000, false));
        Assert.IsType<BasicQosOk>(await client.ReceiveMethodAsync());
        for (var queue = 0; queue < Queues; queue++)
        {
            await client.SendAsync(1, new BasicConsume($"q{queue}", $"q{queue}", false, false, false, true,
                areStreams ? FieldTable.Of(("x-stream-offset", FieldValue.Of("first"))) : default));
        }
        return client;
    }

    // All consumers receive at once, before the client's socket is full: each of them all that its queue has. Most of it finds no room.
    private async Task<WireClient> ReceiveAllAsync(bool areStreams)
    {
        var (asked, answered, all) = (0, 0, new TaskCompletionSource());
        Broker.Script.Receive = async forward =>
        {
            await AskAsync();
            var delivery = await forward();
            Interlocked.Increment(ref answered);
            return delivery;
        };
        var fetch = Broker.Fetch;
        Broker.Fetch = async (request, forward) =>
        {
            if (request.MaxBytes > 1)
                await AskAsync();
            var fetched = await fetch(request, forward);
            Interlocked.Increment(ref answered);
            return fetched;
        };
        var client = await ConsumeAllAsync(areStreams);
        await Until(() => Volatile.Read(ref answered) >= Queues);
        // Sockets may have taken what few consumers have received at once: what comes next finds the room that it leaves.
        await Until(() => Unsent() > ConnectionOutput.MaxUnsentBytes);
        await Until(() => Gateway.Gateway.Deliveries!.Value.Unread.Used > Shared / 4);
        // All that was received at once, and the one that was read again.
        Assert.InRange(Unsent(), 1, ConnectionOutput.MaxUnsentBytes + ConnectionCopies.Own + Shared + (2 * Bytes));
        return client;

        int Unsent() => Gateway.Gateway.Connections.Max(static one => one.UnsentBytes);

        Task AskAsync()
        {
            if (Interlocked.Increment(ref asked) >= Queues)
                all.TrySetResult();
            return all.Task;
        }
    }

    private static async Task ReadAllAsync(WireClient client, bool areStreams)
    {
        var next = new int[Queues];
        var last = 0UL;
        for (var left = Queues * Each; left > 0; left--)
        {
            var deliver = Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            var body = await client.ReceiveBodyAsync();
            Assert.Equal(deliver.ConsumerTag, $"q{body[0]}");
            Assert.Equal(next[body[0]]++, body[1]);
            Assert.Equal((Bytes, body[1]), (body.Length, body[^1]));
            Assert.False(areStreams && deliver.Redelivered);
            last = deliver.DeliveryTag;
        }
        Assert.All(next, static count => Assert.Equal(Each, count));
        await client.SendAsync(1, new BasicAck(last, true));
    }

    private static byte[] Body(int queue, int number)
    {
        var body = new byte[Bytes];
        (body[0], body[1], body[^1]) = ((byte)queue, (byte)number, (byte)number);
        return body;
    }

    private static async Task DeclareAsync(WireClient client, string queue, params (string, FieldValue)[] arguments)
    {
        await client.SendAsync(1, new QueueDeclare(queue, false, true, false, false, false, FieldTable.Of(arguments)));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
    }

    private static async Task Until(Func<bool> condition)
    {
        for (var began = DateTime.UtcNow; !condition();)
        {
            Assert.True(DateTime.UtcNow - began < TimeSpan.FromSeconds(60));
            await Task.Delay(10);
        }
    }
}
