using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Http.Queueing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary><c>/api/queues</c> for operators; <see cref="QueueConformance"/> covers what each request does.</summary>
public sealed class QueueApiTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    [Fact]
    public async Task Queues_of_all_partitions_are_listed_and_one_is_described_with_its_oldest_record()
    {
        var topic = await broker.CreateTopicAsync(partitions: 2);
        await broker.ProduceAllAsync(topic, """{"value":"one","partition":1,"timestamp":1000}""" + "\n"
            + """{"value":"two","partition":1,"timestamp":2000}""");
        await CreateAsync(topic, 0, "mails");
        var created = await CreateAsync(topic, 1, "mails", """{"options": {"maxFailures": 5, "retryDelayMs": 1500}}""");
        Assert.Equal((5, 1500L), (created.GetProperty("options").GetProperty("maxFailures").GetInt32(),
            created.GetProperty("options").GetProperty("retryDelayMs").GetInt64()));

        Assert.Equal([0, 1], (await GetAsync($"/api/queues/{topic}")).EnumerateArray()
            .Select(static queue => queue.GetProperty("partition").GetInt32()));
        Assert.Equal("mails", (await GetAsync($"/api/queues/{topic}/1")).EnumerateArray().Single().GetProperty("name").GetString());
        var described = await GetAsync($"/api/queues/{topic}/1/mails");
        Assert.Equal((0L, 1000L, 0), (described.GetProperty("floor").GetInt64(), described.GetProperty("oldestTimestamp").GetInt64(),
            described.GetProperty("held").GetInt32()));
        Assert.Equal(2, described.GetProperty("unsettled").GetInt64());
        Assert.False((await GetAsync($"/api/queues/{topic}/0/mails")).TryGetProperty("oldestTimestamp", out _));
    }

    [Fact]
    public async Task Metrics_count_what_waits_in_a_queue()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, """{"value":"one","timestamp":1000}""" + "\n" + """{"value":"two"}""");
        await CreateAsync(topic, 0, "mails");
        var queue = $"topic=\"{topic}\",partition=\"0\",queue=\"mails\"";
        var metrics = "";
        // A reader of metrics before this one may have looked.
        for (var deadline = DateTime.UtcNow + RunningBroker.Patience;
            !metrics.Contains($"orleansmq_queue_waiting{{{queue}}} 2\n", StringComparison.Ordinal); await Task.Delay(100))
        {
            Assert.True(DateTime.UtcNow < deadline, metrics);
            metrics = await broker.Http.GetStringAsync("/metrics");
        }
        foreach (var name in (string[])["held", "deferred", "redelivered_total", "dead_lettered_total", "dropped_total"])
            Assert.Contains($"orleansmq_queue_{name}{{{queue}}} 0\n", metrics, StringComparison.Ordinal);
        Assert.Contains($"orleansmq_queue_oldest_seconds{{{queue}}} ", metrics, StringComparison.Ordinal);
        Assert.Contains($"orleansmq_queue_longest_held_seconds{{{queue}}} ", metrics, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("share/billing")]
    [InlineData("a b?c#d%2F\"é")]
    [InlineData("consumers")]
    public async Task Queue_may_have_any_name(string name)
    {
        var topic = await broker.CreateTopicAsync();
        using var client = new HttpBroker(broker.Http.BaseAddress!);
        var partition = new TopicPartition(topic, 0);
        await client.Queues.CreateAsync(partition, new NewQueue(name));
        Assert.Equal(name, (await client.Queues.DescribeAsync(partition, name)).Name);
        await client.Queues.DeleteAsync(partition, name);
        Assert.Empty(await client.Queues.ListAsync(partition));
    }

    [Fact]
    public async Task Peek_shows_text_and_is_bounded_in_records_and_bytes()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes": "9000000"}""");
        var partition = new TopicPartition(topic, 0);
        await broker.ProduceAllAsync(topic, """{"key":"k","value":"é \"","headers":{"h":"v"}}""");
        foreach (var size in new[] { 3_900_000, 3_900_000, 1_000_000 })
            Assert.Equal(ErrorCode.None, (await broker.Script.ProduceAsync(partition, TestBatches.OfSize(size), Acks.All)).Error);
        await CreateAsync(topic, 0, "mails");
        var peeked = (await GetAsync($"/api/queues/{topic}/0/mails/records?max=1")).EnumerateArray().Single();
        Assert.Equal(("k", "é \"", "h", "v"), (peeked.GetProperty("key").GetString(), peeked.GetProperty("value").GetString(),
            peeked.GetProperty("headers")[0].GetProperty("name").GetString(),
            peeked.GetProperty("headers")[0].GetProperty("value").GetString()));
        // Key and value of a large one are the same.
        Assert.Equal([0L, 1, 2], (await GetAsync($"/api/queues/{topic}/0/mails/records?max=1000")).EnumerateArray()
            .Select(static record => record.GetProperty("offset").GetInt64()));
    }

    [Fact]
    public async Task Bytes_that_are_not_text_need_the_other_encoding_and_stay_in_the_queue()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, """{"value":"/w=="}""", "?encoding=base64");
        await CreateAsync(topic, 0, "mails");
        using var peek = await broker.Http.GetAsync($"/api/queues/{topic}/0/mails/records");
        await RunningBroker.AssertProblemAsync(peek, 400, ErrorCode.InvalidRequest, "encoding=base64");
        var consumer = await AttachAsync(topic);
        using var received = await broker.Http.PostAsync($"/api/queue-consumers/{topic}/0/{consumer}/receive?waitMs=60000", null);
        await RunningBroker.AssertProblemAsync(received, 400, ErrorCode.InvalidRequest, "encoding=base64");
        var again = await PostAsync($"/api/queue-consumers/{topic}/0/{consumer}/receive?encoding=base64&waitMs=60000");
        Assert.Equal(("/w==", 0), (again.GetProperty("records")[0].GetProperty("value").GetString(),
            again.GetProperty("records")[0].GetProperty("failures").GetInt32()));
    }

    [Theory]
    [InlineData("PUT", "0/mails", """{"start": "middle"}""", "'start'")]
    [InlineData("PUT", "0/mails", """{"start": "-5"}""", "'start'")]
    [InlineData("PUT", "0/mails", """{"options": {"maxFailure": 1}}""", "maxFailure")]
    [InlineData("PUT", "0/mails", """{"options": {"maxFailures": -1}}""", "MaxFailures")]
    [InlineData("PUT", "0/mails", """{"options": {"retryDelayMs": 9223372036854775807}}""", "RetryDelay")]
    [InlineData("POST", "0/mails/reset", "", "empty")]
    [InlineData("POST", "0/mails/reset", """{"start": null}""", "start")]
    [InlineData("POST", "0/mails/purge?all=true", "", "'all'")]
    [InlineData("POST", "0/mails/purge?below=-1", "", "'below'")]
    [InlineData("POST", "0/mails/purge?below=end", "", "'below'")]
    [InlineData("DELETE", "0/mails?id=1", "", "'id'")]
    [InlineData("PUT", "0/mails/options?id=mails", """{}""", "'id'")]
    [InlineData("GET", "0/mails/records?max=1001", "", "'max'")]
    [InlineData("GET", "0/mails/records?max=0", "", "'max'")]
    [InlineData("GET", "x/mails", "", "Partition 'x'")]
    [InlineData("POST", "0/mails/consumers", """{"prefetch": 10001}""", "Prefetch")]
    [InlineData("POST", "0/mails/consumers", """{"sessionTimeoutMs": -9223372036854775808}""", "SessionTimeout")]
    public async Task Wrong_field_is_named(string method, string path, string body, string named)
    {
        var topic = await broker.CreateTopicAsync();
        await CreateAsync(topic, 0, "mails");
        using var request = new HttpRequestMessage(new HttpMethod(method), $"/api/queues/{topic}/{path}");
        if (body.Length > 0)
            request.Content = RunningBroker.Json(body);
        using var response = await broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, named);
    }

    [Theory]
    [InlineData("receive?max=10001", "", 400, ErrorCode.InvalidRequest)]
    [InlineData("receive?waitMs=600001", "", 400, ErrorCode.InvalidRequest)]
    [InlineData("receive?max=1", "", 409, ErrorCode.UnknownMemberId)]
    [InlineData("settle", """{"settlements": [null]}""", 400, ErrorCode.InvalidRequest)]
    [InlineData("settle", """{"settlements": [{"first": 0, "last": 9, "action": "Accept"}]}""", 400, ErrorCode.InvalidRequest)]
    [InlineData("settle", """{"settlements": [{"lock": {}, "first": 0, "last": 9, "action": "Take"}]}""", 400,
        ErrorCode.InvalidRequest)]
    [InlineData("settle", """{"settlements": []}""", 409, ErrorCode.UnknownMemberId)]
    public async Task Wrong_call_of_a_consumer_is_refused(string call, string body, int status, ErrorCode code)
    {
        var topic = await broker.CreateTopicAsync();
        using var response = await broker.Http.PostAsync($"/api/queue-consumers/{topic}/0/{Guid.NewGuid()}/{call}",
            body.Length > 0 ? RunningBroker.Json(body) : null);
        await RunningBroker.AssertProblemAsync(response, status, code);
        using var nameless = await broker.Http.PostAsync($"/api/queue-consumers/{topic}/0/7/{call}", null);
        Assert.Equal(HttpStatusCode.BadRequest, nameless.StatusCode);
    }

    [Fact]
    public async Task Settlement_is_bounded()
    {
        var topic = await broker.CreateTopicAsync();
        var settlement = new QueueSettlementBody(new QueueLock(Guid.Empty, 0, 0), 0, 0, QueueAction.Accept);
        var most = QueueConsumerEndpoints.MostSettlements;
        var body = JsonSerializer.Serialize(new SettleQueueBody([.. Enumerable.Repeat(settlement, most + 1)]),
            QueueJson.Default.SettleQueueBody);
        using var many = await broker.Http.PostAsync($"/api/queue-consumers/{topic}/0/{Guid.NewGuid()}/settle", RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(many, 400, ErrorCode.InvalidRequest, "'settlements'", $"{most}");
        await using var large = await RawExchange.SendAsync(broker, $"POST /api/queue-consumers/{topic}/0/{Guid.NewGuid()}/settle HTTP/1.1"
            + $"\r\nHost: localhost\r\nContent-Length: {QueueConsumerEndpoints.MaxBodyBytes + 1}\r\n\r\n");
        Assert.Equal("HTTP/1.1 413", await large.ReadAsync(12));
    }

    [Fact]
    public void Settlement_that_counts_is_sent_as_brokers_of_earlier_versions_know_it()
    {
        var settlement = new QueueSettlement(new QueueLock(Guid.Empty, 1, 2), 3, 4, QueueAction.Release);
        Assert.DoesNotContain("isUncounted", Sent(settlement), StringComparison.Ordinal);
        Assert.EndsWith("\"isUncounted\":true}", Sent(settlement with { IsUncounted = true }), StringComparison.Ordinal);

        static string Sent(QueueSettlement settlement) =>
            JsonSerializer.Serialize(QueueSettlementBody.Of(settlement), QueueJson.Default.QueueSettlementBody);
    }

    private async Task<JsonElement> CreateAsync(string topic, int partition, string name, string body = "{}")
    {
        using var response = await broker.Http.PutAsync($"/api/queues/{topic}/{partition}/{name}", RunningBroker.Json(body));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
    }

    private async Task<string> AttachAsync(string topic) =>
        (await PostAsync($"/api/queues/{topic}/0/mails/consumers")).GetProperty("consumer").GetString()!;

    private async Task<JsonElement> PostAsync(string path)
    {
        using var response = await broker.Http.PostAsync(path, null);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonDocument.Parse(text).RootElement;
    }

    private async Task<JsonElement> GetAsync(string path) => JsonDocument.Parse(await broker.Http.GetStringAsync(path)).RootElement;
}
