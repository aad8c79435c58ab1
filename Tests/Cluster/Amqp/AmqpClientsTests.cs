using System.Collections.Concurrent;
using System.Net;
using System.Text;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.VirtualHosts;
using OrleansMq.Hosting;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Cluster.Amqp;

/// <summary>The base of tests with RabbitMQ's client over three brokers.</summary>
public abstract class AmqpClientsTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private readonly ConcurrentBag<IConnection> _connections = [];

    /// <inheritdoc/>
    private protected override void Extend(IBrokerBuilder builder) =>
        builder.AddAmqp(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });

    /// <inheritdoc/>
    private protected override async Task BeforeStopAsync()
    {
        foreach (var connection in _connections)
            await connection.DisposeAsync();
    }

    /// <summary>Returns the bytes of a text.</summary>
    private protected static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>Consumes a queue without acknowledgements.</summary>
    private protected static async Task<ConcurrentQueue<string>> ConsumeAsync(IChannel channel, string queue,
        Func<BasicDeliverEventArgs, string>? select = null)
    {
        var received = new ConcurrentQueue<string>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            received.Enqueue(select?.Invoke(delivery) ?? Encoding.UTF8.GetString(delivery.Body.Span));
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(queue, autoAck: true, consumer);
        return received;
    }

    /// <summary>Declares a queue in the memory of the channel's broker. Does so again where a broker has not answered in time that it finds
    /// queues there: then the queue is on the log.</summary>
    private protected Task DeclareInMemoryAsync(IChannel channel, int broker, string queue, bool isExclusive = false,
        bool isAutoDelete = false, IDictionary<string, object?>? arguments = null) => Wait.UntilAsync(async () =>
        {
            await channel.QueueDeclareAsync(queue, durable: false, isExclusive, isAutoDelete, arguments);
            if (Cluster.Get<ClusterVirtualHosts>(broker).Find("/")!.Topology.FindQueue(queue)!.InMemory)
                return true;
            await channel.QueueDeleteAsync(queue);
            return false;
        }, "the queue is in memory");

    /// <summary>Whether a broker owns the virtual hosts.</summary>
    private protected bool Owns(int broker) => Cluster.Get<ActiveCoordinators>(broker).IdsOf(VirtualHostsGrain.TypeName).Count > 0;

    /// <summary>Returns the only connection to a broker.</summary>
    private protected IConnection ConnectionTo(int broker) =>
        _connections.Single(connection => connection.ClientProvidedName == $"{broker}");

    /// <summary>Returns a gateway of a broker.</summary>
    private protected IGateway GatewayOf(int broker, string name) =>
        Cluster.Get<IEnumerable<IGateway>>(broker).Single(gateway => gateway.Name == name);

    /// <summary>Declares a queue passively. Returns the code of the refusal; 200 if the queue is there.</summary>
    private protected async Task<int> CodeOfAsync(int broker, string queue)
    {
        try
        {
            await using var channel = await ChannelAsync(broker);
            await channel.QueueDeclarePassiveAsync(queue);
            return 200;
        }
        catch (OperationInterruptedException refused)
        {
            return refused.ShutdownReason!.ReplyCode;
        }
    }

    /// <summary>Opens a channel that confirms, over a connection of its own.</summary>
    private protected async Task<IChannel> ChannelAsync(int broker)
    {
        var factory = new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = GatewayOf(broker, "amqp").EndPoint.Port,
            ClientProvidedName = $"{broker}",
            AutomaticRecoveryEnabled = false,
            ContinuationTimeout = Wait.Deadline,
        };
        var connection = await factory.CreateConnectionAsync();
        _connections.Add(connection);
        return await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true));
    }

    /// <summary>Returns a client of a broker's management API.</summary>
    private protected HttpClient Management(int broker)
    {
        var client = new HttpClient { BaseAddress = new Uri(GatewayOf(broker, "amqp-management").Address) };
        client.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String("guest:guest"u8));
        return client;
    }
}
