using System.Net;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Partitioning;

namespace OrleansMq.Tests.Silo.Http;

public sealed class ProduceRecordsTests(RunningBroker broker) : IClassFixture<RunningBroker>, IDisposable
{
    public void Dispose() => broker.Script.OnProduce = null;

    [Theory]
    [InlineData("none")]
    [InlineData("gzip")]
    [InlineData("snappy")]
    [InlineData("lz4")]
    [InlineData("zstd")]
    public async Task Records_round_trip(string compression)
    {
        var topic = await broker.CreateTopicAsync();
        var answers = await broker.ProduceAllAsync(topic, """
            {"key":"k","value":"v \"quoted\" €","headers":{"h":"x","n":null},"timestamp":1767225600000}
            {"value":null,"timestamp":1767225600001}
            {"key":"","value":""}
            """, $"?compression={compression}&acks=1");
        Assert.Equal([0L, 1, 2], answers.Select(a => a.GetProperty("offset").GetInt64()));

        var records = await broker.ConsumeAsync(topic, 0);
        Assert.Equal(
            """{"partition":0,"offset":0,"timestamp":1767225600000,"key":"k","value":"v \"quoted\" €","headers":{"h":"x","n":null}}""",
            records[0].GetRawText());
        Assert.Equal("""{"partition":0,"offset":1,"timestamp":1767225600001,"key":null,"value":null}""", records[1].GetRawText());
        Assert.Equal(("", ""), (records[2].GetProperty("key").GetString(), records[2].GetProperty("value").GetString()));
        Assert.InRange(records[2].GetProperty("timestamp").GetInt64(), 1767225600000, long.MaxValue);
    }

    [Theory]
    [InlineData("false", "false", "all", Acks.Replicated)]
    [InlineData("false", "true", "all", Acks.All)]
    [InlineData("null", "true", "all", Acks.All)]
    [InlineData("false", "false", "1", Acks.Leader)]
    [InlineData("true", "true", "replicated", Acks.Replicated)]
    public async Task Batch_needs_a_flush_if_one_of_its_records_does(string first, string second, string acks, Acks sent)
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, $$"""
            {"value":"a","persistent":{{first}}}
            {"value":"b","persistent":{{second}}}
            """, $"?acks={acks}");
        Assert.Equal(sent, (Acks)broker.Script.LatestAcks);
        var records = await broker.ConsumeAsync(topic, 0);
        Assert.Equal([first, second], records.Select((record, i) => record.TryGetProperty("headers", out var headers)
            ? headers.GetProperty("omq.persistent").GetString() : i == 0 && first == "null" ? "null" : "true"));
    }

    [Fact]
    public async Task Arbitrary_bytes_round_trip_as_base64()
    {
        var topic = await broker.CreateTopicAsync();
        await broker.ProduceAllAsync(topic, """{"key":"AP8=","value":"/w==","headers":{"h":"gA=="},"timestamp":1}""", "?encoding=base64");
        Assert.Equal("""{"partition":0,"offset":0,"timestamp":1,"key":"AP8=","value":"/w==","headers":{"h":"gA=="}}""",
            (await broker.ConsumeAsync(topic, 0, "?encoding=base64")).Single().GetRawText());
    }

    [Fact]
    public async Task Requested_partition_is_honoured_and_keys_use_Kafkas_partitioner()
    {
        var topic = await broker.CreateTopicAsync(partitions: 5);
        var lines = string.Join('\n', Enumerable.Range(0, 50).Select(i => $$"""{"key":"key-{{i}}","value":"v"}""")
            .Append("""{"key":"key-1","value":"v","partition":4}"""));
        var answers = await broker.ProduceAllAsync(topic, lines);
        for (var i = 0; i < 50; i++)
            Assert.Equal(Murmur2Partitioner.ForKey(Encoding.UTF8.GetBytes($"key-{i}"), 5), answers[i].GetProperty("partition").GetInt32());
        Assert.Equal(4, answers[50].GetProperty("partition").GetInt32());
    }

    [Fact]
    public async Task Records_without_a_key_share_a_partition_per_request_and_requests_rotate()
    {
        var topic = await broker.CreateTopicAsync(partitions: 3);
        var partitions = new HashSet<int>();
        for (var i = 0; i < 12; i++)
        {
            var answers = await broker.ProduceAllAsync(topic, "{\"value\":\"a\"}\n{\"value\":\"b\"}\n");
            partitions.Add(Assert.Single(answers.Select(a => a.GetProperty("partition").GetInt32()).Distinct()));
        }
        Assert.Equal(3, partitions.Count);
    }

    [Fact]
    public async Task Hundred_thousand_lines_stream_and_are_answered_in_order()
    {
        const int count = 100_000;
        var topic = await broker.CreateTopicAsync(partitions: 4);
        var text = new StringBuilder();
        for (var i = 0; i < count; i++)
            text.Append("{\"key\":\"").Append(i % 1000).Append("\",\"value\":\"value number ").Append(i).Append("\"}\n");
        var answers = await broker.ProduceAllAsync(topic, text.ToString());
        Assert.Equal(count, answers.Length);

        var found = new string[count];
        for (var partition = 0; partition < 4; partition++)
        {
            var records = await broker.ConsumeAsync(topic, partition);
            for (var i = 0; i < count; i++)
            {
                if (answers[i].GetProperty("partition").GetInt32() == partition)
                    found[i] = records[answers[i].GetProperty("offset").GetInt32()].GetProperty("value").GetString()!;
            }
        }
        for (var i = 0; i < count; i++)
            Assert.Equal($"value number {i}", found[i]);
    }

    [Fact]
    public async Task Many_partitions_do_not_need_a_batch_in_memory_each()
    {
        // 200 partitions and 20 MB: more than the builders hold, so that batches are sent before they are full.
        const int partitions = 200;
        const int count = 20_000;
        var topic = await broker.CreateTopicAsync(partitions);
        var before = broker.Script.Produced;
        var answers = await broker.ProduceAllAsync(topic, string.Concat(Enumerable.Range(0, count).Select(i =>
            $$"""{"value":"{{i}} {{new string('x', 1000)}}","partition":{{i % partitions}}}""" + "\n")));
        for (var i = 0; i < count; i++)
            Assert.Equal((i % partitions, i / partitions),
                (answers[i].GetProperty("partition").GetInt32(), answers[i].GetProperty("offset").GetInt32()));
        Assert.True(broker.Script.Produced - before >= 2 * partitions, "each partition got all its records in one batch");
        var last = await broker.ConsumeAsync(topic, partitions - 1);
        Assert.Equal(Enumerable.Range(0, count / partitions).Select(i => $"{(i * partitions) + partitions - 1}"),
            last.Select(r => r.GetProperty("value").GetString()!.Split(' ')[0]));
    }

    [Fact]
    public async Task Lines_are_answered_while_the_request_is_open()
    {
        var topic = await broker.CreateTopicAsync();
        await using var exchange = await OpenExchange.StartAsync(broker, topic);
        for (var i = 0; i < 3; i++)
        {
            await exchange.SendAsync($$"""{"value":"{{i}}"}""" + "\n");
            Assert.Equal($$"""{"partition":0,"offset":{{i}}}""", await exchange.ReadLineAsync());
        }
        await exchange.SendAsync("""{"value":"without a line feed"}""");
        await exchange.EndAsync();
        Assert.Equal("""{"partition":0,"offset":3}""", await exchange.ReadLineAsync());
        Assert.Null(await exchange.ReadLineAsync());
    }

    [Fact]
    public async Task Invalid_line_ends_the_stream_after_the_lines_before_it()
    {
        var topic = await broker.CreateTopicAsync();
        using var response = await broker.ProduceAsync(topic,
            "{\"value\":\"a\"}\n\n{\"value\":\"b\"}\r\n{\"value\":5}\n{\"value\":\"c\"}\n");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var lines = RunningBroker.Lines(await response.Content.ReadAsStringAsync());
        Assert.Equal([0L, 1], lines[..2].Select(l => l.GetProperty("offset").GetInt64()));
        Assert.StartsWith("line 4: value: ", lines[2].GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(("InvalidRequest", 4), (lines[2].GetProperty("code").GetString(), lines[2].GetProperty("line").GetInt32()));
        Assert.Equal(3, lines.Length);
        Assert.Equal(["a", "b"], (await broker.ConsumeAsync(topic, 0)).Select(r => r.GetProperty("value").GetString()));
    }

    [Theory]
    [InlineData("""{"value":5}""", ErrorCode.InvalidRequest, 400, "line 1: value")]
    [InlineData("\n\nnonsense", ErrorCode.InvalidRequest, 400, "line 3: not valid JSON")]
    [InlineData("""{"value":"a","partition":7}""", ErrorCode.UnknownTopicOrPartition, 404, "line 1: partition: 7")]
    public async Task Request_that_appended_nothing_has_an_error_status(string lines, ErrorCode code, int status, string named)
    {
        var topic = await broker.CreateTopicAsync();
        using var response = await broker.ProduceAsync(topic, lines);
        await RunningBroker.AssertProblemAsync(response, status, code, named);
        Assert.Empty(await broker.ConsumeAsync(topic, 0));
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n \r\n")]
    public async Task Request_without_records_has_no_answers(string lines) =>
        Assert.Empty(await broker.ProduceAllAsync(await broker.CreateTopicAsync(), lines));

    [Fact]
    public async Task Byte_order_mark_before_the_first_line_is_skipped() =>
        Assert.Equal(2,
            (await broker.ProduceAllAsync(await broker.CreateTopicAsync(), "\uFEFF{\"value\":\"a\"}\n{\"value\":\"b\"}")).Length);

    [Theory]
    [InlineData("?acks=2", "acks", "0, 1, replicated or all")]
    [InlineData("?compression=rar", "compression", "none, gzip, snappy, lz4 or zstd")]
    [InlineData("?encoding=hex", "encoding", "utf8 or base64")]
    [InlineData("?ack=1", "'ack'", "acks, compression, encoding")]
    [InlineData("?acks=1&acks=1", "acks", "2 times")]
    public async Task Invalid_parameter_is_refused_by_its_name(string query, string name, string allowed)
    {
        using var response = await broker.ProduceAsync(await broker.CreateTopicAsync(), """{"value":"a"}""", query);
        await RunningBroker.AssertProblemAsync(response, 400, ErrorCode.InvalidRequest, name, allowed);
    }

    [Fact]
    public async Task Unknown_topic_is_not_found()
    {
        using var response = await broker.ProduceAsync("nowhere", """{"value":"a"}""");
        await RunningBroker.AssertProblemAsync(response, 404, ErrorCode.UnknownTopicOrPartition, "nowhere");
    }

    [Fact]
    public async Task Batches_fit_the_topic_limit_and_a_larger_record_is_refused()
    {
        var topic = await broker.CreateTopicAsync(configs: """{"max.message.bytes":"10000"}""");
        var small = string.Concat(Enumerable.Repeat($$"""{"value":"{{new string('x', 900)}}"}""" + "\n", 100));
        Assert.All(await broker.ProduceAllAsync(topic, small), answer => Assert.True(answer.TryGetProperty("offset", out _)));

        using var large = await broker.ProduceAsync(topic, $$"""{"value":"{{new string('x', 20_000)}}"}""");
        await RunningBroker.AssertProblemAsync(large, 413, ErrorCode.MessageTooLarge);
        using var endless = await broker.ProduceAsync(topic, $$"""{"value":"{{new string('x', 100_000)}}"}""");
        await RunningBroker.AssertProblemAsync(endless, 413, ErrorCode.MessageTooLarge, "line 1", "max.message.bytes");
    }

    [Theory]
    [InlineData(ErrorCode.NotEnoughReplicas, 503)]
    [InlineData(ErrorCode.RequestTimedOut, 504)]
    [InlineData(ErrorCode.KafkaStorageError, 503)]
    [InlineData(ErrorCode.OutOfOrderSequenceNumber, 409)]
    [InlineData(ErrorCode.UnknownServerError, 500)]
    public async Task Refused_request_has_the_status_of_its_outcome(ErrorCode code, int status)
    {
        var topic = await broker.CreateTopicAsync();
        broker.Script.OnProduce = (_, _) => new(ProduceResult.Failed(code, "because"));
        using var response = await broker.ProduceAsync(topic, "{\"value\":\"a\"}\n{\"value\":\"b\"}\n");
        await RunningBroker.AssertProblemAsync(response, status, code, "because");
    }

    [Fact]
    public async Task Refused_batch_is_answered_for_each_record_and_others_continue()
    {
        var topic = await broker.CreateTopicAsync(partitions: 2);
        broker.Script.OnProduce = (partition, _) => partition.Partition == 1
            ? new(ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "too few")) : null;
        var lines = await broker.ProduceAllAsync(topic,
            "{\"value\":\"a\",\"partition\":1}\n{\"value\":\"b\",\"partition\":0}\n{\"value\":\"c\",\"partition\":1}\n");
        Assert.Equal(["too few", "offset 0", "too few"],
            lines.Select(l => l.TryGetProperty("error", out var error) ? error.GetString() : $"offset {l.GetProperty("offset")}"));
        Assert.Equal(("NotEnoughReplicas", true, 1),
            (lines[0].GetProperty("code").GetString(), lines[0].GetProperty("retriable").GetBoolean(),
                lines[0].GetProperty("partition").GetInt32()));
    }

    [Fact]
    public async Task Internal_error_in_one_batch_is_its_answer_alone_and_is_logged()
    {
        var topic = await broker.CreateTopicAsync(partitions: 2);
        broker.Script.OnProduce = (partition, _) => partition.Partition == 1 ? throw new InvalidOperationException("a bug in a batch")
            : null;
        var lines = await broker.ProduceAllAsync(topic,
            "{\"value\":\"a\",\"partition\":1}\n{\"value\":\"b\",\"partition\":0}\n{\"value\":\"c\",\"partition\":1}\n");
        Assert.Equal(["UnknownServerError", "offset 0", "UnknownServerError"],
            lines.Select(l => l.TryGetProperty("code", out var code) ? code.GetString() : $"offset {l.GetProperty("offset")}"));
        Assert.Contains("InvalidOperationException", lines[0].GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Contains("a bug in a batch", broker.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_that_reads_only_after_sending_everything_is_served()
    {
        // HttpClient over HTTP/1.1 is such a client. The answers to 300,000 records far exceed the socket buffers.
        const int count = 300_000;
        var topic = await broker.CreateTopicAsync();
        var answers = await broker.ProduceAllAsync(topic, string.Concat(Enumerable.Repeat("{\"value\":\"x\"}\n", count)));
        Assert.Equal(Enumerable.Range(0, count).Select(i => (long)i), answers.Select(a => a.GetProperty("offset").GetInt64()));
    }

    [Fact]
    public async Task Batch_memory_is_kept_until_the_broker_answers_a_disconnected_client()
    {
        var topic = await broker.CreateTopicAsync();
        var arrived = new TaskCompletionSource<Memory<byte>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource<ProduceResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        broker.Script.OnProduce = (_, batch) =>
        {
            arrived.SetResult(batch);
            return new ValueTask<ProduceResult>(answer.Task);
        };
        Memory<byte> batch;
        await using (var exchange = await OpenExchange.StartAsync(broker, topic))
        {
            await exchange.SendAsync("{\"value\":\"mine\"}\n");
            batch = await arrived.Task.WaitAsync(RunningBroker.Patience);
        }
        var before = batch.ToArray();
        broker.Script.OnProduce = null;
        for (var i = 0; i < 20; i++)
            await broker.ProduceAllAsync(topic, $$"""{"value":"{{new string('y', i * 100)}}"}""");
        Assert.Equal(before, batch.ToArray());
        answer.SetResult(new ProduceResult(ErrorCode.None, 0));
    }
}
