using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Silo.Http;

public sealed class BatchApiTests(RunningBroker broker) : IClassFixture<RunningBroker>, IDisposable
{
    public void Dispose() => broker.Script.OnProduce = null;

    [Fact]
    public async Task Raw_batch_round_trips()
    {
        var topic = await broker.CreateTopicAsync();
        using var produced = await PostAsync(topic, Batch("one", "two"), "?acks=1");
        Assert.Equal(HttpStatusCode.OK, produced.StatusCode);
        var answer = JsonDocument.Parse(await produced.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal((0L, -1L, 0L),
            (answer.GetProperty("baseOffset").GetInt64(), answer.GetProperty("logAppendTime").GetInt64(),
                answer.GetProperty("logStartOffset").GetInt64()));
        using var more = await PostAsync(topic, Batch("three"));

        using var fetched = await broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/batches?offset=1");
        Assert.Equal(HttpStatusCode.OK, fetched.StatusCode);
        Assert.Equal(HttpContract.RecordBatchMediaType, fetched.Content.Headers.ContentType!.MediaType);
        Assert.Equal(["3", "3", "0"],
            new[] { HttpContract.HighWatermarkHeader, HttpContract.LastStableOffsetHeader, HttpContract.LogStartOffsetHeader }
            .Select(name => fetched.Headers.GetValues(name).Single()));
        Assert.Equal(["one", "two", "three"], Values(await fetched.Content.ReadAsByteArrayAsync()));
    }

    [Fact]
    public async Task Empty_read_is_an_empty_body()
    {
        var topic = await broker.CreateTopicAsync();
        using var fetched =
            await broker.Http.GetAsync(
                $"/api/topics/{topic}/partitions/0/batches?offset=0&waitMs=1&minBytes=1&maxBytes=10&isolation=read_committed");
        Assert.Equal(HttpStatusCode.OK, fetched.StatusCode);
        Assert.Equal(0, fetched.Content.Headers.ContentLength);
        Assert.Equal("0", fetched.Headers.GetValues(HttpContract.HighWatermarkHeader).Single());
    }

    [Fact]
    public async Task Body_of_several_megabytes_is_returned_whole()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes":"20000000"}""");
        var value = new string('z', 9_000_000);
        using var produced = await PostAsync(topic, Batch(value));
        Assert.Equal(HttpStatusCode.OK, produced.StatusCode);
        Assert.Equal([value], Values(await broker.Http.GetByteArrayAsync($"/api/topics/{topic}/partitions/0/batches?offset=0")));
    }

    [Theory]
    [InlineData("", "offset")]
    [InlineData("?offset=-1", "offset")]
    [InlineData("?offset=0&maxBytes=0", "maxBytes")]
    [InlineData("?offset=0&minBytes=-1", "minBytes")]
    [InlineData("?offset=0&waitMs=x", "waitMs")]
    [InlineData("?offset=0&isolation=all", "isolation")]
    [InlineData("?offset=0&max=1", "max")]
    public async Task Invalid_read_is_refused_by_its_parameter(string query, string name)
    {
        using var response = await broker.Http.GetAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/batches{query}");
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, name);
    }

    [Fact]
    public async Task Offset_outside_the_log_is_refused()
    {
        using var response = await broker.Http.GetAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/batches?offset=5");
        await RunningBroker.AssertProblemAsync(response, 416, ErrorCode.OffsetOutOfRange);
    }

    [Fact]
    public async Task Bytes_that_are_no_batch_are_refused()
    {
        var topic = await broker.CreateTopicAsync();
        using var nothing = await PostAsync(topic, []);
        await RunningBroker.AssertProblemAsync(nothing, 400, ErrorCode.CorruptMessage);
        var damaged = Batch("one");
        damaged[^1] ^= 1;
        using var wrong = await PostAsync(topic, damaged);
        await RunningBroker.AssertProblemAsync(wrong, 400, ErrorCode.CorruptMessage);
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData(null)]
    public async Task Other_content_type_is_refused(string? type)
    {
        var content = new ByteArrayContent(Batch("one"));
        content.Headers.ContentType = type is null ? null : MediaTypeHeaderValue.Parse(type);
        using var response = await broker.Http.PostAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/batches", content);
        await RunningBroker.AssertProblemAsync(response, 415, ErrorCode.InvalidRequest, HttpContract.RecordBatchMediaType);
    }

    [Fact]
    public async Task Batch_above_the_topics_limit_is_refused()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes":"1000"}""");
        using var response = await PostAsync(topic, Batch(new string('x', 2000)));
        await RunningBroker.AssertProblemAsync(response, 413, ErrorCode.MessageTooLarge);
    }

    [Fact]
    public async Task Excessive_length_is_refused_before_it_is_read()
    {
        var topic = await broker.CreateTopicAsync();
        await using var exchange = await RawExchange.SendAsync(broker,
            $"POST /api/topics/{topic}/partitions/0/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            + $"{HttpContract.RecordBatchMediaType}\r\nContent-Length: 9999999999\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 413", await exchange.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Chunked_batch_is_refused()
    {
        var topic = await broker.CreateTopicAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post,
            $"/api/topics/{topic}/partitions/0/batches") { Content = new ByteArrayContent(Batch("one")) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(HttpContract.RecordBatchMediaType);
        request.Headers.TransferEncodingChunked = true;
        using var response = await broker.Http.SendAsync(request);
        await RunningBroker.AssertProblemAsync(response, 411, ErrorCode.InvalidRequest, "Content-Length");
    }

    [Fact]
    public async Task Batch_with_damaged_records_is_refused_where_it_is_verified_and_named_when_it_is_read()
    {
        // The header says gzip, but the records are plain.
        var batch = Batch("two");
        batch[22] = 1;
        BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(RecordBatchHeader.CrcStart)));
        var verifying = new RunningBroker { Settings = broker.Settings with { VerifyCompressed = true } };
        await verifying.InitializeAsync();
        try
        {
            using var refused = await PostAsync(verifying, await verifying.CreateTopicAsync(), batch);
            await RunningBroker.AssertProblemAsync(refused, 400, ErrorCode.CorruptMessage);
        }
        finally
        {
            await verifying.DisposeAsync();
        }

        var topic = await broker.CreateTopicAsync();
        foreach (var sent in (byte[][])[Batch("one"), batch])
        {
            using var accepted = await PostAsync(topic, sent);
            Assert.Equal(HttpStatusCode.OK, accepted.StatusCode);
        }
        var lines = await broker.ConsumeAsync(topic, 0);
        Assert.Equal("one", lines[0].GetProperty("value").GetString());
        Assert.Equal(("CorruptMessage", 1L), (lines[1].GetProperty("code").GetString(), lines[1].GetProperty("offset").GetInt64()));
        using var first = await broker.Http.GetAsync($"/api/topics/{topic}/partitions/0/records?offset=1");
        await RunningBroker.AssertProblemAsync(first, 400, ErrorCode.CorruptMessage, "Offset 1 cannot be read",
            "To pass this batch, continue with offset=2.");
    }

    [Fact]
    public async Task Duplicate_is_answered_with_the_original_offset_and_a_gap_is_refused()
    {
        var topic = await broker.CreateTopicAsync();
        using var identified = await broker.Http.PostAsync("/api/producers", null);
        var producer = JsonDocument.Parse(await identified.Content.ReadAsStringAsync()).RootElement.GetProperty("producerId").GetInt64();
        for (var i = 0; i < 2; i++)
        {
            using var same = await PostAsync(topic, Batch(producer, 0, "one"));
            Assert.Equal(0, JsonDocument.Parse(await same.Content.ReadAsStringAsync()).RootElement.GetProperty("baseOffset").GetInt64());
        }
        using var gap = await PostAsync(topic, Batch(producer, 5, "late"));
        await RunningBroker.AssertProblemAsync(gap, 409, ErrorCode.OutOfOrderSequenceNumber);
    }

    [Fact]
    public async Task Client_library_uses_the_same_contract()
    {
        using var client = new HttpBroker(broker.Http.BaseAddress!);
        var topic = await broker.CreateTopicAsync();
        var produced = await client.ProduceAsync(new TopicPartition(topic, 0), Batch("a", "b"), Acks.All);
        Assert.Equal((ErrorCode.None, 0L), (produced.Error, produced.BaseOffset));
        using (var fetched = await client.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), 0)))
            Assert.Equal(["a", "b"], Values(fetched.Records.ToArray()));
        var found = await client.FindOffsetAsync(new TopicPartition(topic, 0), OffsetSpec.Latest);
        Assert.Equal((ErrorCode.None, 2L), (found.Error, found.Offset));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition,
            (await client.ProduceAsync(new TopicPartition("nowhere", 0), Batch("a"), Acks.All)).Error);
        Assert.Equal(2, await client.DeleteRecordsAsync(new TopicPartition(topic, 0), -1));
        Assert.Equal("standalone", (await client.DescribeClusterAsync()).Flavour);
    }

    [Theory]
    [InlineData("?at=earliest", 0, -1)]
    [InlineData("?at=latest", 3, -1)]
    [InlineData("", 3, -1)]
    [InlineData("?at=latest-proven", 3, -1)]
    [InlineData("?at=max-timestamp", 1, 3000)]
    [InlineData("?at=2000", 1, 3000)]
    [InlineData("?at=9000", -1, -1)]
    public async Task Offsets_are_found(string query, long offset, long timestamp)
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic,
            "{\"value\":\"a\",\"timestamp\":1000}\n{\"value\":\"b\",\"timestamp\":3000}\n{\"value\":\"c\",\"timestamp\":2000}");
        var found = JsonDocument.Parse(await broker.Http.GetStringAsync($"/api/topics/{topic}/partitions/0/offsets{query}")).RootElement;
        Assert.Equal((offset, timestamp), (found.GetProperty("offset").GetInt64(), found.GetProperty("timestamp").GetInt64()));
    }

    [Theory]
    [InlineData("0", "?at=noon", 400, ErrorCode.InvalidRequest, "at")]
    [InlineData("0", "?at=-2", 400, ErrorCode.InvalidRequest, "at")]
    [InlineData("9", "", 404, ErrorCode.UnknownTopicOrPartition, "9")]
    public async Task Invalid_lookup_is_refused(string partition, string query, int status, ErrorCode code, string named)
    {
        using var response =
            await broker.Http.GetAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/{partition}/offsets{query}");
        await RunningBroker.AssertProblemAsync(response, status, code, named);
    }

    [Fact]
    public async Task Records_are_deleted_up_to_an_offset()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, "{\"value\":\"a\"}\n{\"value\":\"b\"}\n{\"value\":\"c\"}");
        using var deleted = await broker.Http.PostAsync($"/api/topics/{topic}/partitions/0/delete-records",
            RunningBroker.Json("""{"beforeOffset":2}"""));
        Assert.Equal("""{"logStartOffset":2}""", await deleted.Content.ReadAsStringAsync());
        Assert.Equal("c", Assert.Single(await broker.ConsumeAsync(topic, 0)).GetProperty("value").GetString());
    }

    [Theory]
    [InlineData("", 400, ErrorCode.InvalidRequest)]
    [InlineData("{}", 400, ErrorCode.InvalidRequest)]
    [InlineData("""{"beforeOffset":"2"}""", 400, ErrorCode.InvalidRequest)]
    [InlineData("""{"beforeOffset":-2}""", 416, ErrorCode.OffsetOutOfRange)]
    [InlineData("""{"beforeOffset":7}""", 416, ErrorCode.OffsetOutOfRange)]
    public async Task Invalid_deletion_is_refused(string body, int status, ErrorCode code)
    {
        using var response = await broker.Http.PostAsync($"/api/topics/{await broker.CreateTopicAsync()}/partitions/0/delete-records",
            RunningBroker.Json(body));
        await RunningBroker.AssertProblemAsync(response, status, code);
    }

    private static byte[] Batch(params string[] values) => Batch(-1, -1, values);

    private static byte[] Batch(long producer, int sequence, params string[] values)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var value in values)
            builder.Add(1_767_225_600_000, default, hasKey: false, Encoding.UTF8.GetBytes(value), hasValue: true);
        if (producer >= 0)
            builder.SetProducer(producer, 0, sequence);
        return builder.Build().ToArray();
    }

    private static string[] Values(byte[] batches)
    {
        var values = new List<string>();
        using var reader = new RecordReader(batches, StandardCodecs.All);
        while (reader.MoveNext())
            values.Add(Encoding.UTF8.GetString(reader.Current.Value!.Value.Span));
        return [.. values];
    }

    private Task<HttpResponseMessage> PostAsync(string topic, byte[] batch, string query = "") => PostAsync(broker, topic, batch, query);

    private static Task<HttpResponseMessage> PostAsync(RunningBroker broker, string topic, byte[] batch, string query = "")
    {
        var content = new ByteArrayContent(batch);
        content.Headers.ContentType = new MediaTypeHeaderValue(HttpContract.RecordBatchMediaType);
        return broker.Http.PostAsync($"/api/topics/{topic}/partitions/0/batches{query}", content);
    }
}
