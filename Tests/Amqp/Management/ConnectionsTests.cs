using System.Net;
using System.Text.Json;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Connections, channels and consumers in the management API, and operators who close them.</summary>
public sealed class ConnectionsTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-connections").FullName;
    private ManagedServer _server = null!;

    public async Task InitializeAsync() => _server = await ManagedServer.StartAsync(_directory);

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Connection_is_listed_with_its_channels_and_consumers_until_it_closes()
    {
        await using var connection = await ConnectAsync("orders \"1\"\n");
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicQosAsync(0, 7, global: false);
        await channel.BasicConsumeAsync("q", autoAck: false, "tag", noLocal: false, exclusive: true,
            new Dictionary<string, object?> { ["x-priority"] = 3 }, new AsyncEventingBasicConsumer(channel));
        await channel.BasicPublishAsync("", "q", mandatory: true, "m"u8.ToArray());

        var listed = Single(await _server.GetAsync("connections"));
        var name = listed.GetProperty("name").GetString()!;
        Assert.Equal(("guest", "/", "running", 1), (listed.GetProperty("user").GetString(), listed.GetProperty("vhost").GetString(),
            listed.GetProperty("state").GetString(), listed.GetProperty("channels").GetInt32()));
        Assert.Equal("orders \"1\"\n", listed.GetProperty("client_properties").GetProperty("connection_name").GetString());
        Assert.Equal("orders \"1\"\n", listed.GetProperty("user_provided_name").GetString());
        Assert.Equal(_server.AmqpPort, listed.GetProperty("port").GetInt32());
        Assert.Equal($"127.0.0.1:{listed.GetProperty("peer_port").GetInt32()} -> 127.0.0.1:{_server.AmqpPort}", name);
        Assert.True(listed.GetProperty("recv_oct").GetInt64() > 0);
        Assert.True(listed.GetProperty("send_oct").GetInt64() > 0);
        var path = $"connections/{Uri.EscapeDataString(name)}";
        Assert.Equal(name, (await _server.GetAsync(path)).GetProperty("name").GetString());
        Assert.Equal(name, Single(await _server.GetAsync("vhosts/%2F/connections")).GetProperty("name").GetString());
        Assert.Equal(name, Single(await _server.GetAsync("connections/username/guest")).GetProperty("name").GetString());
        Assert.Equal(0, (await _server.GetAsync("connections/username/bob")).GetArrayLength());

        await UntilAsync(async () => Single(await _server.GetAsync("channels")).GetProperty("messages_unacknowledged").GetInt32() == 1);
        var found = Single(await _server.GetAsync($"{path}/channels"));
        Assert.Equal(($"{name} (1)", true, 1, 7), (found.GetProperty("name").GetString(), found.GetProperty("confirm").GetBoolean(),
            found.GetProperty("consumer_count").GetInt32(), found.GetProperty("prefetch_count").GetInt32()));
        var details = await _server.GetAsync($"channels/{Uri.EscapeDataString($"{name} (1)")}");
        Assert.Equal("tag", Single(details.GetProperty("consumer_details")).GetProperty("consumer_tag").GetString());
        var consumer = Single(await _server.GetAsync("consumers/%2F"));
        Assert.Equal(("q", true, true, 3), (consumer.GetProperty("queue").GetProperty("name").GetString(),
            consumer.GetProperty("ack_required").GetBoolean(), consumer.GetProperty("exclusive").GetBoolean(),
            consumer.GetProperty("arguments").GetProperty("x-priority").GetInt32()));
        var totals = (await _server.GetAsync("overview")).GetProperty("object_totals");
        Assert.Equal((1, 1, 1), (totals.GetProperty("connections").GetInt32(), totals.GetProperty("channels").GetInt32(),
            totals.GetProperty("consumers").GetInt32()));

        await connection.CloseAsync();
        Assert.Equal(0, (await _server.GetAsync("connections")).GetArrayLength());
        Assert.Equal(0, (await _server.GetAsync("channels")).GetArrayLength());
        Assert.Equal(0, (await _server.GetAsync("consumers")).GetArrayLength());
        await _server.DoAsync(404, "GET", path);
        await _server.DoAsync(404, "DELETE", path);
    }

    [Theory]
    [InlineData("maintenance \"now\"", "CONNECTION_FORCED - maintenance \"now\"")]
    [InlineData(null, "CONNECTION_FORCED - Closed via management plugin")]
    public async Task Operator_closes_a_connection_with_its_reason(string? reason, string text)
    {
        await using var connection = await ConnectAsync("victim");
        await using var other = await ConnectAsync("other");
        var closed = new TaskCompletionSource<ShutdownEventArgs>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, shutdown) =>
        {
            closed.TrySetResult(shutdown);
            return Task.CompletedTask;
        };
        await CloseAsync(await NameOfAsync("victim"), 204, reason: reason);
        var told = await closed.Task.WaitAsync(Patience);
        Assert.Equal((ShutdownInitiator.Peer, (ushort)320, text), (told.Initiator, told.ReplyCode, told.ReplyText));
        await UntilAsync(async () => (await _server.GetAsync("connections")).GetArrayLength() == 1);
        Assert.True(other.IsOpen);
    }

    [Fact]
    public async Task Reason_longer_than_a_short_string_is_cut()
    {
        await using var connection = await ConnectAsync("victim");
        var closed = new TaskCompletionSource<ShutdownEventArgs>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, shutdown) =>
        {
            closed.TrySetResult(shutdown);
            return Task.CompletedTask;
        };
        await CloseAsync(await NameOfAsync("victim"), 204, reason: new string('x', 4000));
        Assert.Equal(("CONNECTION_FORCED - " + new string('x', 4000))[..255], (await closed.Task.WaitAsync(Patience)).ReplyText);
    }

    [Fact]
    public async Task Users_see_and_close_their_own_connections_only()
    {
        foreach (var (user, tag) in new[] { ("bob", "management"), ("mon", "monitoring"), ("pol", "policymaker") })
        {
            await _server.DoAsync(201, "PUT", $"users/{user}", $$"""{"password":"p","tags":"{{tag}}"}""");
            await _server.DoAsync(201, "PUT", $"permissions/%2F/{user}", """{"configure":".*","write":".*","read":".*"}""");
        }
        await using var guests = await ConnectAsync("guests");
        await using var bobs = await ConnectAsync("bobs", "bob", "p");
        await using var channel = await guests.CreateChannelAsync();
        var name = await NameOfAsync("guests");
        foreach (var user in new[] { "bob", "pol" })
        {
            Assert.DoesNotContain(name, Names(await _server.GetAsync("connections", $"{user}:p")));
            Assert.DoesNotContain(name, Names(await _server.GetAsync("vhosts/%2F/connections", $"{user}:p")));
            Assert.Equal(0, (await _server.GetAsync("channels", $"{user}:p")).GetArrayLength());
            await _server.DoAsync(401, "GET", $"connections/{Uri.EscapeDataString(name)}", login: $"{user}:p");
            await _server.DoAsync(404, "GET", $"channels/{Uri.EscapeDataString(name + " (1)")}", login: $"{user}:p");
        }
        Assert.Contains(name, Names(await _server.GetAsync("connections", "mon:p")));
        foreach (var user in new[] { "bob", "pol", "mon" })
        {
            await CloseAsync(name, 401, $"{user}:p");
            Assert.Equal(HttpStatusCode.Unauthorized, (await _server.SendAsync("DELETE", "connections/username/guest",
                login: $"{user}:p")).StatusCode);
        }
        Assert.True(guests.IsOpen);
        await CloseAsync(await NameOfAsync("bobs"), 204, "bob:p");
        await UntilAsync(async () => Names(await _server.GetAsync("connections")).SequenceEqual([name]));
        await _server.DoAsync(204, "DELETE", "connections/username/guest");
        await UntilAsync(async () => (await _server.GetAsync("connections")).GetArrayLength() == 0);
    }

    [Fact]
    public async Task Feature_flags_are_enabled()
    {
        var flags = (await _server.GetAsync("feature-flags")).EnumerateArray().ToArray();
        Assert.Contains("quorum_queue", flags.Select(static flag => flag.GetProperty("name").GetString()));
        Assert.All(flags, static flag => Assert.Equal("enabled", flag.GetProperty("state").GetString()));
    }

    private Task<IConnection> ConnectAsync(string name, string user = "guest", string password = "guest") => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = _server.AmqpPort,
        UserName = user,
        Password = password,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync(name);

    private async Task<string> NameOfAsync(string connection)
    {
        string? name = null;
        await UntilAsync(async () => (name = (await _server.GetAsync("connections")).EnumerateArray()
            .Where(one => one.GetProperty("user_provided_name").GetString() == connection)
            .Select(static one => one.GetProperty("name").GetString()).SingleOrDefault()) is not null);
        return name!;
    }

    private async Task CloseAsync(string name, int status, string login = "guest:guest", string? reason = null)
    {
        using var response = await _server.SendAsync("DELETE", $"connections/{Uri.EscapeDataString(name)}", login: login, reason: reason);
        Assert.Equal(status, (int)response.StatusCode);
    }

    private static JsonElement Single(JsonElement list) => Assert.Single(list.EnumerateArray().ToArray());

    private static IEnumerable<string?> Names(JsonElement list) =>
        list.EnumerateArray().Select(static one => one.GetProperty("name").GetString());

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
