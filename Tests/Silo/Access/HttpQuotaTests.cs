using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Http;
using OrleansMq.Quotas;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Shared;
using OrleansMq.Tests.Silo.Http;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>Quotas over HTTP: how they are administered, and what a client beyond its rate is answered.</summary>
public sealed class HttpQuotaTests : IAsyncLifetime
{
    private readonly RunningBroker _broker = new();

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Fact]
    public async Task Quotas_are_set_listed_and_removed()
    {
        await AlterAsync("""
            {"changes": [{"user": "alice", "limits": {"producer_byte_rate": 1048576}},
                {"user": "", "clientId": "", "limits": {"request_percentage": 12.5}}]}
            """);
        using var listed = JsonDocument.Parse(await _broker.Http.GetStringAsync("/api/quotas"));
        Assert.Equal(2, listed.RootElement.GetArrayLength());
        Assert.Equal("", listed.RootElement[0].GetProperty("user").GetString());
        Assert.Equal(12.5, listed.RootElement[0].GetProperty("limits").GetProperty("request_percentage").GetDouble());
        Assert.Equal(JsonValueKind.Null, listed.RootElement[1].GetProperty("ip").ValueKind);
        await AlterAsync("""
            {"changes": [{"user": "alice", "limits": {"producer_byte_rate": null}},
                {"user": "", "clientId": "", "limits": {"request_percentage": null}}]}
            """);
        Assert.Equal("[]", await _broker.Http.GetStringAsync("/api/quotas"));
        Assert.Contains("User:ANONYMOUS at '127.0.0.1' (Http) changed the quotas of user 'alice': producer_byte_rate removed.", _broker.Log,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"changes": [{"user": "alice", "limits": {"byte_rate": 1}}]}""", "byte_rate")]
    [InlineData("""{"changes": [{"limits": {"producer_byte_rate": 1}}]}""", "none is given")]
    [InlineData("""{"changes": [{"ip": "here", "limits": {"connection_creation_rate": 1}}]}""", "here")]
    [InlineData("""{"changes": [{"user": "alice", "limits": {"producer_byte_rate": 0}}]}""", "greater than 0")]
    public async Task Impossible_quota_is_refused(string body, string reason)
    {
        using var response = await _broker.Http.PostAsync("/api/quotas", RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, reason);
    }

    [Fact]
    public async Task Client_far_beyond_its_rate_is_refused_and_what_it_sent_before_is_kept()
    {
        await _broker.Script.CreateTopicAsync(new NewTopic("orders"));
        await AlterAsync("""{"changes": [{"user": "ANONYMOUS", "limits": {"producer_byte_rate": 10}}]}""");
        using var gone = new CancellationTokenSource();
        var held = ProduceAsync(new string('x', 1_000), gone.Token);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while ((await _broker.Script.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset == 0)
            await Task.Delay(10, patience.Token);
        using var refused = await ProduceAsync("y", patience.Token);
        await RunningBroker.AssertProblemAsync(refused, 429, ErrorCode.ThrottlingQuotaExceeded, "producer_byte_rate");
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 15, 60);
        Assert.False(held.IsCompleted);
        Assert.Equal(1, (await _broker.Script.FindOffsetAsync(new TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);

        using var usage = JsonDocument.Parse(await _broker.Http.GetStringAsync("/api/quotas/usage"));
        Assert.Equal("producer_byte_rate", usage.RootElement[0].GetProperty("quota").GetString());
        Assert.InRange(usage.RootElement[0].GetProperty("heldForSeconds").GetDouble(), 1, 60);
        var metrics = await _broker.Http.GetStringAsync("/metrics");
        Assert.Contains("orleansmq_quota_throttle_seconds_total{", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_quota_used{", metrics, StringComparison.Ordinal);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held);
    }

    [Fact]
    public async Task Client_a_little_beyond_its_rate_is_answered_later()
    {
        await _broker.Script.CreateTopicAsync(new NewTopic("orders"));
        await AlterAsync("""
            {"changes": [{"user": "ANONYMOUS", "limits": {"producer_byte_rate": 4000, "consumer_byte_rate": 4000}}]}
            """);
        for (var count = 0; count < 2; count++)
        {
            using var produced = await ProduceAsync(new string('x', 10_250), default);
            Assert.Equal(HttpStatusCode.OK, produced.StatusCode);
        }
        for (var count = 0; count < 3; count++)
        {
            using var read = await _broker.Http.GetAsync("/api/topics/orders/partitions/0/batches?offset=0&maxBytes=20600");
            Assert.Equal(HttpStatusCode.OK, read.StatusCode);
        }
        var metrics = await _broker.Http.GetStringAsync("/metrics");
        Assert.Contains("quota=\"producer_byte_rate\"", metrics, StringComparison.Ordinal);
        Assert.Contains("quota=\"consumer_byte_rate\"", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_quota_throttle_seconds_total{", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Consumers_of_queues_and_schedules_pay_the_rates_of_bytes()
    {
        var orders = new TopicPartition("orders", 0);
        await _broker.Script.CreateTopicAsync(new NewTopic("orders"));
        await _broker.Script.ProduceAsync(orders, TestBatches.Of("one"), Acks.All);
        await _broker.Script.Queues.CreateAsync(orders, new NewQueue("mails"));
        await AlterAsync("""
            {"changes": [{"user": "ANONYMOUS", "limits": {"producer_byte_rate": 1000000, "consumer_byte_rate": 1000000}}]}
            """);
        var consumer = await _broker.Script.Queues.AttachAsync(orders, "mails",
            new QueueAttachOptions { SessionTimeout = TimeSpan.FromMinutes(5) });
        using (var received = await _broker.Http.PostAsync($"/api/queue-consumers/orders/0/{consumer}/receive?waitMs=60000", null))
            Assert.Contains("\"one\"", await received.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        using (var created = await ScheduleAsync("first"))
            Assert.True(created.IsSuccessStatusCode, await created.Content.ReadAsStringAsync());
        var quotas = _broker.Hosted.Access.Quotas!;
        Assert.Equal(2, quotas.ListUsage().Count(static one => one.Used > 0));

        var client = quotas.Of("User:ANONYMOUS", "");
        client.Charge(QuotaKey.ProducerByteRate, 60_000_000);
        client.Charge(QuotaKey.ConsumerByteRate, 60_000_000);
        using var peeked = await _broker.Http.GetAsync("/api/queues/orders/0/mails/records");
        await RunningBroker.AssertProblemAsync(peeked, 429, ErrorCode.ThrottlingQuotaExceeded, "consumer_byte_rate");
        using var refused = await ScheduleAsync("second");
        await RunningBroker.AssertProblemAsync(refused, 429, ErrorCode.ThrottlingQuotaExceeded, "producer_byte_rate");
        Assert.NotNull(refused.Headers.RetryAfter);
        Assert.Null(await _broker.Script.Schedules.FindAsync("orders", "second"));
    }

    [Fact]
    public async Task Requests_pay_their_time_and_begin_later_but_those_of_probes_do_not()
    {
        var quotas = _broker.Hosted.Access.Quotas!;
        // Ten microseconds are there, and one more each second.
        await AlterAsync("""{"changes": [{"user": "ANONYMOUS", "limits": {"request_percentage": 0.0001}}]}""");
        var deadline = DateTime.UtcNow + RunningBroker.Patience;
        while (Throttled() == 0)
        {
            Assert.True(DateTime.UtcNow < deadline, "No request was held back.");
            using var listed = await _broker.Http.GetAsync("/api/topics");
            Assert.Equal(HttpStatusCode.OK, listed.StatusCode);
        }
        Assert.Contains(quotas.ListUsage(), static one => one.Key == QuotaKey.RequestPercentage && one.Used > 0);
        var before = Throttled();
        Assert.Equal("ok", await _broker.Http.GetStringAsync("/healthz"));
        Assert.Equal(before, Throttled());

        double Throttled() => quotas.SecondsThrottled("ANONYMOUS", QuotaKey.RequestPercentage);
    }

    [Fact]
    public async Task Body_that_comes_late_begins_the_time_that_its_client_pays()
    {
        var quotas = _broker.Hosted.Access.Quotas!;
        await AlterAsync("""{"changes": [{"user": "late", "limits": {"request_percentage": 100}}]}""");
        var body = new Pipe();
        var http = new DefaultHttpContext { Request = { Body = body.Reader.AsStream() } };
        http.Features.Set(new SessionPace(quotas.Of("User:late", "")));
        var reading = JsonBodies.RequireAsync(http, JsonBodies.CreateTopic, "{}");
        Assert.False(reading.IsCompleted);
        Assert.DoesNotContain(quotas.ListUsage(), static one => one.Used > 0);
        await body.Writer.WriteAsync("""{"partitions": 3}"""u8.ToArray());
        await body.Writer.CompleteAsync();
        Assert.Equal(3, (await reading.WaitAsync(RunningBroker.Patience)).Partitions);
        await Wait.UntilAsync(() => quotas.ListUsage().Any(static one => one.Used > 0), "the time after the body to be charged");
    }

    [Fact]
    public async Task Connections_beyond_the_rate_of_their_address_are_closed()
    {
        await AlterAsync("""{"changes": [{"ip": "127.0.0.1", "limits": {"connection_creation_rate": 1}}]}""");
        // Ten at once, and eleven that wait for up to ten seconds.
        await using (var first = await RawExchange.SendAsync(_broker,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            Assert.StartsWith("HTTP/1.1 200", await first.ReadToEndAsync(), StringComparison.Ordinal);
        var clients = new List<TcpClient>();
        var deadline = DateTime.UtcNow + RunningBroker.Patience;
        while (!_broker.Log.Contains("HTTP connection from 127.0.0.1 was closed: that address has made more", StringComparison.Ordinal))
        {
            Assert.True(DateTime.UtcNow < deadline, "No connection was closed.");
            clients.Add(new TcpClient());
            try
            {
                await clients[^1].ConnectAsync(IPAddress.Loopback, _broker.Http.BaseAddress!.Port);
            }
            catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
            {
                // It was closed before its client had noticed that it was made: the log says so soon.
            }
        }
        // The connection that was made before goes on.
        Assert.Equal("ok", await _broker.Http.GetStringAsync("/healthz"));
        clients.ForEach(static client => client.Dispose());
    }

    [Fact]
    public async Task Mutations_beyond_the_rate_are_refused()
    {
        await AlterAsync("""{"changes": [{"user": "ANONYMOUS", "limits": {"controller_mutation_rate": 0.1}}]}""");
        using (var created = await _broker.Http.PutAsync("/api/topics/one", RunningBroker.Json("""{"partitions": 3}""")))
            Assert.True(created.IsSuccessStatusCode);
        using var refused = await _broker.Http.PutAsync("/api/topics/two", RunningBroker.Json("""{"partitions": 1}"""));
        await RunningBroker.AssertProblemAsync(refused, 429, ErrorCode.ThrottlingQuotaExceeded, "controller_mutation_rate");
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 20);
        using var deletion = await _broker.Http.DeleteAsync("/api/topics/one");
        await RunningBroker.AssertProblemAsync(deletion, 429, ErrorCode.ThrottlingQuotaExceeded);
    }

    [Fact]
    public async Task Impossible_number_of_partitions_takes_nothing()
    {
        await AlterAsync("""{"changes": [{"user": "ANONYMOUS", "limits": {"controller_mutation_rate": 1}}]}""");
        using (var created = await _broker.Http.PutAsync("/api/topics/one", RunningBroker.Json("""{"partitions": 1}""")))
            Assert.True(created.IsSuccessStatusCode);
        using (var huge = await _broker.Http.PutAsync("/api/topics/two", RunningBroker.Json("""{"partitions": 2147483647}""")))
            Assert.Equal(HttpStatusCode.BadRequest, huge.StatusCode);
        using (var more = await _broker.Http.PatchAsync("/api/topics/one", RunningBroker.Json("""{"partitions": 2147483647}""")))
            Assert.Equal(HttpStatusCode.BadRequest, more.StatusCode);
        using var possible = await _broker.Http.PutAsync("/api/topics/two", RunningBroker.Json("""{"partitions": 1}"""));
        Assert.True(possible.IsSuccessStatusCode);
    }

    private async Task AlterAsync(string body)
    {
        using var response = await _broker.Http.PostAsync("/api/quotas", RunningBroker.Json(body));
        Assert.True(response.StatusCode == HttpStatusCode.NoContent, await response.Content.ReadAsStringAsync());
    }

    private Task<HttpResponseMessage> ScheduleAsync(string id) => _broker.Http.PostAsync("/api/schedules/orders",
        RunningBroker.Json($$"""{"id": "{{id}}", "at": "2090-01-01T00:00:00Z", "value": "reminder"}"""));

    private async Task<HttpResponseMessage> ProduceAsync(string value, CancellationToken cancellationToken)
    {
        using var content = new ByteArrayContent(TestBatches.Of(value));
        content.Headers.ContentType = new System.Net.Http.Headers.MediaTypeHeaderValue(HttpContract.RecordBatchMediaType);
        return await _broker.Http.PostAsync("/api/topics/orders/partitions/0/batches", content, cancellationToken);
    }
}
