using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Channels of a broker whose leader stores no settlement, as below the least in-sync replicas.</summary>
public sealed class UnansweredSettlementTests : SlowLeaderTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Close_of_a_channel_is_answered_in_seconds(bool hasAcknowledged)
    {
        await using var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, Gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new QueueDeclare("q", false, true, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
        await client.PublishAsync(1, "m"u8.ToArray());
        await client.SendAsync(1, new BasicConsume("q", "c", false, false, false, false, default));
        Assert.IsType<BasicConsumeOk>(await client.ReceiveMethodAsync());
        Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
        await client.ReceiveBodyAsync();
        HoldSettlements();
        if (hasAcknowledged)
            await client.SendAsync(1, new BasicAck(1, false));
        await client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        var closed = client.ReceiveMethodAsync();
        await Clock.AdvanceUntilAsync(closed, TimeSpan.FromSeconds(25), ClockSteps.Small);
        Assert.IsType<ChannelCloseOk>(await closed);
    }

    [Fact]
    public async Task Settlement_that_is_not_stored_is_given_up_within_a_minute()
    {
        var state = new QueueState { Name = "own", Id = 77, Durable = true };
        await using var queue = await LogQueue.OpenAsync(Broker, "/", state, PolicySet.Empty.SettingsOf(state),
            await Gateway.Gateway.OpenQueuesAsync(), Clock, EngineLog.Silent, static () => new(true));
        await queue.PublishAsync(new AmqpMessage("", "own", ContentProperties.None, "m"u8.ToArray(), 0));
        var reader = await queue.AttachAsync(0);
        var held = Assert.Single(await reader.ReceiveAsync(1, TimeSpan.FromSeconds(30), CancellationToken.None));
        HoldSettlements();
        var settling = reader.SettleAsync(held.Hold, Settlement.Accept);
        await Clock.AdvanceUntilAsync(settling, TimeSpan.FromSeconds(65));
        await Assert.ThrowsAsync<BrokerException>(() => settling);
        await Clock.AdvanceUntilAsync(reader.DisposeAsync().AsTask(), TimeSpan.FromSeconds(10));
    }

    // As the engine: a settlement that does not come into force fails after half a minute.
    private void HoldSettlements() => Broker.Script.Settle = async (_, _) =>
    {
        await Task.Delay(TimeSpan.FromSeconds(30), Clock);
        throw new BrokerException(ErrorCode.RequestTimedOut, "Too few replicas are in sync.");
    };
}
