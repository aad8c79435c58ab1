using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>A gateway with a clock, before a broker that answers when a test says.</summary>
public abstract class SlowLeaderTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-slow-leader").FullName;

    private protected ManualClock Clock { get; } = new();
    private protected ScriptedBroker Broker { get; private set; } = null!;
    private protected RunningGateway Gateway { get; private set; } = null!;

    public async Task InitializeAsync() => Gateway = await RunningGateway.StartAsync(_directory,
        configure: options => Configure(options with { TimeProvider = Clock }), engine: inner => Broker = new ScriptedBroker(inner));

    private protected virtual AmqpGatewayOptions Configure(AmqpGatewayOptions options) => options;

    /// <summary>Connects a client and opens its channel 1.</summary>
    private protected async Task<WireClient> OpenChannelAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, Gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    public async Task DisposeAsync()
    {
        Broker.Script.Settle = null;
        var ending = Gateway.DisposeAsync().AsTask();
        await Clock.AdvanceUntilAsync(ending, TimeSpan.FromMinutes(5));
        await ending;
        Directory.Delete(_directory, recursive: true);
    }
}
