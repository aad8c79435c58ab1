using System.Net;
using System.Text.Json;

namespace OrleansMq.Tests.Silo.Http;

public sealed class TopicApiTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    [Fact]
    public async Task Topic_is_created_listed_described_altered_and_deleted()
    {
        using var created = await broker.Http.PutAsync("/api/topics/life",
            RunningBroker.Json("""{"partitions":2,"configs":{"retention.ms":"1000"}}"""));
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        Assert.Equal("/api/topics/life", created.Headers.Location!.ToString());
        AssertTopic(await created.Content.ReadAsStringAsync(), 2, "retention.ms", "1000", isDefault: false);

        Assert.Contains(Parse(await broker.Http.GetStringAsync("/api/topics")).EnumerateArray(),
            t => t.GetProperty("name").GetString() == "life" && t.GetProperty("partitions").GetInt32() == 2);
        AssertTopic(await broker.Http.GetStringAsync("/api/topics/life"), 2, "retention.ms", "1000", isDefault: false);

        using var altered = await broker.Http.PatchAsync("/api/topics/life",
            RunningBroker.Json("""{"partitions":3,"configs":{"retention.ms":null,"segment.bytes":"1048576"}}"""));
        Assert.Equal(HttpStatusCode.OK, altered.StatusCode);
        var text = await altered.Content.ReadAsStringAsync();
        AssertTopic(text, 3, "retention.ms", "604800000", isDefault: true);
        AssertTopic(text, 3, "segment.bytes", "1048576", isDefault: false);

        using var deleted = await broker.Http.DeleteAsync("/api/topics/life");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        using var gone = await broker.Http.GetAsync("/api/topics/life");
        await RunningBroker.AssertProblemAsync(gone, 404, ErrorCode.UnknownTopicOrPartition, "life");
    }

    [Fact]
    public async Task Topic_without_a_body_has_all_defaults()
    {
        using var created = await broker.Http.PutAsync("/api/topics/plain", null);
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        AssertTopic(await created.Content.ReadAsStringAsync(), 1, "retention.ms", "604800000", isDefault: true);
    }

    [Fact]
    public async Task Existing_topic_is_not_created_again()
    {
        var topic = await broker.CreateTopicAsync();
        using var again = await broker.Http.PutAsync($"/api/topics/{topic}", null);
        await RunningBroker.AssertProblemAsync(again, 409, ErrorCode.TopicAlreadyExists, topic);
    }

    [Fact]
    public async Task Name_with_a_slash_is_refused_as_written()
    {
        using var response = await broker.Http.PutAsync("/api/topics/no%2Fslash", null);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidTopic, "no/slash");
    }

    [Theory]
    [InlineData("bad%20name", "", ErrorCode.InvalidTopic)]
    [InlineData("a", """{"partitions":0}""", ErrorCode.InvalidPartitions)]
    [InlineData("a", """{"partitions":10001}""", ErrorCode.InvalidPartitions)]
    [InlineData("a", """{"replicationFactor":3}""", ErrorCode.InvalidReplicationFactor)]
    [InlineData("a", """{"configs":{"no.such.key":"1"}}""", ErrorCode.InvalidConfig)]
    [InlineData("a", """{"configs":{"retention.ms":"soon"}}""", ErrorCode.InvalidConfig)]
    [InlineData("a", """{"configs":{"retention.ms":null}}""", ErrorCode.InvalidConfig)]
    [InlineData("a", """{"configs":{"retention.ms":1000}}""", ErrorCode.InvalidRequest)]
    [InlineData("a", """{"partition":1}""", ErrorCode.InvalidRequest)]
    [InlineData("a", """{"partitions":1,"partitions":2}""", ErrorCode.InvalidRequest)]
    [InlineData("a", """{"partitions":"1"}""", ErrorCode.InvalidRequest)]
    [InlineData("a", "null", ErrorCode.InvalidRequest)]
    [InlineData("a", "{", ErrorCode.InvalidRequest)]
    public async Task Invalid_topic_is_refused(string name, string body, ErrorCode code)
    {
        using var response = await broker.Http.PutAsync($"/api/topics/{name}", RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, code);
    }

    [Theory]
    [InlineData("""{}""", ErrorCode.InvalidRequest)]
    [InlineData("""{"configs":{}}""", ErrorCode.InvalidRequest)]
    [InlineData("", ErrorCode.InvalidRequest)]
    [InlineData("""{"partitions":2}""", ErrorCode.InvalidPartitions)]
    [InlineData("""{"partitions":1,"configs":{"retention.ms":"1"}}""", ErrorCode.InvalidPartitions)]
    [InlineData("""{"configs":{"retention.ms":"soon"}}""", ErrorCode.InvalidConfig)]
    public async Task Invalid_change_is_refused_and_changes_nothing(string body, ErrorCode code)
    {
        var topic = await broker.CreateTopicAsync(partitions: 2);
        var before = await broker.Http.GetStringAsync($"/api/topics/{topic}");
        using var response = await broker.Http.PatchAsync($"/api/topics/{topic}", RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, code);
        Assert.Equal(before, await broker.Http.GetStringAsync($"/api/topics/{topic}"));
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("DELETE")]
    [InlineData("PATCH")]
    public async Task Unknown_topic_is_not_found(string method)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), "/api/topics/nowhere");
        if (method == "PATCH")
            request.Content = RunningBroker.Json("""{"configs":{"retention.ms":"1"}}""");
        using var response = await broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 404, ErrorCode.UnknownTopicOrPartition, "nowhere");
    }

    [Fact]
    public async Task Excessive_body_is_refused_before_it_is_read()
    {
        await using var exchange = await RawExchange.SendAsync(broker,
            "PUT /api/topics/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2097152\r\n\r\n");
        var answer = await exchange.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"MessageTooLarge\"", answer, StringComparison.Ordinal);
    }

    private static void AssertTopic(string text, int partitions, string key, string value, bool isDefault)
    {
        var topic = Parse(text);
        Assert.Equal(partitions, topic.GetProperty("partitions").GetArrayLength());
        var config = topic.GetProperty("configs").EnumerateArray().Single(c => c.GetProperty("name").GetString() == key);
        Assert.Equal((value, isDefault), (config.GetProperty("value").GetString(), config.GetProperty("isDefault").GetBoolean()));
    }

    private static JsonElement Parse(string text) => JsonDocument.Parse(text).RootElement;
}
