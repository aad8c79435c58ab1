using System.Text.Json;

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
