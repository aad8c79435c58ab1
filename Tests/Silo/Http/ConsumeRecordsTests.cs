using System.Net;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

public sealed class ConsumeRecordsTests(RunningBroker broker) : IClassFixture<RunningBroker>, IDisposable
{
    public void Dispose() => broker.Script.OnFetch = null;

    [Theory]
    [InlineData("", "0 1 2 3 4", "0")]
    [InlineData("?offset=earliest", "0 1 2 3 4", "0")]
    [InlineData("?offset=3", "3 4", "3")]
    [InlineData("?offset=5", "", "5")]
    [InlineData("?offset=latest", "", "5")]
    [InlineData("?offset=1&max=2", "1 2", "1")]
    [InlineData("?timestamp=1030", "3 4", "3")]
    [InlineData("?timestamp=1025&max=1", "3", "3")]
    [InlineData("?timestamp=9999", "", "5")]
    public async Task Read_starts_and_ends_where_requested(string query, string offsets, string start)
    {
        var topic = await broker.CreateTopicAsync();
        for (var i = 0; i < 5; i++)
            await broker.ProduceAllAsync(topic, $$"""{"value":"{{i}}","timestamp":{{1000 + (i * 10)}}}""");
        using var response = await broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/records{query}");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal(offsets,
            string.Join(' ', RunningBroker.Lines(await response.Content.ReadAsStringAsync())
                .Select(r => r.GetProperty("offset").GetInt64())));
        Assert.Equal(start, response.Headers.GetValues("Omq-Start-Offset").Single());
        Assert.Equal("5", response.Headers.GetValues("Omq-High-Watermark").Single());
        Assert.Equal("0", response.Headers.GetValues("Omq-Log-Start-Offset").Single());
    }

    [Fact]
    public async Task Committed_records_are_read_up_to_the_first_open_transaction_without_those_of_aborted_ones()
    {
        var topic = await broker.CreateTopicAsync();
        var name = new TopicPartition(topic, 0);
        Assert.True(broker.Local.TryGet(name, out var partition));
        LoggedTransactions.Append(partition, 1000, 7, 0, "aborted");
        LoggedTransactions.Append(partition, 1000, 8, 0, "committed");
        await LoggedTransactions.EndAsync(partition, 7, isCommit: false, 1);
        await LoggedTransactions.EndAsync(partition, 8, isCommit: true, 2);
        LoggedTransactions.Append(partition, 1000, 9, 0, "open");
        await broker.ProduceAllAsync(topic, """{"value":"plain"}""");

        Assert.Equal(["committed"], Values(await broker.ConsumeAsync(topic, 0, "?isolation=read_committed")));
        Assert.Equal(["aborted", "committed", "open", "plain"], Values(await broker.ConsumeAsync(topic, 0)));
        Assert.Equal(["committed"], await ReadAsync(name, IsolationLevel.ReadCommitted, 1));
        Assert.Equal(["aborted", "committed", "open", "plain"], await ReadAsync(name, IsolationLevel.ReadUncommitted, 4));
        await LoggedTransactions.EndAsync(partition, 9, isCommit: true, 3);
        Assert.Equal(["committed", "open", "plain"], await ReadAsync(name, IsolationLevel.ReadCommitted, 3));
    }

    [Fact]
    public async Task Committed_reader_that_begins_at_the_latest_reads_what_is_open_at_that_time()
    {
        var topic = await broker.CreateTopicAsync();
        var name = new TopicPartition(topic, 0);
        using var http = new HttpBroker(broker.Http.BaseAddress!);
        var producer = await TestTransactions.InitAsync(http, topic);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 0, "before");
        await producer.EndAsync(isCommit: true);
        await producer.SendAsync(topic, 0, await producer.AddAsync(topic, 0), 1, "open");

        // No record is that late.
        foreach (var query in (string[])["offset=latest", "timestamp=9999999999999"])
        {
            using var response = await broker.Http.GetAsync(
                $"/api/topics/{topic}/partitions/0/records?{query}&isolation=read_committed");
            Assert.Equal("2", response.Headers.GetValues("Omq-Start-Offset").Single());
        }
        var found = await broker.Http.GetStringAsync($"/api/topics/{topic}/partitions/0/offsets?at=latest&isolation=read_committed");
        Assert.Equal(2, JsonDocument.Parse(found).RootElement.GetProperty("offset").GetInt64());
        await using var reader = new PartitionReader<string?, string?>(http, Serdes.String, Serdes.String,
            new ReaderOptions { Isolation = IsolationLevel.ReadCommitted });
        reader.Assign(name, ReadFrom.Latest);
        Assert.Equal(2, await reader.GetPositionAsync(name));
        await producer.EndAsync(isCommit: true);
        Assert.Equal("open", (await reader.ReadAsync(RunningBroker.Patience))!.Value.Value);
    }

    [Fact]
    public async Task Offset_of_an_unknown_isolation_is_refused()
    {
        using var response = await broker.Http.GetAsync(
            $"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/offsets?at=latest&isolation=x");
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, "isolation", "read_committed");
    }

    private static IEnumerable<string?> Values(JsonElement[] lines) => lines.Select(static line => line.GetProperty("value").GetString());

    private async Task<List<string>> ReadAsync(TopicPartition partition, IsolationLevel isolation, int count)
    {
        using var http = new HttpBroker(broker.Http.BaseAddress!);
        await using var reader = new PartitionReader<string?, string?>(http, Serdes.String, Serdes.String,
            new ReaderOptions { Isolation = isolation });
        reader.Assign([partition], ReadFrom.Earliest);
        var values = new List<string>();
        while (values.Count < count)
            values.Add((await reader.ReadAsync(RunningBroker.Patience, CancellationToken.None))!.Value.Value!);
        Assert.Null(await reader.ReadAsync(TimeSpan.FromMilliseconds(50), CancellationToken.None));
        return values;
    }

    [Theory]
    [InlineData("records?offset=x", 400, ErrorCode.InvalidRequest, "offset")]
    [InlineData("records?offset=-1", 400, ErrorCode.InvalidRequest, "offset")]
    [InlineData("records?offset=0&timestamp=0", 400, ErrorCode.InvalidRequest, "timestamp")]
    [InlineData("records?timestamp=-5", 400, ErrorCode.InvalidRequest, "timestamp")]
    [InlineData("records?max=0", 400, ErrorCode.InvalidRequest, "max")]
    [InlineData("records?waitMs=600001", 400, ErrorCode.InvalidRequest, "waitMs")]
    [InlineData("records?isolation=x", 400, ErrorCode.InvalidRequest, "isolation")]
    [InlineData("records?encoding=x", 400, ErrorCode.InvalidRequest, "encoding")]
    [InlineData("records?limit=5", 400, ErrorCode.InvalidRequest, "limit")]
    [InlineData("records?offset=1", 416, ErrorCode.OffsetOutOfRange, "1")]
    public async Task Invalid_parameter_is_refused_by_its_name(string path, int status, ErrorCode code, string named)
    {
        using var response = await broker.Http.GetAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/{path}");
        await RunningBroker.AssertProblemAsync(response, status, code, named);
    }

    [Theory]
    [InlineData("nowhere", "0", 404, ErrorCode.UnknownTopicOrPartition)]
    [InlineData(null, "1", 404, ErrorCode.UnknownTopicOrPartition)]
    [InlineData(null, "first", 400, ErrorCode.InvalidRequest)]
    public async Task Unknown_topic_or_partition_is_refused(string? topic, string partition, int status, ErrorCode code)
    {
        using var response =
            await broker.Http.GetAsync($"/api/topics/{topic ?? await broker.CreateTopicAsync()}/partitions/{partition}/records");
        await RunningBroker.AssertProblemAsync(response, status, code, partition == "0" ? "nowhere" : partition);
    }

    [Fact]
    public async Task Long_poll_wakes_for_the_first_record()
    {
        var topic = await broker.CreateTopicAsync();
        var waiting = ArmFetch();
        var poll = broker.ConsumeAsync(topic, 0, "?waitMs=600000");
        await waiting.WaitAsync(RunningBroker.Patience);
        Assert.False(poll.IsCompleted);
        await broker.ProduceAllAsync(topic, """{"value":"now"}""");
        Assert.Equal("now", Assert.Single(await poll.WaitAsync(RunningBroker.Patience)).GetProperty("value").GetString());
    }

    [Fact]
    public async Task Long_poll_without_a_record_is_answered_at_its_timeout() =>
        Assert.Empty(await broker.ConsumeAsync(await broker.CreateTopicAsync(), 0, "?waitMs=20"));

    [Fact]
    public async Task Long_poll_ends_when_its_client_disconnects()
    {
        var topic = await broker.CreateTopicAsync();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        broker.Script.OnFetch = (_, cancellationToken) =>
        {
            cancellationToken.Register(() => ended.TrySetResult());
            waiting.TrySetResult();
            return null;
        };
        using var patience = new CancellationTokenSource();
        var poll = broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/records?waitMs=600000", patience.Token);
        await waiting.Task.WaitAsync(RunningBroker.Patience);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => poll);
        await ended.Task.WaitAsync(RunningBroker.Patience);
    }

    [Fact]
    public async Task Non_text_bytes_are_refused_with_a_remedy()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, """{"value":"/w=="}""", "?encoding=base64");
        using var first = await broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/records");
        await RunningBroker.AssertProblemAsync(first, 400, ErrorCode.InvalidRequest, "offset 0", "encoding=base64");

        topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, "{\"value\":\"YQ==\"}\n{\"value\":\"/w==\"}", "?encoding=base64");
        var lines = await broker.ConsumeAsync(topic, 0);
        Assert.Equal("a", lines[0].GetProperty("value").GetString());
        Assert.Contains("offset 1", lines[1].GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(1, lines[1].GetProperty("offset").GetInt64());
    }

    [Fact]
    public async Task Error_after_the_first_record_is_the_last_line()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, "{\"value\":\"a\"}");
        broker.Script.OnFetch = (request, _) => request.Offset == 0
            ? null : new(FetchResult.Failed(ErrorCode.NotLeaderOrFollower, "moved away"));
        var lines = await broker.ConsumeAsync(topic, 0);
        Assert.Equal("a", lines[0].GetProperty("value").GetString());
        Assert.Equal(("moved away", "NotLeaderOrFollower", 1L),
            (lines[1].GetProperty("error").GetString(), lines[1].GetProperty("code").GetString(),
                lines[1].GetProperty("offset").GetInt64()));
    }

    /// <summary>Returns a task that completes when a waiting fetch has reached the broker.</summary>
    private Task ArmFetch()
    {
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        broker.Script.OnFetch = (request, _) =>
        {
            if (request.MaxWait > TimeSpan.Zero)
                waiting.TrySetResult();
            return null;
        };
        return waiting.Task;
    }
}
