using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Kafka's own tool reads the files that the engine writes: logs, both indexes and producer snapshots.</summary>
public class DumpLogSegmentsTests
{
    private const int Batches = 400;
    private const int Producers = 3;

    private static readonly TopicConfig SmallSegments = TopicConfig.Default with { SegmentBytes = 128 << 10 };

    [SkippableFact]
    public async Task Every_record_is_found_as_written()
    {
        using var directory = new TemporaryDirectory();
        var (partition, expected) = await WriteAsync(directory.Path, SmallSegments);
        var logs = Files(partition, ".log");
        Assert.True(logs.Length >= 4, $"{logs.Length} segments; several rolls are wanted");

        var output = await DumpTool.RunAsync(logs, "--deep-iteration", "--print-data-log");

        DumpTool.AssertNoComplaint(output);
        var batches = DumpTool.BatchLine().Matches(output.Text);
        Assert.Equal(Batches, batches.Count);
        Assert.All(batches, batch => Assert.Equal("true", batch.Groups["valid"].Value));
        Assert.Equal(expected.Count, batches.Sum(batch => int.Parse(batch.Groups["count"].Value, CultureInfo.InvariantCulture)));
        Assert.Equal(5, batches.Select(batch => batch.Groups["codec"].Value).Distinct().Count());
        Assert.Equal(expected, DumpTool.RecordLine().Matches(output.Text).Select(line => line.Value));
    }

    [SkippableFact]
    public async Task Indexes_agree_with_the_log()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var indexes = Files(partition, ".index").Concat(Files(partition, ".timeindex")).ToArray();
        Assert.True(indexes.Length >= 8);
        Assert.All(Files(partition, ".index")[..^1], file => Assert.True(new FileInfo(file).Length > 8));

        var printed = await DumpTool.RunAsync(indexes);
        DumpTool.AssertNoComplaint(printed);
        Assert.Equal(SizeOf(partition, ".index") / 8, DumpTool.IndexEntry().Count(printed.Text));
        Assert.Equal(SizeOf(partition, ".timeindex") / 12, DumpTool.TimeIndexEntry().Count(printed.Text));

        DumpTool.AssertNoComplaint(await DumpTool.RunAsync(indexes, "--verify-index-only"));

        var sanity = await DumpTool.RunAsync(indexes, "--index-sanity-check");
        Assert.Equal(indexes.Length, DumpTool.SanityLine().Count(sanity.Text));
    }

    [SkippableFact]
    public async Task Producer_snapshots_are_read()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var snapshots = Files(partition, ".snapshot");
        Assert.NotEmpty(snapshots);

        var output = await DumpTool.RunAsync(snapshots);

        DumpTool.AssertNoComplaint(output);
        var last = output.Text[output.Text.LastIndexOf("Dumping", StringComparison.Ordinal)..];
        for (var producer = 0; producer < Producers; producer++)
            Assert.Contains($"producerId: {9000 + producer} producerEpoch: {producer} ", last);
    }

    [SkippableFact]
    public async Task LogAppendTime_and_recompressed_batches_are_read()
    {
        using var directory = new TemporaryDirectory();
        var config = SmallSegments with { TimestampType = TimestampType.LogAppendTime, CompressionType = CompressionType.Zstd };
        var (partition, expected) = await WriteAsync(directory.Path, config);
        var files = Files(partition, ".log").Concat(Files(partition, ".timeindex"));

        var output = await DumpTool.RunAsync(files, "--deep-iteration", "--print-data-log");

        DumpTool.AssertNoComplaint(output);
        Assert.Equal(Batches, DumpTool.BatchLine().Matches(output.Text).Count(batch => batch.Groups["codec"].Value == "zstd"));
        Assert.Equal(expected.Count, Regex.Count(output.Text, @"^\| offset: \d+ LogAppendTime: \d+ ", RegexOptions.Multiline));
    }

    [SkippableFact]
    public async Task Compacted_logs_are_read()
    {
        using var directory = new TemporaryDirectory();
        var config = SmallSegments with { CleanupCompact = true, CleanupDelete = false, SegmentBytes = 32 << 10, FileDeleteDelayMs = 0 };
        var partition = Path.Combine(directory.Path, "logs", "dump-0");
        var latest = new Dictionary<string, string>();
        await using (var store = await PartitionStore.OpenAsync(Options(directory.Path), _ => null))
        {
            var compacted = store.GetOrCreate(new TopicPartition("dump", 0), Guid.NewGuid(), config);
            await WriteKeysAsync(compacted, latest);
            var before = compacted.SizeInBytes;
            store.RunCompaction();
            Assert.InRange(compacted.SizeInBytes, 1, before / 2);
        }

        var logs = Files(partition, ".log");
        var output = await DumpTool.RunAsync(logs, "--deep-iteration", "--print-data-log");
        DumpTool.AssertNoComplaint(output, allowGaps: true);
        Assert.All(DumpTool.BatchLine().Matches(output.Text), batch => Assert.Equal("true", batch.Groups["valid"].Value));
        var records = DumpTool.RecordLine().Matches(output.Text).Select(line => line.Value).ToList();
        Assert.InRange(records.Count, latest.Count, 2000 / 2);
        foreach (var (key, value) in latest)
            Assert.Contains(records, line => line.EndsWith($"key: {key} payload: {value}", StringComparison.Ordinal));

        DumpTool.AssertNoComplaint(await DumpTool.RunAsync(Files(partition, ".index").Concat(Files(partition, ".timeindex"))));
    }

    [SkippableFact]
    public async Task Logs_with_a_queues_transitions_are_read()
    {
        using var directory = new TemporaryDirectory();
        var options = new BrokerOptions { DataDirectory = directory.Path, Codecs = StandardCodecs.All };
        IReadOnlyList<(long Offset, string Value)> expected;
        await using (var broker = await LocalBroker.OpenAsync(options))
        {
            await broker.CreateTopicAsync(new NewTopic("dump", Configs: new Dictionary<string, string>
            {
                ["retention.ms"] = "-1",
                ["segment.bytes"] = "16384",
            }));
            expected = await QueueTraffic.WriteAsync(broker, new TopicPartition("dump", 0), rounds: 100);
        }
        var partition = Path.Combine(directory.Path, "logs", "dump-0");
        var logs = Files(partition, ".log");
        Assert.True(logs.Length >= 3, $"{logs.Length} segments; several rolls are wanted");

        var output = await DumpTool.RunAsync(logs, "--deep-iteration", "--print-data-log");

        DumpTool.AssertNoComplaint(output);
        Assert.All(DumpTool.BatchLine().Matches(output.Text), batch => Assert.Equal("true", batch.Groups["valid"].Value));
        var lines = DumpTool.RecordLine().Matches(output.Text).Select(line => line.Value).ToList();
        var transitions = lines.Count(line => line.Contains("controlType: UNKNOWN(100)", StringComparison.Ordinal));
        Assert.True(transitions > 100, $"{transitions} transitions");
        Assert.Equal(expected.Select(record => $"offset: {record.Offset} {record.Value}"),
            lines.Where(line => line.Contains("payload: ", StringComparison.Ordinal))
                .Select(line => Regex.Replace(line, @"^\| (offset: \d+) .* payload: (v\d+)$", "$1 $2")));
        DumpTool.AssertNoComplaint(await DumpTool.RunAsync(Files(partition, ".index").Concat(Files(partition, ".timeindex"))));
    }

    /// <summary>Writes 2,000 records of 100 keys, in batches of ten, with every codec.</summary>
    private static async Task WriteKeysAsync(Partition partition, Dictionary<string, string> latest)
    {
        for (var i = 0; i < 200; i++)
        {
            using var builder = new RecordBatchBuilder((CompressionType)(i % 5), StandardCodecs.All);
            for (var record = 0; record < 10; record++)
            {
                var (key, value) = ($"key{((i * 37) + record) % 100}", $"{i}-{record}-{new string('v', 100)}");
                latest[key] = value;
                builder.Add(1_760_000_000_000 + i, Bytes(key), true, Bytes(value), true);
            }
            var result = await partition.AppendAsync(builder.Build(), Acks.All);
            Assert.True(result.Error == ErrorCode.None, result.Message);
        }
    }

    private static BrokerOptions Options(string directory) =>
        new() { DataDirectory = directory, Codecs = StandardCodecs.All, CompactionCheckInterval = TimeSpan.FromHours(1) };

    /// <summary>Checks that the tool would have complained about damage.</summary>
    [SkippableFact]
    public async Task Damage_is_detected()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var log = Files(partition, ".log")[0];
        var index = Files(partition, ".index")[0];
        await FlipAsync(log, 1000);
        await FlipAsync(index, 3);

        var output = await DumpTool.RunAsync([log, index]);

        Assert.Contains("isvalid: false", output.Text);
        Assert.Contains("Mismatches in", output.Errors);
    }

    private static async Task FlipAsync(string path, int position)
    {
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[position] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);
    }

    /// <summary>Writes batches of all codecs, with and without producers. Returns how the tool will print each record.</summary>
    private static async Task<(string Directory, List<string> Records)> WriteAsync(string directory, TopicConfig config)
    {
        await using var store = await PartitionStore.OpenAsync(Options(directory), _ => null);
        var partition = store.GetOrCreate(new TopicPartition("dump", 0), Guid.NewGuid(), config);
        var random = new Random(5); // any seed; a fixed one gives the same variety each time
        var records = new List<string>();
        var sequences = new int[Producers];
        for (var i = 0; i < Batches; i++)
        {
            using var builder = new RecordBatchBuilder((CompressionType)(i % 5), StandardCodecs.All);
            var producer = i % (Producers + 1);
            var hasProducer = producer < Producers;
            if (hasProducer)
                builder.SetProducer(9000 + producer, (short)producer, sequences[producer]);
            Fill(builder, random, i, hasProducer ? sequences[producer] : -1, records);
            if (hasProducer)
                sequences[producer] += builder.RecordCount;
            var result = await partition.AppendAsync(builder.Build(), Acks.All);
            Assert.True(result.Error == ErrorCode.None, result.Message);
        }
        Assert.Equal(records.Count, partition.HighWatermark);
        return (Path.Combine(directory, "logs", "dump-0"), records);
    }

    private static void Fill(RecordBatchBuilder builder, Random random, int batch, int baseSequence, List<string> records)
    {
        var count = random.Next(1, 40);
        for (var i = 0; i < count; i++)
        {
            var timestamp = 1_760_000_000_000 + (batch * 1000) + random.Next(-3000, 3000);
            var key = random.Next(4) == 0 ? null : $"key{random.Next(1000)}";
            var value = random.Next(8) == 0 ? null : random.GetString("abcdefghijklmnopqrstuvwxyz", random.Next(1, 300));
            RecordHeader[] headers = random.Next(3) == 0 ? [new("trace"u8.ToArray(), "t1"u8.ToArray())] : [];
            records.Add($"| offset: {records.Count} CreateTime: {timestamp} keySize: {key?.Length ?? -1} valueSize: {value?.Length ?? -1}"
                + $" sequence: {(baseSequence < 0 ? -1 : baseSequence + i)} headerKeys: [{(headers.Length > 0 ? "trace" : "")}]"
                + (key is null ? "" : $" key: {key}") + (value is null ? "" : $" payload: {value}"));
            builder.Add(timestamp, Bytes(key), key is not null, Bytes(value), value is not null, headers);
        }
    }

    private static byte[]? Bytes(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text);

    private static long SizeOf(string partition, string extension) => Files(partition, extension).Sum(file => new FileInfo(file).Length);

    private static string[] Files(string partition, string extension) =>
        [.. Directory.GetFiles(partition, "*" + extension).Order(StringComparer.Ordinal)];
}
