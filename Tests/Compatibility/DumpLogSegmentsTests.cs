using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Kafka's own tool reads the files that the engine writes: logs, both indexes and producer snapshots.</summary>
public partial class DumpLogSegmentsTests
{
    private const string Tool = "org.apache.kafka.tools.DumpLogSegments";
    private const int Batches = 400;
    private const int Producers = 3;

    private static readonly string[] Complaints =
        ["mismatch", "out of order", "non-consecutive", "could not", "corrupt", "invalid bytes", "exception", "isvalid: false"];

    private static readonly TopicConfig SmallSegments = TopicConfig.Default with { SegmentBytes = 128 << 10 };

    [SkippableFact]
    public async Task Every_record_is_found_as_it_was_written()
    {
        using var directory = new TemporaryDirectory();
        var (partition, expected) = await WriteAsync(directory.Path, SmallSegments);
        var logs = Files(partition, ".log");
        Assert.True(logs.Length >= 4, $"{logs.Length} segments; several rolls are wanted");

        var output = await KafkaPeer.RunAsync(Tool, "--deep-iteration", "--print-data-log", "--files", string.Join(',', logs));

        AssertNoComplaint(output);
        var batches = BatchLine().Matches(output.Text);
        Assert.Equal(Batches, batches.Count);
        Assert.All(batches, batch => Assert.Equal("true", batch.Groups["valid"].Value));
        Assert.Equal(expected.Count, batches.Sum(batch => int.Parse(batch.Groups["count"].Value, CultureInfo.InvariantCulture)));
        Assert.Equal(5, batches.Select(batch => batch.Groups["codec"].Value).Distinct().Count());
        Assert.Equal(expected, RecordLine().Matches(output.Text).Select(line => line.Value));
    }

    [SkippableFact]
    public async Task Indexes_agree_with_the_log()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var indexes = Files(partition, ".index").Concat(Files(partition, ".timeindex")).ToArray();
        Assert.True(indexes.Length >= 8);
        Assert.All(Files(partition, ".index")[..^1], file => Assert.True(new FileInfo(file).Length > 8));

        var printed = await KafkaPeer.RunAsync(Tool, "--files", string.Join(',', indexes));
        AssertNoComplaint(printed);
        Assert.Equal(Files(partition, ".index").Sum(file => new FileInfo(file).Length / 8), IndexEntry().Count(printed.Text));
        Assert.Equal(Files(partition, ".timeindex").Sum(file => new FileInfo(file).Length / 12), TimeIndexEntry().Count(printed.Text));

        AssertNoComplaint(await KafkaPeer.RunAsync(Tool, "--verify-index-only", "--files", string.Join(',', indexes)));

        var sanity = await KafkaPeer.RunAsync(Tool, "--index-sanity-check", "--files", string.Join(',', indexes));
        Assert.Equal(indexes.Length, SanityLine().Count(sanity.Text));
    }

    [SkippableFact]
    public async Task Producer_snapshots_are_read()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var snapshots = Files(partition, ".snapshot");
        Assert.NotEmpty(snapshots);

        var output = await KafkaPeer.RunAsync(Tool, "--files", string.Join(',', snapshots));

        AssertNoComplaint(output);
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

        var output = await KafkaPeer.RunAsync(Tool, "--deep-iteration", "--print-data-log", "--files", string.Join(',', files));

        AssertNoComplaint(output);
        Assert.Equal(Batches, BatchLine().Matches(output.Text).Count(batch => batch.Groups["codec"].Value == "zstd"));
        Assert.Equal(expected.Count, Regex.Count(output.Text, @"^\| offset: \d+ LogAppendTime: \d+ ", RegexOptions.Multiline));
    }

    /// <summary>That the tool would have complained.</summary>
    [SkippableFact]
    public async Task Damage_would_have_been_noticed()
    {
        using var directory = new TemporaryDirectory();
        var (partition, _) = await WriteAsync(directory.Path, SmallSegments);
        var log = Files(partition, ".log")[0];
        var index = Files(partition, ".index")[0];
        await FlipAsync(log, 1000);
        await FlipAsync(index, 3);

        var output = await KafkaPeer.RunAsync(Tool, "--files", $"{log},{index}");

        Assert.Contains("isvalid: false", output.Text);
        Assert.Contains("Mismatches in", output.Errors);
    }

    private static async Task FlipAsync(string path, int position)
    {
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[position] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);
    }

    /// <summary>Writes batches of all codecs, with and without producers, and says how the tool will print each record.</summary>
    private static async Task<(string Directory, List<string> Records)> WriteAsync(string directory, TopicConfig config)
    {
        var options = new BrokerOptions { DataDirectory = directory, Codecs = StandardCodecs.All };
        await using var store = await PartitionStore.OpenAsync(options, _ => null);
        var partition = store.GetOrCreate(new TopicPartition("dump", 0), Guid.NewGuid(), config);
        var random = new Random(5); // as good as any: what counts is the variety, and that it is the same each time
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

    private static string[] Files(string partition, string extension) =>
        [.. Directory.GetFiles(partition, "*" + extension).Order(StringComparer.Ordinal)];

    private static void AssertNoComplaint(PeerOutput output)
    {
        Assert.Contains("Dumping ", output.Text);
        // The tool's own slip: a segment that does not begin at 0 is said to follow -1.
        var all = output.Text + FirstOffsetOfSegment().Replace(output.Errors, "");
        Assert.True(!Complaints.Any(complaint => all.Contains(complaint, StringComparison.OrdinalIgnoreCase)), output.Errors);
    }

    [GeneratedRegex(@"Non-consecutive offsets in \S*?/0*(\d+)\.log\s+-1 is followed by \1\s")]
    private static partial Regex FirstOffsetOfSegment();

    [GeneratedRegex(@"^baseOffset: .*?count: (?<count>\d+) .*?compresscodec: (?<codec>\w+) .*?isvalid: (?<valid>\w+)",
        RegexOptions.Multiline)]
    private static partial Regex BatchLine();

    [GeneratedRegex(@"^\| offset: .*$", RegexOptions.Multiline)]
    private static partial Regex RecordLine();

    [GeneratedRegex(@"^offset: \d+ position: \d+", RegexOptions.Multiline)]
    private static partial Regex IndexEntry();

    [GeneratedRegex(@"^timestamp: \d+ offset: \d+", RegexOptions.Multiline)]
    private static partial Regex TimeIndexEntry();

    [GeneratedRegex(@"passed sanity check", RegexOptions.Multiline)]
    private static partial Regex SanityLine();
}
