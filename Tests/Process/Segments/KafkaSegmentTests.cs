using System.Text;
using System.Text.Json;
using Confluent.Kafka;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using KafkaCompression = Confluent.Kafka.CompressionType;

namespace OrleansMq.Tests.Process.Segments;

/// <summary>The files of records that a Kafka client wrote.</summary>
public sealed class KafkaSegmentTests : IDisposable
{
    private const int RecordsPerCodec = 200;

    private static readonly KafkaCompression[] Codecs = [KafkaCompression.None, KafkaCompression.Gzip, KafkaCompression.Snappy,
        KafkaCompression.Lz4, KafkaCompression.Zstd];

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Dump_finds_every_record_and_every_byte_matches_the_format()
    {
        var (sent, logs) = await WriteAsync();
        var dumped = new List<JsonElement>();
        var offset = 0L;
        foreach (var log in logs)
        {
            Assert.Equal($"{offset:D20}.log", Path.GetFileName(log));
            var batches = (await RunningProgram.OmqAsync(["dump", log, "--json"])).Expect(0)
                .Lines.Select(static line => JsonSerializer.Deserialize<JsonElement>(line)).ToList();
            dumped.AddRange(batches.SelectMany(static batch => batch.GetProperty("records").EnumerateArray()));
            offset = await SegmentLayout.AssertAsync(log, offset, batches);
        }
        Assert.Equal(sent.Select(Show), dumped.Select(Show));
        Assert.Equal(Enumerable.Range(0, sent.Count).Select(static number => (long)number),
            dumped.Select(static record => record.GetProperty("offset").GetInt64()));
    }

    [SkippableFact]
    public async Task Kafkas_dump_tool_reads_the_segments_without_complaint()
    {
        ClientProgram.RequireKafka();
        var (sent, logs) = await WriteAsync();
        var files =
            logs.SelectMany(static log => new[] { log, Path.ChangeExtension(log, ".index"), Path.ChangeExtension(log, ".timeindex") });
        var told = await ClientProgram.JavaAsync("org.apache.kafka.tools.DumpLogSegments",
            ["--deep-iteration", "--print-data-log", "--files", string.Join(',', files)]);
        Assert.Equal(sent.Count, told.Split('\n').Count(static line => line.StartsWith("| offset: ", StringComparison.Ordinal)));
        foreach (var complaint in new[] { "mismatch", "out of order", "could not", "corrupt", "invalid bytes", "isvalid: false" })
            Assert.DoesNotContain(complaint, told, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Writes records with a client, stops the broker, and returns the records and their segments.</summary>
    private async Task<(IReadOnlyList<Message<string?, string?>> Sent, string[] Logs)> WriteAsync()
    {
        Librdkafka.Require();
        await using var broker = await RunningBroker.UpAsync(_directory["data"], 0, "--kafka", "127.0.0.1:0");
        (await broker.OmqAsync(["topic", "create", "orders", "--partitions", "1", "--config", "segment.bytes=65536"])).Expect(0);
        var sent = await ProduceAsync(broker.Field("kafka"));
        broker.Program.Signal(15);
        (await broker.Program.ExitAsync()).Expect(0);
        var logs = Directory.GetFiles(Path.Combine(_directory["data"], "logs", "orders-0"), "*.log").Order(StringComparer.Ordinal)
            .ToArray();
        Assert.True(logs.Length > 1, "The records are to fill more than one segment.");
        return (sent, logs);
    }

    private static async Task<IReadOnlyList<Message<string?, string?>>> ProduceAsync(string address)
    {
        var all = new List<Message<string?, string?>>();
        foreach (var codec in Codecs)
        {
            var config = new ProducerConfig { BootstrapServers = address, CompressionType = codec,
                EnableIdempotence = codec != KafkaCompression.Gzip, LingerMs = 20, BatchNumMessages = 50 };
            using var producer = new ProducerBuilder<string?, string?>(config).Build();
            var some = Enumerable.Range(0, RecordsPerCodec).Select(number => new Message<string?, string?>
            {
                Key = number % 3 == 0 ? null : $"{codec} {number}",
                Value = number % 7 == 0 ? null : new string((char)('a' + number % 26), number * 5),
                Timestamp = new Timestamp(1_767_225_600_000 + number * 1000, TimestampType.CreateTime),
                Headers = number % 2 == 0 ? [] : [new Header("codec", Encoding.UTF8.GetBytes($"{codec}")), new Header("empty", [])],
            }).ToArray();
            await Task.WhenAll(some.Select(message => producer.ProduceAsync("orders", message)));
            all.AddRange(some);
        }
        return all;
    }

    private static string Show(Message<string?, string?> message) =>
        $"{message.Timestamp.UnixTimestampMs} {message.Key ?? "null"}={message.Value ?? "null"} "
        + $"{string.Join(',', message.Headers.Select(static header => $"{header.Key}:{Encoding.UTF8.GetString(header.GetValueBytes())}"))}";

    private static string Show(JsonElement record)
    {
        var headers = record.GetProperty("headers").EnumerateArray()
            .Select(static header => $"{header.GetProperty("name").GetString()}:{header.GetProperty("value").GetString()}");
        return $"{record.GetProperty("timestamp")} "
            + $"{record.GetProperty("key").GetString() ?? "null"}={record.GetProperty("value").GetString() ?? "null"} "
            + string.Join(',', headers);
    }
}
