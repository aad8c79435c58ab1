using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using OrleansMq.Hosting;
using OrleansMq.Tests.PostgreSql.Server;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Cluster.Amqp;

/// <summary>The management API of three brokers: each lists, counts and closes the connections of all.</summary>
public sealed class AmqpManagementClusterTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private readonly ConcurrentBag<IConnection> _connections = [];
    private readonly HttpClient _client = new();

    [SkippableFact]
    public async Task Any_broker_lists_the_connections_of_all_and_closes_them()
    {
        var first = await ConnectAsync(1);
        var second = await ConnectAsync(2);
        await using var channel = await second.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicConsumeAsync("q", autoAck: false, "tag", new AsyncEventingBasicConsumer(channel));
        var name = "";
        foreach (var broker in Cluster.Running)
        {
            await AssertNodesAsync(broker, "connections", "orleansmq@1", "orleansmq@2");
            await AssertNodesAsync(broker, "channels", "orleansmq@2");
            await Wait.UntilAsync(async () => (await ListAsync(broker, "consumers/%2F")) is [var consumer]
                && TextOf(consumer.GetProperty("channel_details"), "node") == "orleansmq@2", "the consumer is listed");
            await Wait.UntilAsync(async () => TotalsOf(await GetAsync(broker, "overview")) == (2, 1, 1), "all are counted");
            name = TextOf((await ListAsync(broker, "connections"))[1], "name");
            Assert.Equal(name, TextOf(await GetAsync(broker, $"connections/{Uri.EscapeDataString(name)}"), "name"));
        }

        Assert.Equal(204, await StatusOfAsync(3, "DELETE", $"connections/{Uri.EscapeDataString(name)}"));
        await Wait.UntilAsync(() => !second.IsOpen, "the connection at broker 2 is closed");
        await Wait.UntilAsync(async () => (await ListAsync(1, "connections")).Length == 1, "it is not listed");
        await Wait.UntilAsync(async () => await StatusOfAsync(3, "DELETE", $"connections/{Uri.EscapeDataString(name)}") == 404,
            "all brokers answer that there is no such connection");
        Assert.True(first.IsOpen);
        Assert.Equal(204, await StatusOfAsync(3, "DELETE", "connections/username/guest"));
        await Wait.UntilAsync(() => !first.IsOpen, "the connection at broker 1 is closed");
    }

    [SkippableFact]
    public async Task User_without_monitoring_sees_and_closes_its_own_connections_at_all_brokers()
    {
        await StatusOfAsync(1, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await StatusOfAsync(1, "PUT", "permissions/%2F/bob", """{"configure":".*","write":".*","read":".*"}""");
        foreach (var broker in Cluster.Running)
        {
            await Wait.UntilAsync(async () => await StatusOfAsync(broker, "GET", "vhosts/%2F", login: "bob:p") == 200,
                "the user is known everywhere");
        }
        var guests = await ConnectAsync(2);
        var bobs = await ConnectAsync(2, "bob", "p");
        var name = TextOf(Assert.Single(await ListAsync(1, "connections/username/guest")), "name");
        var path = $"connections/{Uri.EscapeDataString(name)}";

        foreach (var broker in Cluster.Running)
        {
            Assert.Equal("bob", TextOf(Assert.Single(await ListAsync(broker, "connections", "bob:p")), "user"));
            Assert.Empty(await ListAsync(broker, "connections/username/guest", "bob:p"));
            Assert.Equal(401, await StatusOfAsync(broker, "GET", path, login: "bob:p"));
            Assert.Equal(401, await StatusOfAsync(broker, "DELETE", path, login: "bob:p"));
            Assert.Equal(401, await StatusOfAsync(broker, "DELETE", "connections/username/guest", login: "bob:p"));
        }
        Assert.True(guests.IsOpen);
        Assert.Equal(204, await StatusOfAsync(3, "DELETE", "connections/username/bob", login: "bob:p"));
        await Wait.UntilAsync(() => !bobs.IsOpen, "the user's own connection is closed");
        Assert.True(guests.IsOpen);
    }

    [SkippableFact]
    public async Task Broker_that_has_stopped_is_left_out()
    {
        foreach (var broker in Cluster.Running)
            await ConnectAsync(broker);
        await AssertNodesAsync(1, "connections", "orleansmq@1", "orleansmq@2", "orleansmq@3");
        await Cluster.StopAsync(3);
        await Cluster.SettleAsync();
        foreach (var broker in Cluster.Running)
        {
            await AssertNodesAsync(broker, "connections", "orleansmq@1", "orleansmq@2");
            Assert.Equal([("orleansmq@1", true), ("orleansmq@2", true), ("orleansmq@3", false)], (await ListAsync(broker, "nodes"))
                .Select(static node => (TextOf(node, "name"), node.GetProperty("running").GetBoolean())));
            await Wait.UntilAsync(async () => await StatusOfAsync(broker, "DELETE", "connections/none") == 404,
                "the stopped broker is not waited for");
        }
    }

    [SkippableFact]
    public async Task Messages_are_counted_whichever_broker_leads_their_queues()
    {
        await using var channel = await (await ConnectAsync(1)).CreateChannelAsync(new CreateChannelOptions(
            publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true));
        for (var i = 0; i < 6; i++)
        {
            await channel.QueueDeclareAsync($"q{i}", durable: true, exclusive: false, autoDelete: false);
            await channel.BasicPublishAsync("", $"q{i}", mandatory: true, new BasicProperties { Persistent = true },
                Encoding.UTF8.GetBytes("m"));
        }
        foreach (var broker in Cluster.Running)
        {
            await Wait.UntilAsync(async () => (await ListAsync(broker, "queues/%2F")).Count(static queue =>
                queue.TryGetProperty("messages", out var messages) && messages.GetInt32() == 1) == 6, "each queue has its message");
            await Wait.UntilAsync(async () => (await GetAsync(broker, "overview")).GetProperty("queue_totals")
                .GetProperty("messages").GetInt32() == 6, "all messages are counted once");
        }
    }

    /// <inheritdoc/>
    private protected override void Extend(IBrokerBuilder builder) => builder
        .AddAmqp(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) })
        .AddAmqpManagement(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });

    /// <inheritdoc/>
    private protected override async Task BeforeStopAsync()
    {
        _client.Dispose();
        foreach (var connection in _connections)
            await connection.DisposeAsync();
    }

    private async Task<IConnection> ConnectAsync(int broker, string user = "guest", string password = "guest")
    {
        var connection = await new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = GatewayOf(broker, "amqp").EndPoint.Port,
            UserName = user,
            Password = password,
            AutomaticRecoveryEnabled = false,
            ContinuationTimeout = Wait.Deadline,
        }.CreateConnectionAsync();
        _connections.Add(connection);
        // The client does not wait until its virtual host is open. A channel does.
        await using var channel = await connection.CreateChannelAsync();
        return connection;
    }

    // A broker that is busy for longer than it is waited for is left out, and listed by the next answer.
    private Task AssertNodesAsync(int broker, string path, params string[] nodes) => Wait.UntilAsync(async () =>
        (await ListAsync(broker, path)).Select(static item => TextOf(item, "node")).SequenceEqual(nodes),
        $"broker {broker} lists {path} of {string.Join(", ", nodes)}");

    private async Task<JsonElement[]> ListAsync(int broker, string path, string login = "guest:guest") =>
        [.. (await GetAsync(broker, path, login)).EnumerateArray()];

    private async Task<JsonElement> GetAsync(int broker, string path, string login = "guest:guest")
    {
        using var response = await SendAsync(broker, "GET", path, null, login);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{path} at broker {broker}: {(int)response.StatusCode} {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    private async Task<int> StatusOfAsync(int broker, string method, string path, string? body = null, string login = "guest:guest")
    {
        using var response = await SendAsync(broker, method, path, body, login);
        return (int)response.StatusCode;
    }

    private async Task<HttpResponseMessage> SendAsync(int broker, string method, string path, string? body, string login)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(
            $"{GatewayOf(broker, "amqp-management").Address}/api/{path}",
            new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(login)));
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        return await _client.SendAsync(request);
    }

    private IGateway GatewayOf(int broker, string name) =>
        Cluster.Get<IEnumerable<IGateway>>(broker).Single(gateway => gateway.Name == name);

    private static (int Connections, int Channels, int Consumers) TotalsOf(JsonElement overview)
    {
        var totals = overview.GetProperty("object_totals");
        return (totals.GetProperty("connections").GetInt32(), totals.GetProperty("channels").GetInt32(),
            totals.GetProperty("consumers").GetInt32());
    }

    private static string TextOf(JsonElement item, string field) => item.GetProperty(field).GetString()!;
}
