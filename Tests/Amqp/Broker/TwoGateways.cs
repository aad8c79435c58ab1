using System.Net;
using System.Text;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Hosting;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Two gateways of one cluster, as far as AMQP goes: they share the virtual hosts, and each has queues in its memory.</summary>
public abstract class TwoGateways : IAsyncLifetime
{
    private protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-homes").FullName;

    /// <summary>What the messages of each gateway may have in memory.</summary>
    private protected virtual long MaxMemoryBytes => MemoryBudget.DefaultLimit();

    /// <summary>The clock of both gateways.</summary>
    private protected virtual TimeProvider Time => TimeProvider.System;

    private protected TestPeers Peers { get; } = new();

    private protected List<AmqpGateway> Gateways { get; } = [];
    private protected List<TestHosts> Hosts { get; } = [];

    private protected List<IConnection> Connections { get; } = [];
    private protected LocalBroker LocalBroker { get; private set; } = null!;
    /// <summary>A channel of the first gateway, which confirms.</summary>
    private protected IChannel Home { get; private set; } = null!;

    /// <summary>A channel of the second gateway, which confirms.</summary>
    private protected IChannel Other { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        LocalBroker = await Brokers.LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory });
        await StartAsync(1);
        await StartAsync(2);
        (Home, Other) = (await ChannelAsync(0), await ChannelAsync(1));
    }

    public async Task DisposeAsync()
    {
        Peers.Answering = static () => Task.FromResult(true);
        foreach (var connection in Connections)
            await connection.DisposeAsync();
        foreach (var gateway in Gateways)
            await gateway.DisposeAsync();
        await LocalBroker.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private async Task StartAsync(int number)
    {
        var hosts = new TestHosts(await LocalBroker.OpenVirtualHostsAsync()) { IsShared = true };
        var gateway = new AmqpGateway(new AmqpGatewayOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            Log = new RecordedLog(),
            MaxMemoryBytes = MaxMemoryBytes,
            TimeProvider = Time,
        });
        await gateway.ListenAsync(CancellationToken.None);
        // The image has one broker, which is another one to both.
        gateway.Open(new HostedBroker(100 + number, LocalBroker.ClusterId, LocalBroker.Access, LocalBroker.Access.Broker,
            LocalBroker.Metadata, LocalBroker)
        {
            Security = LocalBroker.Security,
            Incarnation = $"i{number}",
            Peers = Peers,
            OpenVirtualHosts = () => new ValueTask<IVirtualHosts>(hosts),
        });
        Gateways.Add(gateway);
        Hosts.Add(hosts);
    }

    private protected async Task<IChannel> ChannelAsync(int gateway)
    {
        Connections.Add(await new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = Gateways[gateway].EndPoint.Port,
            AutomaticRecoveryEnabled = false,
        }.Patient().CreateConnectionAsync());
        return await Connections[^1].CreateChannelAsync(new CreateChannelOptions(true, true));
    }

    private protected static async Task<List<string>> ConsumeAsync(IChannel channel, string queue)
    {
        var received = new List<string>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            lock (received)
                received.Add(Encoding.UTF8.GetString(delivery.Body.Span));
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(queue, autoAck: true, consumer);
        return received;
    }

    private protected static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private protected static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private protected static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
