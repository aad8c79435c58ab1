using System.Collections.Concurrent;
using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Quotas;
using OrleansMq.Security;
using OrleansMq.Tests.Amqp.DotNet;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>What the users of connections may do.</summary>
public sealed class UserSessionTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-users").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Rules_see_the_address_of_the_client()
    {
        var authorizer = new RecordingAuthorizer();
        await using var gateway = await RunningGateway.StartAsync(_directory, authorizer: authorizer);
        await gateway.Broker.CreateTopicAsync(new NewTopic("orders", 1, 1, new Dictionary<string, string>()));
        await using var connection = await ConnectAsync(gateway);
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.BasicPublishAsync("", "amq.topic/orders", true, "m"u8.ToArray());
        await channel.QueueDeclarePassiveAsync("amq.topic/orders");
        var asked = authorizer.Asked.Where(static one => one.Session.Protocol == SessionProtocol.Amqp).ToArray();
        Assert.Contains(asked, static one => one.Operation == AccessOperation.Write);
        Assert.All(asked, static one => Assert.Equal(("User:guest", "127.0.0.1"), (one.Session.Principal, one.Session.Host)));
    }

    [Fact]
    public async Task Every_key_of_a_message_needs_the_topic_permission_also_where_the_exchange_is_new()
    {
        TestHosts? hosts = null;
        await using var gateway = await RunningGateway.StartAsync(_directory, hosts: inner => hosts = new TestHosts(inner));
        await using var connection = await ConnectAsync(gateway);
        await using var channel = await connection.CreateChannelAsync();
        await hosts!.AdministerAsync(new SetTopicPermission("/", "guest", "events", new TopicPermission("^mine", "^mine")));
        var before = hosts.Find("/");
        await channel.ExchangeDeclareAsync("events", "topic", durable: true);
        await channel.QueueDeclareAsync("q", durable: false, exclusive: false, autoDelete: false);
        var withQueue = hosts.Find("/");
        foreach (var image in new[] { withQueue, before })
        {
            hosts.Image = image;
            await RefusedAsync(connection, "write access to topic 'other'", one => PublishAsync(one, "mine", "other"));
            await RefusedAsync(connection, "write access to topic 'other'", one => PublishAsync(one, "other"));
            await RefusedAsync(connection, "read access to topic 'other'", static one => one.QueueBindAsync("q", "events", "other"));
            await RefusedAsync(connection, "write access to topic 'other'", async one =>
            {
                await one.TxSelectAsync();
                await PublishAsync(one, "mine", "mine", "other");
            });
            await using var allowed = await connection.CreateChannelAsync();
            await PublishAsync(allowed, "mine", "mine.2");
        }
    }

    [Fact]
    public async Task Connection_of_a_user_that_was_made_again_is_closed()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var first = await ConnectAsync(gateway);
        var hosts = await gateway.Broker.OpenVirtualHostsAsync();
        await PutAsync();
        await using var connection = await ConnectAsync(gateway, "alice");
        await using var channel = await connection.CreateChannelAsync();
        var closed = new TaskCompletionSource<ushort>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, shutdown) =>
        {
            closed.TrySetResult(shutdown.ReplyCode);
            return Task.CompletedTask;
        };
        await hosts.AdministerAsync(new DeleteUser("alice"));
        await PutAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false));
        Assert.Equal(320, await closed.Task.WaitAsync(ClientTest.Patience));
        await using var again = await ConnectAsync(gateway, "alice");

        async Task PutAsync()
        {
            await hosts.AdministerAsync(new PutUser("alice", PasswordHash.Create("guest", "salt"u8), PasswordHash.Sha256, []));
            await hosts.AdministerAsync(new SetPermissions("/", "alice", SafePattern.Everything, SafePattern.Everything,
                SafePattern.Everything));
        }
    }

    [Fact]
    public async Task Declarations_of_what_is_stored_pay_the_quota_of_the_user()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var connection = await ConnectAsync(gateway);
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("bound", durable: true, exclusive: false, autoDelete: false);
        await channel.QueueBindAsync("bound", "amq.topic", "a");
        await gateway.Broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"), new Dictionary<QuotaKey, double?>
        {
            [QuotaKey.ControllerMutationRate] = 0.001,
        })]);
        await channel.QueueDeclareAsync("one", durable: true, exclusive: false, autoDelete: false);
        foreach (var change in new Func<IChannel, Task>[]
        {
            static one => one.QueueDeclareAsync("two", durable: true, exclusive: false, autoDelete: false),
            static one => one.ExchangeDeclareAsync("x", "fanout", durable: true),
            static one => one.QueueDeleteAsync("one"),
            static one => one.QueueBindAsync("bound", "amq.topic", "b"),
            static one => one.ExchangeBindAsync("amq.fanout", "amq.topic", "b"),
            static one => one.QueueUnbindAsync("bound", "amq.topic", "a"),
        })
            await RefusedAsync(connection, "the quota controller_mutation_rate of user 'guest' is used up", change, 406);
        await channel.QueueDeclareAsync("one", durable: true, exclusive: false, autoDelete: false);
        var transient = (await channel.QueueDeclareAsync("", durable: false, exclusive: true, autoDelete: true)).QueueName;
        // What changes nothing, or is not stored, costs nothing.
        await channel.QueueBindAsync("bound", "amq.topic", "a");
        await channel.QueueUnbindAsync("bound", "amq.topic", "none");
        await channel.QueueBindAsync(transient, "amq.topic", "a");
    }

    [Fact]
    public async Task Channel_has_more_than_a_thousand_consumers()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var connection = await ConnectAsync(gateway);
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: false, exclusive: true, autoDelete: false);
        for (var consumers = 1; consumers <= 1_024; consumers++)
            await channel.BasicConsumeAsync("q", true, new AsyncEventingBasicConsumer(channel));
        Assert.Equal(1_024u, await channel.ConsumerCountAsync("q"));
    }

    [Fact]
    public async Task Connections_beyond_the_rate_of_their_address_are_closed()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await gateway.Broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity(null, null, "127.0.0.1"), new Dictionary<QuotaKey, double?>
        {
            [QuotaKey.ConnectionCreationRate] = 1,
        })]);
        // Ten at once, and eleven that wait for up to ten seconds.
        var clients = new List<WireClient>();
        await ConnectAsync();
        await clients[0].SendAsync(ProtocolHeader.Amqp091.ToArray());
        Assert.IsType<ConnectionStart>(await clients[0].ReceiveMethodAsync());
        var deadline = DateTime.UtcNow + ClientTest.Patience;
        while (!gateway.Log.Lines.Any(static line => line.Contains("has made more connections than its quota", StringComparison.Ordinal)))
        {
            Assert.True(DateTime.UtcNow < deadline);
            await ConnectAsync();
        }
        foreach (var one in clients)
            await one.DisposeAsync();

        async Task ConnectAsync() => clients.Add(await WireClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port)));
    }

    [Fact]
    public async Task Clients_that_do_not_log_in_take_no_places_of_those_that_have()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory,
            configure: options => options with { MaxUnauthenticated = 4 });
        var silent = new List<WireClient>();
        for (var count = 0; count < 4; count++)
        {
            silent.Add(await WireClient.ConnectAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port)));
            await silent[^1].SendAsync(ProtocolHeader.Amqp091.ToArray());
            Assert.IsType<ConnectionStart>(await silent[^1].ReceiveMethodAsync());
        }
        await Assert.ThrowsAnyAsync<Exception>(async () => await (await ConnectAsync(gateway)).DisposeAsync());
        Assert.Contains(gateway.Log.Lines, static line => line.Contains("too many have not authenticated", StringComparison.Ordinal));
        foreach (var one in silent)
            await one.DisposeAsync();
        // The broker sees the end of the others a little later.
        var connections = new List<IConnection>();
        var deadline = DateTime.UtcNow + ClientTest.Patience;
        while (connections.Count < 5)
        {
            Assert.True(DateTime.UtcNow < deadline);
            try
            {
                connections.Add(await ConnectAsync(gateway));
            }
            catch (BrokerUnreachableException)
            {
                await Task.Delay(10);
            }
        }
        foreach (var one in connections)
            await one.DisposeAsync();
    }

    [Theory]
    [InlineData(AuthorizationMode.Enforce, true)]
    [InlineData(AuthorizationMode.Off, false)]
    public async Task Guest_is_warned_of_where_rules_are_enforced(AuthorizationMode mode, bool isWarned)
    {
        await using var gateway = await RunningGateway.StartAsync(_directory, security: new SecurityOptions { Authorization = mode });
        await using var connection = await ConnectAsync(gateway);
        Assert.Equal(isWarned, gateway.Log.Lines.Any(static line => line.Contains("the user 'guest' with the password 'guest'",
            StringComparison.Ordinal)));
    }

    private static Task<IConnection> ConnectAsync(RunningGateway gateway, string user = "guest") => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = gateway.Port,
        UserName = user,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync();

    private static async Task PublishAsync(IChannel channel, string key, params string[] more)
    {
        await channel.BasicPublishAsync("events", key, mandatory: false, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["BCC"] = more.Cast<object?>().ToList() },
        }, ReadOnlyMemory<byte>.Empty);
        // Refused before it is answered.
        await channel.ExchangeDeclarePassiveAsync("amq.fanout");
    }

    private static async Task RefusedAsync(IConnection connection, string text, Func<IChannel, Task> action, int code = 403)
    {
        await using var channel = await connection.CreateChannelAsync();
        var refused = await Assert.ThrowsAnyAsync<OperationInterruptedException>(() => action(channel));
        Assert.Equal(code, refused.ShutdownReason!.ReplyCode);
        Assert.Contains(text, refused.ShutdownReason.ReplyText, StringComparison.Ordinal);
    }

    private sealed class RecordingAuthorizer : IAuthorizer
    {
        public ConcurrentQueue<(BrokerSession Session, AccessOperation Operation)> Asked { get; } = new();

        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name)
        {
            Asked.Enqueue((session, operation));
            return true;
        }

        public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) => true;
    }
}
