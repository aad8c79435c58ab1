using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Channels;

/// <summary>How much a consumer asks its queue for.</summary>
public sealed class ConsumerReceiveTests : SlowLeaderTests
{
    private const int Messages = 64;

    [Fact]
    public Task Consumer_of_small_messages_asks_for_hundreds() => AskedAsync(bytes: 100, most: 256);

    [Fact]
    public Task Consumer_of_large_messages_asks_for_about_a_megabyte() => AskedAsync(bytes: 100_000, most: 10);

    private async Task AskedAsync(int bytes, int most)
    {
        await using var client = await OpenChannelAsync();
        await DeclareAsync(client);
        await PublishAllAsync(client, bytes);
        var asked = new List<int>();
        Broker.Script.Receiving = (max, _) =>
        {
            lock (asked)
                asked.Add(max);
        };
        await client.SendAsync(1, new BasicConsume("q", "c", false, true, false, true, default));
        for (var i = 0; i < Messages; i++)
        {
            Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
            Assert.Equal((byte)i, (await client.ReceiveBodyAsync())[0]);
        }
        lock (asked)
        {
            Assert.Equal(16, asked[0]);
            Assert.All(asked[1..], max => Assert.Equal(most, max));
            Assert.InRange(asked.Count, 2, Messages);
        }
    }

    private static async Task DeclareAsync(WireClient client)
    {
        await client.SendAsync(1, new QueueDeclare("q", false, true, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
    }

    private static async Task PublishAllAsync(WireClient client, int bytes)
    {
        await client.SendAsync(1, default(TxSelect));
        Assert.IsType<TxSelectOk>(await client.ReceiveMethodAsync());
        for (var i = 0; i < Messages; i++)
        {
            var body = new byte[bytes];
            body[0] = (byte)i;
            await client.PublishAsync(1, body);
        }
        await client.SendAsync(1, default(TxCommit));
        Assert.IsType<TxCommitOk>(await client.ReceiveMethodAsync());
    }
}
