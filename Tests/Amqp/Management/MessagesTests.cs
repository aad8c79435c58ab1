using System.IO.Pipelines;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Quotas;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Messages that operators publish and get over the management API.</summary>
public sealed class MessagesTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-messages").FullName;
    private ManagedServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await ManagedServer.StartAsync(_directory);
        await _server.DoAsync(201, "PUT", "queues/%2F/q", "{}");
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Message_keeps_its_properties_and_is_routed_or_not()
    {
        const string properties = """
            {"content_type":"text/plain","headers":{"a \"b\"":[1,true,{"deep":"ü"}],"none":null},"delivery_mode":2,"priority":4,
             "correlation_id":"c","reply_to":"r","expiration":"60000","message_id":"m","timestamp":1700000000,"type":"t","app_id":"x"}
            """;
        Assert.True(await PublishAsync($$"""{"routing_key":"q","payload":"täxt","properties":{{properties}}}"""));
        Assert.True(await PublishAsync("""{"routing_key":"q","payload":"/wA=","payload_encoding":"base64","properties":{}}"""));
        Assert.False(await PublishAsync("""{"routing_key":"nowhere","payload":"x"}"""));
        var gotten = await TakeAsync("""{"count":"5","ackmode":"ack_requeue_true","encoding":"auto"}""");
        Assert.Equal(2, gotten.Length);
        Assert.Equal(("täxt", "string", 5, "q", "", 1), (gotten[0].GetProperty("payload").GetString(),
            gotten[0].GetProperty("payload_encoding").GetString(), gotten[0].GetProperty("payload_bytes").GetInt32(),
            gotten[0].GetProperty("routing_key").GetString(), gotten[0].GetProperty("exchange").GetString(),
            gotten[0].GetProperty("message_count").GetInt32()));
        Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(properties).RootElement, gotten[0].GetProperty("properties")));
        Assert.Equal(("/wA=", "base64"), (gotten[1].GetProperty("payload").GetString(),
            gotten[1].GetProperty("payload_encoding").GetString()));
        // They are there again, until they are taken.
        gotten = await TakeAsync("""{"count":1,"ackmode":"ack_requeue_false","encoding":"base64","truncate":2}""");
        Assert.Equal(("dMM=", true), (Assert.Single(gotten).GetProperty("payload").GetString(),
            gotten[0].GetProperty("redelivered").GetBoolean()));
        Assert.Single(await TakeAsync("""{"count":5,"ackmode":"reject_requeue_false"}"""));
        Assert.Empty(await TakeAsync("{}"));
    }

    [Theory]
    [InlineData("publish", "{}", "body.routing_key is missing")]
    [InlineData("publish", """{"routing_key":"q"}""", "body.payload is missing")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","payload_encoding":"base64"}""", "body.payload must be base64")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","payload_encoding":"zip"}""", "must be string or base64, not 'zip'")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"wings":2}}""", "body.properties.wings is no property")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"priority":256}}""", "a number from 0 to 255")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"headers":7}}""", "headers must be an object")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"type":7}}""", "properties.type must be a text")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"expiration":"soon"}}""", "invalid expiration 'soon'")]
    [InlineData("publish", """{"routing_key":"q","payload":"x","properties":{"user_id":"bob"}}""", "user_id property set to 'bob'")]
    [InlineData("get", """{"count":0}""", "body.count must be 1 or more")]
    [InlineData("get", """{"ackmode":"x"}""", "body.ackmode must be ack_requeue_true")]
    [InlineData("get", """{"encoding":"x"}""", "body.encoding must be auto or base64")]
    [InlineData("get", """{"truncate":-1}""", "body.truncate must be 0 or more")]
    [InlineData("get", "[]", "must be an object")]
    [InlineData("get", "{\"count\":", "not JSON")]
    public async Task Wrong_request_names_the_field(string what, string body, string reason)
    {
        var path = what == "get" ? "queues/%2F/q/get" : "exchanges/%2F/amq.default/publish";
        using var answer = JsonDocument.Parse(await _server.DoAsync(400, "POST", path, body));
        Assert.Contains(reason, answer.RootElement.GetProperty("reason").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Names_and_texts_that_no_client_could_be_sent_are_refused()
    {
        var large = new string('ü', 128);
        await _server.DoAsync(400, "POST", "exchanges/%2F/amq.default/publish", $$"""{"routing_key":"{{large}}","payload":""}""");
        await _server.DoAsync(400, "POST", "exchanges/%2F/amq.default/publish",
            $$$"""{"routing_key":"q","payload":"","properties":{"type":"{{{large}}}"}}""");
        await _server.DoAsync(400, "POST", "exchanges/%2F/amq.default/publish",
            $$$$"""{"routing_key":"q","payload":"","properties":{"headers":{"{{{{large}}}}":1}}}""");
        await _server.DoAsync(404, "POST", $"exchanges/%2F/{Uri.EscapeDataString(large)}/publish", """{"routing_key":"","payload":""}""");
        await _server.DoAsync(404, "POST", "queues/%2F/none/get", "{}");
        await _server.DoAsync(404, "POST", "queues/none/q/get", "{}");
        Assert.Empty(await TakeAsync("{}"));
    }

    [Fact]
    public async Task Get_answers_some_messages_of_many_and_none_while_other_answers_have_the_memory()
    {
        var entry = await _server.OpenAsync("/", "q");
        await Task.WhenAll(Enumerable.Range(0, 1_001).Select(_ => entry.Queue.PublishAsync(new AmqpMessage("", "q", ContentProperties.None,
            "m"u8.ToArray(), 0))));
        Assert.Equal(1_000, (await TakeAsync("""{"count":5000,"ackmode":"ack_requeue_false"}""")).Length);
        Assert.Single(await TakeAsync("""{"count":5000,"ackmode":"ack_requeue_false"}"""));
    }

    [Theory]
    [InlineData(true, "\"")]
    [InlineData(true, "\u007f")]
    [InlineData(true, "\U0001F600")]
    [InlineData(false, "\"")]
    public async Task Large_body_is_written_without_a_copy_of_it(bool takesText, string some)
    {
        var text = string.Concat(Enumerable.Repeat(some, (1 << 20) / some.Length));
        var body = Encoding.UTF8.GetBytes("x" + text);
        var answer = new MemoryStream(16 << 20);
        var output = PipeWriter.Create(answer);
        var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        writer.WriteStartObject();
        var before = GC.GetAllocatedBytesForCurrentThread();
        var writing = MessageJson.WriteBodyAsync(writer, output, body, takesText, CancellationToken.None);
        // A stream in memory completes at once, on this thread.
        Assert.True(writing.IsCompletedSuccessfully);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, body.Length / 4);
        await writing;
        writer.WriteEndObject();
        writer.Flush();
        await output.FlushAsync();
        answer.Position = 0;
        using var json = JsonDocument.Parse(answer);
        var payload = json.RootElement.GetProperty("payload").GetString()!;
        Assert.Equal("x" + text, takesText ? payload : Encoding.UTF8.GetString(Convert.FromBase64String(payload)));
    }

    [Fact]
    public async Task Large_messages_come_whole_and_an_empty_one_is_a_text()
    {
        var entry = await _server.OpenAsync("/", "q");
        var text = string.Concat(Enumerable.Repeat("a\"ü\U0001F600\u007f", 200_000));
        byte[] bytes = [0xff, .. Enumerable.Range(0, 1_000_001).Select(static number => (byte)number)];
        foreach (var body in new[] { Encoding.UTF8.GetBytes(text), bytes, [] })
            await entry.Queue.PublishAsync(new AmqpMessage("", "q", ContentProperties.None, body, 0));
        var gotten = await TakeAsync("""{"count":3}""");
        Assert.Equal(text, gotten[0].GetProperty("payload").GetString());
        Assert.Equal(bytes, gotten[1].GetProperty("payload").GetBytesFromBase64());
        Assert.Equal(("", "string"), (gotten[2].GetProperty("payload").GetString(), gotten[2].GetProperty("payload_encoding").GetString()));
    }

    [Fact]
    public void Message_costs_its_body_once_and_its_properties_in_all_their_forms() => Assert.Equal(1_024 + 1_000_000 + (32 * 102),
        MessageJson.CostOf(new ContentProperties(new byte[102]), new byte[1_000_000]));

    [Fact]
    public void Answers_share_their_memory_until_they_are_sent()
    {
        var budget = new RequestBudget(100);
        using var first = budget.Begin();
        using (var second = budget.Begin())
        {
            Assert.True(first.TryTake(60));
            Assert.False(second.TryTake(41));
            Assert.True(second.TryTake(40));
            Assert.Equal((60, 40, 100), (first.Taken, second.Taken, budget.Used));
        }
        Assert.Equal(60, budget.Used);
    }

    [Fact]
    public async Task Publish_is_refused_while_publishers_are_blocked()
    {
        var memory = _server.Amqp.Memory;
        memory.Add(memory.Limit + 1);
        Assert.Contains("low on memory", await _server.DoAsync(503, "POST", "exchanges/%2F/amq.default/publish",
            """{"routing_key":"q","payload":"x"}"""), StringComparison.Ordinal);
        memory.Add(-memory.Limit - 1);
        Assert.True(await PublishAsync("""{"routing_key":"q","payload":"x"}"""));
    }

    [Fact]
    public async Task Publish_and_get_pay_the_quotas_of_the_user_and_are_refused_where_much_is_owed()
    {
        var quotas = _server.Broker.Quotas;
        await quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"), new Dictionary<QuotaKey, double?>
        {
            [QuotaKey.ProducerByteRate] = 1_000_000,
            [QuotaKey.ConsumerByteRate] = 1_000_000,
        })]);
        Assert.True(await PublishAsync("""{"routing_key":"q","payload":"0123456789"}"""));
        Assert.Single(await TakeAsync("{}"));
        Assert.Equal(2, quotas.ListUsage().Count(static one => one.Used > 0));
        var guest = quotas.Of("User:guest", "");
        guest.Charge(QuotaKey.ProducerByteRate, 50_000_000);
        guest.Charge(QuotaKey.ConsumerByteRate, 50_000_000);
        Assert.Contains("producer_byte_rate", await _server.DoAsync(429, "POST", "exchanges/%2F/amq.default/publish",
            """{"routing_key":"q","payload":"x"}"""), StringComparison.Ordinal);
        Assert.Contains("consumer_byte_rate", await _server.DoAsync(429, "POST", "queues/%2F/q/get", "{}"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Drain_ends_what_quotas_hold_back()
    {
        var held = _server.Broker.Quotas.HoldAsync(TimeSpan.FromDays(1), CancellationToken.None).AsTask();
        Assert.False(held.IsCompleted);
        _server.Management.Drain();
        // False: the broker stops.
        Assert.False(await held.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task Requests_pay_their_time_and_are_answered_later()
    {
        var quotas = _server.Broker.Quotas;
        // Ten microseconds are there, and one more each second.
        await quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"),
            new Dictionary<QuotaKey, double?> { [QuotaKey.RequestPercentage] = 0.0001 })]);
        var deadline = DateTime.UtcNow + TimeSpan.FromSeconds(60);
        while (quotas.SecondsThrottled("guest", QuotaKey.RequestPercentage) == 0)
        {
            Assert.True(DateTime.UtcNow < deadline, "No request was held back.");
            await _server.DoAsync(200, "GET", "overview");
        }
        Assert.Contains(quotas.ListUsage(), static one => one.Key == QuotaKey.RequestPercentage && one.Used > 0);
    }

    [Fact]
    public async Task Declarations_pay_the_quota_of_the_user()
    {
        await _server.DoAsync(201, "PUT", "queues/%2F/bound", "{}");
        await _server.DoAsync(201, "POST", "bindings/%2F/e/amq.topic/q/bound", "{}");
        await _server.Broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"), new Dictionary<QuotaKey, double?>
        {
            [QuotaKey.ControllerMutationRate] = 0.001,
        })]);
        await _server.DoAsync(201, "PUT", "queues/%2F/one", "{}");
        foreach (var (method, path) in new[] { ("PUT", "queues/%2F/two"), ("PUT", "exchanges/%2F/x"), ("DELETE", "queues/%2F/one") })
            Assert.Contains("controller_mutation_rate", await _server.DoAsync(429, method, path, method == "PUT" ? "{}" : null),
                StringComparison.Ordinal);
        foreach (var (method, path, body) in new[] { ("POST", "q/bound", """{"routing_key":"b"}"""), ("DELETE", "q/bound/~", null) })
            Assert.Contains("controller_mutation_rate", await _server.DoAsync(429, method, $"bindings/%2F/e/amq.topic/{path}", body),
                StringComparison.Ordinal);
        await _server.DoAsync(201, "POST", "bindings/%2F/e/amq.topic/q/bound", "{}");
        await _server.DoAsync(204, "PUT", "queues/%2F/one", "{}");
        await _server.DoAsync(201, "PUT", "queues/%2F/transient", """{"durable":false}""");
    }

    [Fact]
    public async Task Virtual_host_has_a_limit_of_queues()
    {
        await _server.DoAsync(204, "PUT", "vhost-limits/%2F/max-queues", """{"value":2}""");
        Assert.Equal("""[{"vhost":"/","value":{"max-queues":2}}]""", await _server.DoAsync(200, "GET", "vhost-limits"));
        await _server.DoAsync(201, "PUT", "queues/%2F/two", "{}");
        Assert.Contains("queue limit in vhost '/' (2) is reached", await _server.DoAsync(400, "PUT", "queues/%2F/three", "{}"),
            StringComparison.Ordinal);
        Assert.Contains("max-connections and max-queues", await _server.DoAsync(400, "PUT", "vhost-limits/%2F/max-channels",
            """{"value":2}"""), StringComparison.Ordinal);
        await _server.DoAsync(204, "DELETE", "vhost-limits/%2F/max-queues");
        Assert.Equal("[]", await _server.DoAsync(200, "GET", "vhost-limits/%2F"));
        await _server.DoAsync(201, "PUT", "queues/%2F/three", "{}");
    }

    [Fact]
    public async Task Virtual_host_has_a_limit_of_connections_beside_that_of_queues()
    {
        await _server.DoAsync(204, "PUT", "vhost-limits/%2F/max-queues", """{"value":2}""");
        await _server.DoAsync(204, "PUT", "vhost-limits/%2F/max-connections", """{"value":0}""");
        Assert.Equal("""[{"vhost":"/","value":{"max-connections":0,"max-queues":2}}]""",
            await _server.DoAsync(200, "GET", "vhost-limits"));
        Assert.Contains("""{"vhost":"/","component":"vhost-limits","name":"limits","value":{"max-connections":0,"max-queues":2}}""",
            await _server.DoAsync(200, "GET", "definitions"), StringComparison.Ordinal);
        await _server.DoAsync(204, "PUT", "vhost-limits/%2F/max-connections", """{"value":-1}""");
        Assert.Equal("""[{"vhost":"/","value":{"max-queues":2}}]""", await _server.DoAsync(200, "GET", "vhost-limits"));
        await _server.DoAsync(204, "PUT", "vhost-limits/%2F/max-connections", """{"value":3}""");
        await _server.DoAsync(204, "DELETE", "vhost-limits/%2F/max-queues");
        Assert.Equal("""[{"vhost":"/","value":{"max-connections":3}}]""", await _server.DoAsync(200, "GET", "vhost-limits/%2F"));
        await _server.DoAsync(204, "DELETE", "vhost-limits/%2F/max-connections");
        Assert.Equal("[]", await _server.DoAsync(200, "GET", "vhost-limits"));
    }

    [Fact]
    public async Task Rights_of_the_user_decide()
    {
        await _server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        await _server.DoAsync(201, "PUT", "users/mon", """{"password":"p","tags":"monitoring"}""");
        await _server.DoAsync(201, "PUT", "permissions/%2F/bob", """{"configure":"","write":"^other","read":"^other"}""");
        foreach (var user in new[] { "bob:p", "mon:p" })
        {
            await _server.DoAsync(401, "POST", "exchanges/%2F/amq.default/publish", """{"routing_key":"q","payload":"x"}""", user);
            await _server.DoAsync(401, "POST", "queues/%2F/q/get", "{}", user);
        }
        Assert.Empty(await TakeAsync("{}"));
    }

    private async Task<bool> PublishAsync(string body)
    {
        using var answer = JsonDocument.Parse(await _server.DoAsync(200, "POST", "exchanges/%2F/amq.default/publish", body));
        return answer.RootElement.GetProperty("routed").GetBoolean();
    }

    private async Task<JsonElement[]> TakeAsync(string body) =>
        [.. JsonDocument.Parse(await _server.DoAsync(200, "POST", "queues/%2F/q/get", body)).RootElement.EnumerateArray()];
}
