using System.Net;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Management;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Access;

/// <summary>A broker with the users of <see cref="AccessRights"/>, and what their requests are about.</summary>
public sealed class AccessServer : IAsyncLifetime
{
    // Names with "old" are deleted by a test that may; all of them are declared again.
    private static readonly IMethod[] Topology =
    [
        new ExchangeDeclare(AccessRights.LimitedExchange, "topic", false, false, false, false, false, default),
        new ExchangeDeclare("x2", "fanout", false, false, false, false, false, default),
        new ExchangeDeclare("x.old", "fanout", false, false, false, false, false, default),
        new QueueDeclare("q", false, false, false, false, false, default),
        new QueueDeclare("q.old", false, false, false, false, false, default),
        new QueueBind("q", AccessRights.LimitedExchange, "k", false, default),
        new ExchangeBind("x2", AccessRights.LimitedExchange, "k", false, default),
    ];

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-access").FullName;

    internal ManagedServer Server { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Server = await ManagedServer.StartAsync(_directory);
        await AccessRights.CreateUsersAsync((await Server.Amqp.OpenQueuesAsync()).Hosts);
        await Server.Broker.CreateTopicAsync(new NewTopic("orders"));
    }

    public async Task DisposeAsync()
    {
        await Server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Declares what the requests are about, as far as it is not there.</summary>
    internal async Task PrepareAsync()
    {
        await using var channel = await OpenAsync("guest");
        foreach (var method in Topology)
            await channel.HandleAsync(method);
    }

    /// <summary>Opens the virtual host, and a channel, for a user that has logged in.</summary>
    internal async Task<OperatorChannel> OpenAsync(string user)
    {
        var found = (await Server.Amqp.OpenQueuesAsync()).Hosts.Users.FindUser(user);
        Assert.NotNull(found);
        return await OperatorChannel.OpenAsync(Server.Amqp, "/", new AmqpClient(new IPEndPoint(IPAddress.Loopback, 1))
        {
            User = user,
            UserId = found.Id,
        });
    }

    /// <summary>Opens a connection of guest, with a channel and a consumer.</summary>
    internal async Task<AccessConnection> ConnectAsync()
    {
        var client = await WireClient.OpenAsync(Server.Amqp.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new BasicConsume("q", "", false, false, false, false, default));
        Assert.IsType<BasicConsumeOk>(await client.ReceiveMethodAsync());
        var newest = Server.Amqp.Connections.Select(static connection => connection.Describe()).OfType<ConnectionDescription>()
            .MaxBy(static connection => connection.Number)!;
        return new AccessConnection(client, newest.Name, newest.NameOf(newest.Channels.Single()));
    }
}

/// <summary>A connection with a channel.</summary>
/// <param name="Client">Its client.</param>
/// <param name="Name">Its name.</param>
/// <param name="Channel">The channel's name.</param>
internal sealed record AccessConnection(WireClient Client, string Name, string Channel) : IAsyncDisposable
{
    public ValueTask DisposeAsync() => Client.DisposeAsync();
}
