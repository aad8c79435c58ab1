using System.Net;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Channels that publish without confirms, and close while the leader stores their messages.</summary>
public sealed class UnansweredPublishTests : SlowLeaderTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Message_that_was_published_before_a_close_is_there_when_the_close_is_answered(bool closesConnection)
    {
        await using var client = await OpenAsync();
        var (began, goes, isStored) = (new TaskCompletionSource(), new TaskCompletionSource(), false);
        Broker.Produce = async (_, store) =>
        {
            began.TrySetResult();
            await goes.Task;
            var result = await store();
            Volatile.Write(ref isStored, true);
            return result;
        };
        await client.PublishAsync(1, "m"u8.ToArray());
        var closing = SendCloseAsync(client, closesConnection);
        await began.Task.WaitAsync(Patience);
        Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.False(closing.IsCompleted);
        goes.SetResult();
        await closing.WaitAsync(Patience);
        Assert.True(Volatile.Read(ref isStored));

        await using var other = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, Gateway.Port));
        await other.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await other.ReceiveMethodAsync());
        await other.SendAsync(1, new BasicGet("q", true));
        Assert.IsType<BasicGetOk>(await other.ReceiveMethodAsync());
        Assert.Equal("m"u8.ToArray(), await other.ReceiveBodyAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Close_is_answered_within_seconds_where_the_leader_stores_nothing(bool closesConnection)
    {
        await using var client = await OpenAsync();
        var held = new TaskCompletionSource();
        Broker.Produce = async (_, store) =>
        {
            await held.Task;
            return await store();
        };
        await client.PublishAsync(1, "m"u8.ToArray());
        var closing = SendCloseAsync(client, closesConnection);
        await Clock.AdvanceUntilAsync(closing, TimeSpan.FromSeconds(25), ClockSteps.Small);
        await closing;
        held.SetResult();
    }

    private async Task<WireClient> OpenAsync()
    {
        var client = await OpenChannelAsync();
        await client.SendAsync(1, new QueueDeclare("q", false, true, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
        return client;
    }

    // Completes when it is answered.
    private static async Task SendCloseAsync(WireClient client, bool closesConnection)
    {
        if (closesConnection)
            await client.SendAsync(0, new ConnectionClose(200, "bye", 0, 0));
        else
            await client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        Assert.IsType(closesConnection ? typeof(ConnectionCloseOk) : typeof(ChannelCloseOk), await client.ReceiveMethodAsync());
    }
}
