using System.Text.Json;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Management.Peers;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>The management API of one broker of two: it lists, counts and closes the connections of both.</summary>
public sealed class ClusterListsTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-lists").FullName;
    private readonly PeerNetwork _network = new(1, 2);
    private readonly Dictionary<int, ManagedServer> _servers = [];

    public async Task InitializeAsync()
    {
        foreach (var id in new[] { 1, 2 })
            _servers[id] = await ManagedServer.StartAsync(Path.Combine(_directory, $"{id}"), id: id, network: _network);
    }

    public async Task DisposeAsync()
    {
        foreach (var server in _servers.Values)
            await server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Lists_and_totals_are_those_of_all_brokers(int asked)
    {
        await using var first = await ConnectAsync(1);
        await using var second = await ConnectAsync(2);
        await using var channel = await first.CreateChannelAsync();
        await using var other = await second.CreateChannelAsync();
        await using var third = await second.CreateChannelAsync();
        foreach (var (of, tag) in new[] { (channel, "at 1"), (other, "at 2") })
        {
            await of.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
            await of.BasicConsumeAsync("q", autoAck: false, tag, new AsyncEventingBasicConsumer(of));
        }

        var server = _servers[asked];
        foreach (var path in new[] { "connections", "connections/username/guest", "vhosts/%2F/connections" })
        {
            var connections = Items(await server.GetAsync(path));
            Assert.Equal([("orleansmq@1", "1"), ("orleansmq@2", "2")], connections.Select(static one => (Text(one, "node"),
                Text(one, "user_provided_name"))));
            Assert.Equal(2, connections.Select(static one => Text(one, "pid")).Distinct().Count());
            Assert.Equal(_servers.Values.Select(static one => one.AmqpPort), connections.Select(static one =>
                one.GetProperty("port").GetInt32()));
        }
        foreach (var path in new[] { "channels", "vhosts/%2F/channels" })
        {
            Assert.Equal(["orleansmq@1", "orleansmq@2", "orleansmq@2"], Items(await server.GetAsync(path))
                .Select(static one => Text(one, "node")));
        }
        foreach (var path in new[] { "consumers", "consumers/%2F" })
        {
            Assert.Equal(["at 1", "at 2"], Items(await server.GetAsync(path)).Select(static one => Text(one, "consumer_tag")));
        }
        var overview = await server.GetAsync("overview");
        Assert.Equal((2, 3, 2), TotalsOf(overview));
        Assert.Equal(_servers.Values.Select(static one => one.AmqpPort), Items(overview.GetProperty("listeners"))
            .Where(static one => Text(one, "protocol") == "amqp").Select(static one => one.GetProperty("port").GetInt32()));
        Assert.Equal([("orleansmq@1", true), ("orleansmq@2", true)], await NodesAsync(server));
    }

    [Fact]
    public async Task Connection_of_another_broker_is_found_with_its_channels_and_closed()
    {
        await using var connection = await ConnectAsync(2);
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicConsumeAsync("q", autoAck: false, "tag", new AsyncEventingBasicConsumer(channel));
        var closed = new TaskCompletionSource<ShutdownEventArgs>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, shutdown) =>
        {
            closed.TrySetResult(shutdown);
            return Task.CompletedTask;
        };

        var name = Text(Items(await _servers[1].GetAsync("connections")).Single(), "name");
        var path = $"connections/{Uri.EscapeDataString(name)}";
        Assert.Equal("orleansmq@2", Text(await _servers[1].GetAsync(path), "node"));
        Assert.Equal($"{name} (1)", Text(Items(await _servers[1].GetAsync($"{path}/channels")).Single(), "name"));
        var details = await _servers[1].GetAsync($"channels/{Uri.EscapeDataString($"{name} (1)")}");
        Assert.Equal("tag", Text(Items(details.GetProperty("consumer_details")).Single(), "consumer_tag"));
        Assert.Equal(1, details.GetProperty("consumer_count").GetInt32());

        using var response = await _servers[1].SendAsync("DELETE", path, reason: "over \"now\"");
        Assert.Equal(204, (int)response.StatusCode);
        Assert.Equal("CONNECTION_FORCED - over \"now\"", (await closed.Task.WaitAsync(Patience)).ReplyText);
        await UntilAsync(async () => Items(await _servers[1].GetAsync("connections")).Length == 0);
        await _servers[1].DoAsync(404, "GET", path);
        await _servers[1].DoAsync(404, "DELETE", path);
    }

    // The addresses of two brokers in this process differ: the second one's answer is scripted.
    [Fact]
    public async Task Connection_is_closed_at_each_broker_that_has_one_of_its_name_and_shows_it()
    {
        await _servers[1].DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await using var connection = await ConnectAsync(1);
        var name = Text(Items(await _servers[1].GetAsync("connections")).Single(), "name");
        _network.Instead = static _ => PeerPage.Write(static _ => (PageMatch.Found, null));
        foreach (var login in new[] { "bob:p", "guest:guest" })
        {
            _network.Traffic.Clear();
            await _servers[1].DoAsync(204, "DELETE", $"connections/{Uri.EscapeDataString(name)}", login: login);
            var (asked, text, _) = Assert.Single(_network.Traffic);
            using var question = JsonDocument.Parse(text);
            Assert.Equal((2, "Close", name), (asked, Text(question.RootElement, "kind"), Text(question.RootElement, "connection")));
            if (login == "bob:p")
                Assert.Equal(name, Text(await _servers[1].GetAsync($"connections/{Uri.EscapeDataString(name)}"), "name"));
        }
        await UntilAsync(() => Task.FromResult(!connection.IsOpen));
    }

    // A retry finds none, and says so only once all have answered.
    [Fact]
    public async Task Connection_counts_as_closed_only_where_no_broker_was_silent()
    {
        await using var connection = await ConnectAsync(1);
        var path = $"connections/{Uri.EscapeDataString(Text(Items(await _servers[1].GetAsync("connections")).Single(), "name"))}";
        _network.Instead = static _ => null;
        using (var response = await _servers[1].SendAsync("DELETE", path))
        {
            Assert.Equal(503, (int)response.StatusCode);
            Assert.Contains("orleansmq@2", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        await UntilAsync(() => Task.FromResult(!connection.IsOpen));
        await UntilAsync(async () => Items(await _servers[1].GetAsync("connections")).Length == 0);
        await _servers[1].DoAsync(503, "DELETE", path);
        _network.Instead = null;
        await _servers[1].DoAsync(404, "DELETE", path);
    }

    [Fact]
    public async Task Connection_counts_as_closed_where_the_other_broker_runs_no_management()
    {
        await using var connection = await ConnectAsync(1);
        var path = $"connections/{Uri.EscapeDataString(Text(Items(await _servers[1].GetAsync("connections")).Single(), "name"))}";
        (_network.Instead, _network.Has) = (static _ => null, false);
        await _servers[1].DoAsync(204, "DELETE", path);
        await UntilAsync(() => Task.FromResult(!connection.IsOpen));
    }

    [Fact]
    public async Task Connections_of_a_user_are_closed_at_all_brokers()
    {
        await using var first = await ConnectAsync(1);
        await using var second = await ConnectAsync(2);
        await _servers[1].DoAsync(204, "DELETE", "connections/username/nobody");
        Assert.Equal((2, 0, 0), TotalsOf(await _servers[2].GetAsync("overview")));
        await _servers[1].DoAsync(204, "DELETE", "connections/username/guest");
        await UntilAsync(async () => Items(await _servers[2].GetAsync("connections")).Length == 0);
        await UntilAsync(() => Task.FromResult(!first.IsOpen && !second.IsOpen));
    }

    [Fact]
    public async Task What_a_user_must_not_see_does_not_leave_its_broker()
    {
        foreach (var server in _servers.Values)
        {
            await server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
            await server.DoAsync(201, "PUT", "vhosts/bobs", "{}");
            await server.DoAsync(201, "PUT", "permissions/bobs/bob", """{"configure":".*","write":".*","read":".*"}""");
        }
        await using var guests = await ConnectAsync(2, name: "secret");
        await using var channel = await guests.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicConsumeAsync("q", autoAck: false, "secret", new AsyncEventingBasicConsumer(channel));
        await using var bobs = await ConnectAsync(2, "bob", "p", "bobs");
        var name = Text(Items(await _servers[1].GetAsync("connections")).Single(static one => Text(one, "user") == "guest"), "name");
        _network.Traffic.Clear();

        var server1 = _servers[1];
        foreach (var path in new[] { "connections", "connections/username/bob", "vhosts/bobs/connections" })
            Assert.Equal("bob", Text(Items(await server1.GetAsync(path, "bob:p")).Single(), "user"));
        foreach (var path in new[] { "connections/username/guest", "channels", "consumers", "vhosts/bobs/channels", "consumers/bobs" })
            Assert.Empty(Items(await server1.GetAsync(path, "bob:p")));
        Assert.Equal((1, 0, 0), TotalsOf(await server1.GetAsync("overview", "bob:p")));
        await server1.DoAsync(401, "GET", "nodes", login: "bob:p");
        foreach (var path in new[] { "vhosts/%2F/connections", "vhosts/%2F/channels", "consumers/%2F" })
            await server1.DoAsync(401, "GET", path, login: "bob:p");
        var escaped = Uri.EscapeDataString(name);
        await server1.DoAsync(401, "GET", $"connections/{escaped}", login: "bob:p");
        await server1.DoAsync(401, "GET", $"connections/{escaped}/channels", login: "bob:p");
        await server1.DoAsync(404, "GET", $"channels/{Uri.EscapeDataString($"{name} (1)")}", login: "bob:p");
        await server1.DoAsync(401, "DELETE", $"connections/{escaped}", login: "bob:p");
        await server1.DoAsync(401, "DELETE", "connections/username/guest", login: "bob:p");
        Assert.True(guests.IsOpen);

        Assert.NotEmpty(_network.Traffic);
        Assert.All(_network.Traffic, traffic =>
        {
            Assert.NotNull(traffic.Answer);
            Assert.DoesNotContain("secret", traffic.Answer, StringComparison.Ordinal);
            Assert.DoesNotContain("guest", traffic.Answer, StringComparison.Ordinal);
            Assert.DoesNotContain(name, traffic.Answer, StringComparison.Ordinal);
        });

        await server1.DoAsync(204, "DELETE", $"connections/{Uri.EscapeDataString(Text(Items(await server1.GetAsync("connections",
            "bob:p")).Single(), "name"))}", login: "bob:p");
        await UntilAsync(() => Task.FromResult(!bobs.IsOpen));
    }

    [Theory]
    [InlineData("has no handler")]
    [InlineData("fails")]
    [InlineData("does not know the question")]
    [InlineData("answers what is no JSON")]
    [InlineData("answers what is no page")]
    [InlineData("is dead")]
    public async Task Broker_that_does_not_answer_is_left_out(string how)
    {
        await using var first = await ConnectAsync(1);
        await using var second = await ConnectAsync(2);
        var name = Text(Items(await _servers[2].GetAsync("connections")).Single(static one => Text(one, "node") == "orleansmq@2"),
            "name");
        if (how == "is dead")
            _network.Dead = [2];
        _network.Instead = how switch
        {
            "has no handler" or "is dead" => static _ => null,
            "fails" => static _ => throw new InvalidOperationException("expected"),
            "does not know the question" => static _ => ReadOnlyMemory<byte>.Empty,
            "answers what is no JSON" => static _ => "{\"items\":[{"u8.ToArray(),
            _ => static _ => "{}"u8.ToArray(),
        };

        Assert.Equal(["orleansmq@1"], Items(await _servers[1].GetAsync("connections")).Select(static one => Text(one, "node")));
        Assert.Equal((1, 0, 0), TotalsOf(await _servers[1].GetAsync("overview")));
        Assert.Equal([("orleansmq@1", true), ("orleansmq@2", false)], await NodesAsync(_servers[1]));
        await _servers[1].DoAsync(404, "GET", $"connections/{Uri.EscapeDataString(name)}");
        // That it is closed is not known, unless its broker does not run.
        await _servers[1].DoAsync(how == "is dead" ? 404 : 503, "DELETE", $"connections/{Uri.EscapeDataString(name)}");
        await _servers[1].DoAsync(how == "is dead" ? 204 : 503, "DELETE", "connections/username/guest");
        await UntilAsync(() => Task.FromResult(!first.IsOpen));
        Assert.True(second.IsOpen);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Long_lists_come_in_pages_without_gaps(int home)
    {
        // Each page has 25 of these consumers at most.
        const int count = 100;
        await using var connection = await ConnectAsync(home);
        await using var channel = await connection.CreateChannelAsync();
        await using var another = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        var arguments = new Dictionary<string, object?> { ["text"] = new string('x', 10_000) };
        for (var i = 0; i < count; i++)
        {
            var of = i % 2 == 0 ? channel : another;
            await of.BasicConsumeAsync("q", autoAck: false, $"{i}", noLocal: false, exclusive: false, arguments,
                new AsyncEventingBasicConsumer(of));
        }
        await using var last = await ConnectAsync(home);
        await using var its = await last.CreateChannelAsync();
        await its.BasicConsumeAsync("q", autoAck: false, "last", new AsyncEventingBasicConsumer(its));
        _network.Traffic.Clear();

        var tags = Items(await _servers[1].GetAsync("consumers")).Select(static one => Text(one, "consumer_tag")).ToArray();
        Assert.Equal("last", tags[^1]);
        Assert.Equal(Enumerable.Range(0, count).Select(static i => $"{i}").Order(StringComparer.Ordinal),
            tags[..^1].Order(StringComparer.Ordinal));
        if (home == 2)
        {
            Assert.InRange(_network.Traffic.Count, 4, 10);
            Assert.All(_network.Traffic, static traffic => Assert.InRange(traffic.Answer!.Length, 1, PeerPage.Bytes));
        }

        var names = Items(await _servers[1].GetAsync("channels")).Select(static one => Text(one, "name")).ToArray();
        Assert.Equal(3, names.Length);
        var details = await _servers[1].GetAsync($"channels/{Uri.EscapeDataString(names[0])}");
        Assert.Equal(count / 2, Items(details.GetProperty("consumer_details")).Select(static one => Text(one, "consumer_tag"))
            .Distinct().Count());
    }

    [Fact]
    public async Task Page_ends_before_an_item_that_has_no_room()
    {
        await using var connection = await ConnectAsync(2);
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        // Each character has six bytes in JSON.
        foreach (var (tag, length) in new[] { ("a", 10), ("b", 16_000), ("c", 16_000), ("d", 16_000), ("e", 10) })
        {
            var arguments = new Dictionary<string, object?> { ["text"] = new string('\u0001', length) };
            await channel.BasicConsumeAsync("q", autoAck: false, tag, noLocal: false, exclusive: false, arguments,
                new AsyncEventingBasicConsumer(channel));
        }
        _network.Traffic.Clear();

        Assert.Equal(["a", "b", "c", "d", "e"], Items(await _servers[1].GetAsync("consumers")).Select(static one =>
            Text(one, "consumer_tag")));
        Assert.Equal([3, 2], _network.Traffic.Select(static traffic => CountItems(traffic.Answer!)));
        Assert.All(_network.Traffic, static traffic => Assert.InRange(traffic.Answer!.Length, 1, PeerPage.Bytes));
    }

    [Fact]
    public async Task Head_of_a_list_has_no_body()
    {
        await using var connection = await ConnectAsync(2);
        foreach (var path in new[] { "connections", "channels", "consumers", "overview", "nodes" })
        {
            using var response = await _servers[1].SendAsync("HEAD", path);
            Assert.Equal((200, ""), ((int)response.StatusCode, await response.Content.ReadAsStringAsync()));
        }
    }

    [Fact]
    public async Task Messages_are_counted_in_all_queues()
    {
        foreach (var id in new[] { 1, 2 })
        {
            await using var connection = await ConnectAsync(id);
            await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
            await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
            for (var i = 0; i < id; i++)
                await channel.BasicPublishAsync("", "q", mandatory: true, "m"u8.ToArray());
        }
        await UntilAsync(async () => (await _servers[2].GetAsync("overview")).GetProperty("queue_totals").GetProperty("messages_ready")
            .GetInt32() == 3);
    }

    // A broker of another build may ask; a filter that is missing must not mean all.
    [Theory]
    [InlineData("{}")]
    [InlineData("no JSON")]
    [InlineData("""{"version":2,"kind":"Connections","viewer":null}""")]
    [InlineData("""{"version":1,"kind":"Everything","viewer":null}""")]
    [InlineData("""{"version":1,"kind":"Connections","hosts":null}""")]
    public async Task Question_that_a_build_does_not_know_has_an_empty_answer(string question)
    {
        await using var connection = await ConnectAsync(2);
        Assert.True((await _network.AskAsync(2, ManagementGateway.GatewayName, question)).IsEmpty);
    }

    private async Task<IConnection> ConnectAsync(int broker, string user = "guest", string password = "guest", string host = "/",
        string? name = null)
    {
        var connection = await new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = _servers[broker].AmqpPort,
            UserName = user,
            Password = password,
            VirtualHost = host,
            AutomaticRecoveryEnabled = false,
        }.Patient().CreateConnectionAsync(name ?? $"{broker}");
        // The client does not wait until its virtual host is open.
        await UntilAsync(() => Task.FromResult(_servers[broker].Amqp.Connections.Any(one =>
            one.Describe()?.Remote.Port == connection.LocalPort)));
        return connection;
    }

    private static async Task<IEnumerable<(string, bool)>> NodesAsync(ManagedServer server) =>
        Items(await server.GetAsync("nodes")).Select(static one => (Text(one, "name"), one.GetProperty("running").GetBoolean()));

    private static (int Connections, int Channels, int Consumers) TotalsOf(JsonElement overview)
    {
        var totals = overview.GetProperty("object_totals");
        return (totals.GetProperty("connections").GetInt32(), totals.GetProperty("channels").GetInt32(),
            totals.GetProperty("consumers").GetInt32());
    }

    private static int CountItems(string page)
    {
        using var json = JsonDocument.Parse(page);
        return json.RootElement.GetProperty("items").GetArrayLength();
    }

    private static JsonElement[] Items(JsonElement list) => [.. list.EnumerateArray()];

    private static string Text(JsonElement item, string field) => item.GetProperty(field).GetString()!;

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
