using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Hosting;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>The management API over HTTP, in front of a standalone broker.</summary>
public sealed class ManagementTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-management").FullName;
    private ManagedServer _server = null!;

    public async Task InitializeAsync() => _server = await ManagedServer.StartAsync(_directory);

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Users_log_in_with_their_password_and_a_tag()
    {
        await _server.DoAsync(201, "PUT", "users/bob", """{"password":"secret","tags":""}""");
        foreach (var login in new[] { null, "guest:wrong", "guest", "nobody:guest", "bob:secret" })
        {
            var refused = await _server.SendAsync("GET", "whoami", login: login);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            Assert.Contains("Basic", refused.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        }
        await _server.DoAsync(204, "PUT", "users/bob", """{"password":"secret","tags":["management"]}""");
        var bob = await _server.GetAsync("whoami", "bob:secret");
        Assert.Equal("bob", bob.GetProperty("name").GetString());
        // The hash is taken, too, and an empty one is no password.
        var hash = (await _server.GetAsync("users/bob")).GetProperty("password_hash").GetString();
        await _server.DoAsync(201, "PUT", "users/eve", $$"""{"password_hash":"{{hash}}","tags":"monitoring"}""");
        await _server.GetAsync("nodes", "eve:secret");
        await _server.DoAsync(400, "PUT", "users/eve", """{"tags":""}""");
        await _server.DoAsync(204, "PUT", "users/eve", """{"password_hash":"","tags":"monitoring"}""");
        Assert.Equal(HttpStatusCode.Unauthorized, (await _server.SendAsync("GET", "nodes", login: "eve:")).StatusCode);
        await _server.DoAsync(204, "DELETE", "users/eve");
        await _server.DoAsync(404, "DELETE", "users/eve");
    }

    [Theory]
    [InlineData("GET", "users")]
    [InlineData("GET", "definitions")]
    [InlineData("PUT", "vhosts/v")]
    [InlineData("PUT", "users/bob")]
    [InlineData("PUT", "policies/%2F/p")]
    [InlineData("GET", "nodes")]
    [InlineData("PUT", "queues/%2F/other")]
    [InlineData("DELETE", "queues/%2F/other/contents")]
    [InlineData("GET", "queues/closed")]
    [InlineData("POST", "definitions")]
    public async Task User_of_one_virtual_host_may_do_what_its_permissions_say_and_no_more(string method, string path)
    {
        await _server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await _server.DoAsync(201, "PUT", "permissions/%2F/bob", """{"configure":"^bob","write":"^bob","read":"^bob"}""");
        await _server.DoAsync(201, "PUT", "vhosts/closed", "{}");
        await _server.DoAsync(201, "PUT", "queues/%2F/other", "{}");
        Assert.Equal(HttpStatusCode.Unauthorized, (await _server.SendAsync(method, path, "{}", "bob:p")).StatusCode);
        await _server.DoAsync(201, "PUT", "queues/%2F/bob.mails", "{}", "bob:p");
        Assert.Equal(["/"], (await _server.GetAsync("vhosts", "bob:p")).EnumerateArray().Select(static host =>
            host.GetProperty("name").GetString()));
    }

    [Fact]
    public async Task Names_in_paths_are_percent_encoded_by_themselves()
    {
        const string host = "a/b %2F?c";
        await _server.DoAsync(201, "PUT", $"vhosts/{Uri.EscapeDataString(host)}", """{"description":"d","tags":"x,y"}""");
        var found = await _server.GetAsync($"vhosts/{Uri.EscapeDataString(host)}");
        Assert.Equal((host, "d"), (found.GetProperty("name").GetString(), found.GetProperty("description").GetString()));
        await _server.DoAsync(201, "PUT", $"queues/{Uri.EscapeDataString(host)}/{Uri.EscapeDataString("q/1+ü")}", "{}");
        Assert.Equal(["q/1+ü"], Names(await _server.GetAsync($"queues/{Uri.EscapeDataString(host)}")));
        await _server.DoAsync(204, "DELETE", $"vhosts/{Uri.EscapeDataString(host)}");
        await _server.DoAsync(404, "GET", $"queues/{Uri.EscapeDataString(host)}");
    }

    [Fact]
    public async Task Queues_are_declared_counted_purged_and_deleted()
    {
        const string quorum = """{"arguments":{"x-queue-type":"quorum","x-delivery-limit":3}}""";
        await _server.DoAsync(201, "PUT", "queues/%2F/q", quorum);
        await _server.DoAsync(204, "PUT", "queues/%2F/q", quorum);
        Assert.Contains("inequivalent arg 'durable' for queue 'q' in vhost '/'",
            await _server.DoAsync(400, "PUT", "queues/%2F/q", """{"durable":false}"""), StringComparison.Ordinal);
        Assert.Contains("body.durable must be true or false", await _server.DoAsync(400, "PUT", "queues/%2F/r", """{"durable":"x"}"""),
            StringComparison.Ordinal);
        Assert.Contains("body: not JSON", await _server.DoAsync(400, "PUT", "queues/%2F/r", "{"), StringComparison.Ordinal);
        var entry = await _server.OpenAsync("/", "q");
        for (var i = 0; i < 3; i++)
            Assert.Equal(PublishOutcome.Accepted, await entry.Queue.PublishAsync(Message()));
        var reader = await entry.Queue.AttachAsync(0);
        Assert.Single(await reader.ReceiveAsync(1, Patience, CancellationToken.None));
        var found = await _server.GetAsync("queues/%2F/q");
        Assert.Equal(("quorum", 3, 2, 1), (found.GetProperty("type").GetString(), found.GetProperty("messages").GetInt64(),
            found.GetProperty("messages_ready").GetInt64(), found.GetProperty("messages_unacknowledged").GetInt64()));
        Assert.Equal(3, found.GetProperty("arguments").GetProperty("x-delivery-limit").GetInt64());
        await _server.DoAsync(400, "DELETE", "queues/%2F/q?if-empty=true");
        await _server.DoAsync(204, "DELETE", "queues/%2F/q/contents");
        Assert.Equal(0, (await _server.GetAsync("queues/%2F/q")).GetProperty("messages_ready").GetInt64());
        await reader.DisposeAsync();
        await _server.DoAsync(204, "DELETE", "queues/%2F/q");
        await _server.DoAsync(404, "DELETE", "queues/%2F/q");
        await _server.DoAsync(404, "GET", "queues/%2F/q");
    }

    [Fact]
    public async Task Exclusive_queue_is_its_connections_and_the_administrators()
    {
        await _server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await _server.DoAsync(201, "PUT", "permissions/%2F/bob", """{"configure":".*","write":".*","read":".*"}""");
        await using var connection = await new ConnectionFactory { HostName = "127.0.0.1", Port = _server.AmqpPort }.Patient()
            .CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("mine", durable: false, exclusive: true, autoDelete: false);
        await channel.QueueBindAsync("mine", "amq.topic", "a");
        foreach (var (method, path) in new[] { ("DELETE", "queues/%2F/mine/contents"), ("POST", "bindings/%2F/e/amq.topic/q/mine"),
            ("DELETE", "bindings/%2F/e/amq.topic/q/mine/a"), ("DELETE", "queues/%2F/mine") })
            Assert.Contains("cannot obtain exclusive access to locked queue 'mine' in vhost '/'",
                await _server.DoAsync(400, method, path, method == "POST" ? "{}" : null, "bob:p"), StringComparison.Ordinal);
        await _server.DoAsync(204, "DELETE", "queues/%2F/mine/contents");
        await _server.DoAsync(201, "POST", "bindings/%2F/e/amq.topic/q/mine", "{}");
        await _server.DoAsync(204, "DELETE", "bindings/%2F/e/amq.topic/q/mine/a");
        await _server.DoAsync(204, "DELETE", "queues/%2F/mine");
    }

    [Fact]
    public async Task Bindings_are_found_and_removed_by_their_key()
    {
        await _server.DoAsync(201, "PUT", "exchanges/%2F/events", """{"type":"topic"}""");
        await _server.DoAsync(204, "PUT", "exchanges/%2F/events", """{"type":"topic"}""");
        await _server.DoAsync(400, "PUT", "exchanges/%2F/events", """{"type":"fanout"}""");
        await _server.DoAsync(201, "PUT", "queues/%2F/q", "{}");
        const string between = "bindings/%2F/e/events/q/q";
        foreach (var body in new[] { "{}", """{"routing_key":"a.#"}""", """{"routing_key":"a.#","arguments":{"x":1}}""" })
            await _server.DoAsync(201, "POST", between, body);
        var keys = (await _server.GetAsync(between)).EnumerateArray().Select(static binding =>
            binding.GetProperty("properties_key").GetString()!).ToArray();
        Assert.Equal(["~", "a.%23"], keys[..2]);
        Assert.StartsWith("a.%23~", keys[2], StringComparison.Ordinal);
        Assert.Equal(4, (await _server.GetAsync("queues/%2F/q/bindings")).GetArrayLength());
        Assert.Equal(3, (await _server.GetAsync("exchanges/%2F/events/bindings/source")).GetArrayLength());
        foreach (var key in keys)
        {
            Assert.Equal(key, (await _server.GetAsync($"{between}/{Uri.EscapeDataString(key)}")).GetProperty("properties_key").GetString());
            await _server.DoAsync(204, "DELETE", $"{between}/{Uri.EscapeDataString(key)}");
            await _server.DoAsync(404, "DELETE", $"{between}/{Uri.EscapeDataString(key)}");
        }
        await _server.DoAsync(404, "POST", "bindings/%2F/e/none/q/q", "{}");
        await _server.DoAsync(204, "DELETE", "exchanges/%2F/events?if-unused=true");
        await _server.DoAsync(404, "DELETE", "exchanges/%2F/events");
    }

    [Fact]
    public async Task Delayed_exchange_is_declared_and_imported_and_delays()
    {
        const string delayed = """{"type":"x-delayed-message","arguments":{"x-delayed-type":"direct"}}""";
        await _server.DoAsync(201, "PUT", "exchanges/%2F/later", delayed);
        await _server.DoAsync(204, "PUT", "exchanges/%2F/later", delayed);
        var exchange = await _server.GetAsync("exchanges/%2F/later");
        Assert.Equal("x-delayed-message", exchange.GetProperty("type").GetString());
        Assert.Equal("direct", exchange.GetProperty("arguments").GetProperty("x-delayed-type").GetString());
        await _server.DoAsync(204, "POST", "definitions/%2F", """
            {"exchanges":[{"name":"imported","type":"x-delayed-message","durable":true,"auto_delete":false,
            "arguments":{"x-delayed-type":"direct"}}]}
            """);
        await _server.DoAsync(201, "PUT", "queues/%2F/q", "{}");
        var factory = new ConnectionFactory { HostName = "127.0.0.1", Port = _server.AmqpPort }.Patient();
        await using var connection = await factory.CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        foreach (var name in new[] { "later", "imported" })
        {
            await _server.DoAsync(201, "POST", $"bindings/%2F/e/{name}/q/q", """{"routing_key":"k"}""");
            var published = DateTimeOffset.UtcNow;
            await channel.BasicPublishAsync(name, "k", false, new BasicProperties
            {
                Headers = new Dictionary<string, object?> { ["x-delay"] = 500 },
            }, new byte[] { 1 });
            BasicGetResult? received = null;
            await UntilAsync(async () => (received = await channel.BasicGetAsync("q", true)) is not null);
            Assert.Equal(name, received!.Exchange);
            // The broker's clock and the test's are the same, and both are rounded to a millisecond.
            Assert.True(DateTimeOffset.UtcNow - published >= TimeSpan.FromMilliseconds(499));
        }
    }

    [Theory]
    [InlineData("""{"type":"x-delayed-message"}""")]
    [InlineData("""{"type":"x-delayed-message","arguments":{"x-delayed-type":"odd"}}""")]
    [InlineData("""{"type":"x-delayed-message","arguments":{"x-delayed-type":1}}""")]
    [InlineData("""{"type":"x-delayed-message","arguments":{"x-delayed-type":"x-delayed-message"}}""")]
    public async Task Delayed_exchange_of_an_unknown_type_is_refused_as_by_the_port(string body)
    {
        Assert.Contains("'x-delayed-type' must be an existing exchange type",
            await _server.DoAsync(400, "PUT", "exchanges/%2F/later", body), StringComparison.Ordinal);
        Assert.Contains("exchanges[0]", await _server.DoAsync(400, "POST", "definitions/%2F",
            $$"""{"exchanges":[{"name":"later",{{body[1..]}}]}"""), StringComparison.Ordinal);
        await _server.DoAsync(404, "GET", "exchanges/%2F/later");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Policy_reaches_a_queue_that_is_open_and_ends_with_its_removal(bool isDurable)
    {
        await _server.DoAsync(201, "PUT", "queues/%2F/mails", $$"""{"durable":{{(isDurable ? "true" : "false")}}}""");
        var entry = await _server.OpenAsync("/", "mails");
        for (var i = 0; i < 10; i++)
            Assert.Equal(PublishOutcome.Accepted, await entry.Queue.PublishAsync(Message()));
        await _server.DoAsync(201, "PUT", "policies/%2F/short",
            """{"pattern":"^mails$","definition":{"max-length":3},"apply-to":"queues","priority":1}""");
        await UntilAsync(async () => await entry.Queue.CountAsync() == 3);
        // What is deleted before it was taken would change nothing.
        await UntilAsync(() => Task.FromResult(entry.Settings.MaxLength is not null));
        var found = await _server.GetAsync("queues/%2F/mails");
        Assert.Equal("short", found.GetProperty("policy").GetString());
        Assert.Equal(3, (await _server.GetAsync("policies/%2F/short")).GetProperty("definition").GetProperty("max-length").GetInt64());
        await _server.DoAsync(204, "DELETE", "policies/%2F/short");
        await UntilAsync(() => Task.FromResult(entry.Settings.MaxLength is null));
        for (var i = 0; i < 3; i++)
            Assert.Equal(PublishOutcome.Accepted, await entry.Queue.PublishAsync(Message()));
        Assert.Equal(6, await entry.Queue.CountAsync());
        // Bytes of queues in memory are known, and of those on the log where there is a limit.
        var each = Message().Body.Length;
        var isKnown = (await _server.GetAsync("queues/%2F/mails")).TryGetProperty("message_bytes_ready", out var bytes);
        Assert.Equal((!isDurable, isDurable ? 0 : 6 * each), (isKnown, isKnown ? bytes.GetInt64() : 0));
        await _server.DoAsync(201, "PUT", "policies/%2F/small",
            $$"""{"pattern":"^mails$","definition":{"max-length-bytes":{{2 * each}}},"apply-to":"queues"}""");
        await UntilAsync(async () => await entry.Queue.CountAsync() == 2);
        Assert.Equal(2 * each, (await _server.GetAsync("queues/%2F/mails")).GetProperty("message_bytes_ready").GetInt64());
        Assert.Contains("max-length", await _server.DoAsync(400, "PUT", "policies/%2F/bad",
            """{"pattern":"^q","definition":{"max-length":"x"}}"""), StringComparison.Ordinal);
    }

    // The channel keeps no messages of a queue without dead letters.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Messages_that_a_client_holds_are_dead_letters_where_a_policy_says_so_after_their_delivery(bool isDurable)
    {
        const int Count = 20;
        await _server.DoAsync(201, "PUT", "queues/%2F/mails", $$"""{"durable":{{(isDurable ? "true" : "false")}}}""");
        await _server.DoAsync(201, "PUT", "queues/%2F/letters", "{}");
        var factory = new ConnectionFactory { HostName = "127.0.0.1", Port = _server.AmqpPort }.Patient();
        await using var connection = await factory.CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        // Together, so that a batch has several.
        await Task.WhenAll(Enumerable.Range(0, Count).Select(number => channel.BasicPublishAsync("", "mails", true, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["n"] = number },
        }, Encoding.UTF8.GetBytes($"mail {number}")).AsTask()));
        var last = 0UL;
        for (var number = 0; number < Count; number++)
            last = (await channel.BasicGetAsync("mails", autoAck: false))!.DeliveryTag;
        await _server.DoAsync(201, "PUT", "policies/%2F/dead",
            """{"pattern":"^mails$","definition":{"dead-letter-exchange":"","dead-letter-routing-key":"letters"}}""");
        var entry = await _server.OpenAsync("/", "mails");
        await UntilAsync(() => Task.FromResult(entry.Settings.DeadLetterExchange is not null));

        await channel.BasicNackAsync(last, multiple: true, requeue: false);

        await UntilAsync(async () => await channel.MessageCountAsync("letters") == Count);
        var letters = new List<string>();
        while (await channel.BasicGetAsync("letters", autoAck: true) is { } letter)
            letters.Add($"{Encoding.UTF8.GetString(letter.Body.Span)} {letter.BasicProperties.Headers!["n"]}");
        Assert.Equal(Enumerable.Range(0, Count).Select(static number => $"mail {number} {number}").Order(), letters.Order());
        Assert.Equal(0u, await channel.MessageCountAsync("mails"));
    }

    [Fact]
    public async Task Policy_with_an_expiry_ends_a_queue_that_is_not_used()
    {
        await _server.DoAsync(201, "PUT", "queues/%2F/mails", "{}");
        await _server.DoAsync(201, "PUT", "policies/%2F/ends", """{"pattern":"^mails$","definition":{"expires":50}}""");
        await UntilAsync(async () => (await _server.SendAsync("GET", "queues/%2F/mails")).StatusCode == HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Definitions_of_one_broker_make_another_the_same()
    {
        await _server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await _server.DoAsync(201, "PUT", "vhosts/v", """{"default_queue_type":"quorum"}""");
        await _server.DoAsync(201, "PUT", "permissions/v/bob", """{"configure":".*","write":"","read":"^a"}""");
        await _server.DoAsync(201, "PUT", "topic-permissions/v/bob", """{"exchange":"events","write":"^a","read":".*"}""");
        await _server.DoAsync(201, "PUT", "policies/v/p", """{"pattern":"^q","definition":{"message-ttl":5000},"apply-to":"queues"}""");
        await _server.DoAsync(201, "PUT", "operator-policies/v/o", """{"pattern":"","definition":{"max-length":9}}""");
        await _server.DoAsync(201, "PUT", "exchanges/v/events", """{"type":"topic"}""");
        await _server.DoAsync(201, "PUT", "queues/v/q", """{"arguments":{"x-max-length":7}}""");
        await _server.DoAsync(201, "POST", "bindings/v/e/events/q/q", """{"routing_key":"a.*"}""");
        var exported = await (await _server.SendAsync("GET", "definitions")).Content.ReadAsStringAsync();
        var directory = Directory.CreateTempSubdirectory("omq-management").FullName;
        try
        {
            await using var other = await ManagedServer.StartAsync(directory);
            await other.DoAsync(204, "POST", "definitions", exported);
            Assert.Equal(exported, await (await other.SendAsync("GET", "definitions")).Content.ReadAsStringAsync());
            await other.GetAsync("queues/v", "bob:p");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        // What is wrong is named, and nothing is changed.
        Assert.Contains("queues[1]", await _server.DoAsync(400, "POST", "definitions/v",
            """{"queues":[{"name":"new","durable":true},{"name":""}]}"""), StringComparison.Ordinal);
        await _server.DoAsync(404, "GET", "queues/v/new");
        // A request with the flag is told what has no meaning here.
        Assert.Equal("""{"left_out":["global_parameters[0]: 'cluster_name'"]}""", await _server.DoAsync(200, "POST",
            "definitions?left_out=true", """{"global_parameters":[{"name":"cluster_name","value":"old"}]}"""));
    }

    [Fact]
    public async Task Operators_tools_find_what_they_ask_for()
    {
        var overview = await _server.GetAsync("overview");
        Assert.False(string.IsNullOrEmpty(overview.GetProperty("rabbitmq_version").GetString()));
        Assert.Contains("amqp", overview.GetProperty("listeners").EnumerateArray().Select(static one =>
            one.GetProperty("protocol").GetString()));
        Assert.Equal("ok", (await _server.GetAsync("aliveness-test/%2F")).GetProperty("status").GetString());
        Assert.Equal("ok", (await _server.GetAsync("health/checks/alarms")).GetProperty("status").GetString());
        Assert.Equal("ok", (await _server.GetAsync($"health/checks/port-listener/{_server.AmqpPort}")).GetProperty("status").GetString());
        await _server.DoAsync(503, "GET", "health/checks/port-listener/1");
        await _server.DoAsync(404, "GET", "what");
        await _server.DoAsync(405, "PATCH", "queues/%2F/q");
        var predeclared = await _server.GetAsync("exchanges/%2F");
        Assert.Contains("amq.topic", Names(predeclared));
        Assert.Equal("direct", (await _server.GetAsync("exchanges/%2F/amq.default")).GetProperty("type").GetString());
    }

    [Fact]
    public async Task Before_the_broker_serves_it_says_so()
    {
        await using var gateway = new AmqpGateway(new AmqpGatewayOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
        await using var management = new ManagementGateway(new AmqpManagementOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0) },
            () => gateway);
        await management.ListenAsync(CancellationToken.None);
        using var client = new HttpClient();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await client.GetAsync(new Uri($"{management.Address}/api/whoami"))).StatusCode);
    }

    [Fact]
    public async Task Broker_without_an_AMQP_gateway_refuses_to_open_the_management_API()
    {
        var builder = new ServicesBuilder();
        builder.AddAmqpManagement(static options => options with { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
        await using var services = builder.Services.BuildServiceProvider();
        var management = services.GetServices<IGateway>().Single();
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => management.ListenAsync(CancellationToken.None));
        Assert.Contains("call AddAmqp()", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1L << 20, 1 << 20, 1, 1, "MaxMemoryBytes")]
    [InlineData(64L << 20, (16 << 20) + 1, 1, 1, "MaxMessageBytes")]
    [InlineData(64L << 20, 0, 1, 1, "MaxMessageBytes")]
    [InlineData(64L << 20, 1, 0, 1, "MaxConnections")]
    [InlineData(64L << 20, 1, 1, 0, "MaxConnectionsPerAddress")]
    public void Option_out_of_its_range_is_refused_by_its_name(long memory, int message, int connections, int ofOne, string option)
    {
        var builder = new ServicesBuilder();
        builder.AddAmqp(options => options with
        {
            MaxMemoryBytes = memory,
            MaxMessageBytes = message,
            MaxConnections = connections,
            MaxConnectionsPerAddress = ofOne,
        });
        using var services = builder.Services.BuildServiceProvider();
        var refused = Assert.Throws<ArgumentException>(() => services.GetServices<IGateway>().Single());
        Assert.Contains($"AmqpGatewayOptions.{option} is", refused.Message, StringComparison.Ordinal);
    }

    private sealed class ServicesBuilder : IBrokerBuilder
    {
        public ServiceCollection Services { get; } = [];

        public void AddGateway(Func<IServiceProvider, IGateway> create) => Services.AddSingleton(create);
    }

    private static IEnumerable<string?> Names(JsonElement list) =>
        list.EnumerateArray().Select(static one => one.GetProperty("name").GetString());

    private static AmqpMessage Message() => new("", "q", ContentProperties.None.With(BasicProperty.DeliveryMode, [2]), "m"u8.ToArray(),
        DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());

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
