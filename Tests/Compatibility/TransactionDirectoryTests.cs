using System.Diagnostics;
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

/// <summary>Partition directories with transactions: Kafka's tool reads ours, and a directory of a real Kafka broker is read here as
/// Kafka's readers read it.</summary>
public class TransactionDirectoryTests
{
    private const int OpenProducer = 9003;

    // The distance from the port of Kafka's clients to its controller's.
    private const int ControllerPort = 1001;

    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Peers", "TransactionWriter.java");
    private static readonly TopicPartition Theirs = new("theirs", 0);
    private static readonly TopicConfig KeepAll = TopicConfig.Default with { RetentionMs = -1 };

    [SkippableFact]
    public async Task Kafkas_tool_reads_markers_aborted_transactions_and_open_ones()
    {
        using var directory = new TemporaryDirectory();
        var (partition, markers, aborted, producers) = await WriteAsync(directory.Path);
        var logs = Files(partition, ".log");
        Assert.True(logs.Length >= 4, $"{logs.Length} segments; several rolls are wanted");

        var output = await DumpTool.RunAsync(logs, "--deep-iteration", "--print-data-log");
        DumpTool.AssertNoComplaint(output);
        Assert.Equal(markers, Regex.Matches(output.Text, @"^\| offset: (\d+) .* endTxnMarker: (\w+) coordinatorEpoch: 3",
            RegexOptions.Multiline).Select(static line => $"{line.Groups[1].Value} {line.Groups[2].Value}"));

        var indexes = Files(partition, ".txnindex");
        Assert.True(indexes.Length >= 2, $"{indexes.Length} indexes of aborted transactions");
        output = await DumpTool.RunAsync(indexes);
        DumpTool.AssertNoComplaint(output);
        Assert.Equal(aborted, Regex.Matches(output.Text,
            @"^version: 0 producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", RegexOptions.Multiline)
            .Select(static line => $"{line.Groups[1].Value} {line.Groups[2].Value} {line.Groups[3].Value} {line.Groups[4].Value}"));

        output = await DumpTool.RunAsync(Files(partition, ".snapshot"));
        DumpTool.AssertNoComplaint(output);
        var last = output.Text[output.Text.LastIndexOf("Dumping", StringComparison.Ordinal)..];
        Assert.Equal(producers, Regex.Matches(last, @"^producerId: (\d+) .*currentTxnFirstOffset: OptionalLong(\S+)",
            RegexOptions.Multiline).Select(static line => $"{line.Groups[1].Value} {line.Groups[2].Value}").Order(StringComparer.Ordinal));
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Directory_of_a_Kafka_broker_is_read_as_by_Kafka(bool isKilled)
    {
        using var directory = new TemporaryDirectory();
        var theirs = await WriteByKafkaAsync(directory.Path, isKilled);

        await using var store = await PartitionStore.OpenAsync(Options(directory.Path), _ => KeepAll);
        Assert.True(store.TryGet(Theirs, out var partition));
        Assert.Null(partition.OfflineReason);
        Assert.True(Directory.GetFiles(PathOf(directory.Path), "*.txnindex").Length > 0);
        Assert.Equal(theirs["read_committed"], await ReadAsync(partition, IsolationLevel.ReadCommitted));
        Assert.Equal(theirs["read_uncommitted"], await ReadAsync(partition, IsolationLevel.ReadUncommitted));
        Assert.True(partition.LastStableOffset < partition.HighWatermark);
        // From every position, as a consumer that resumes.
        var committed = theirs["read_committed"];
        for (var skip = 1; skip < committed.Count; skip += 7)
            Assert.Equal(committed[skip..], await ReadAsync(partition, IsolationLevel.ReadCommitted, Offset(committed[skip - 1]) + 1));
    }

    // Three producers in turns, and one whose transaction is open from the start. Returns as lines the markers, the aborted transactions
    // and the producers with the first offset of what is open.
    private static async Task<(string Directory, List<string> Markers, List<string> Aborted, List<string> Producers)> WriteAsync(
        string directory)
    {
        await using var store = await PartitionStore.OpenAsync(Options(directory), _ => null);
        var partition = store.GetOrCreate(new TopicPartition("dump", 0), Guid.NewGuid(), KeepAll with { SegmentBytes = 16 << 10 });
        var random = new Random(7); // any seed; a fixed one gives the same variety each time
        var (first, sequences, numbers) = (new Dictionary<long, long>(), new Dictionary<long, int>(), 0);
        var (markers, aborted) = (new List<string>(), new List<string>());
        LoggedTransactions.Append(partition, TestBatches.FirstTimestamp, OpenProducer, 0, "open");
        first.Add(OpenProducer, 0);
        for (var round = 0; round < 600; round++)
        {
            var producer = 9000 + random.Next(3);
            if (!first.TryGetValue(producer, out var begin) || random.Next(3) > 0)
            {
                first.TryAdd(producer, partition.LogEndOffset);
                var values = Enumerable.Range(0, random.Next(1, 4)).Select(value => $"{round}-{value}").ToArray();
                var sequence = sequences.GetValueOrDefault(producer);
                LoggedTransactions.Append(partition, TestBatches.FirstTimestamp + round, producer, sequence, values);
                sequences[producer] = sequence + values.Length;
                continue;
            }
            var (marker, commits) = (partition.LogEndOffset, random.Next(2) == 0);
            await LoggedTransactions.EndAsync(partition, producer, commits, ++numbers);
            markers.Add($"{marker} {(commits ? "COMMIT" : "ABORT")}");
            // The transaction that is open from the start holds the last stable offset at its first record.
            if (!commits)
                aborted.Add($"{producer} {begin} {marker} 0");
            first.Remove(producer);
        }
        Assert.Equal(0, partition.LastStableOffset);
        return (Path.Combine(directory, "logs", "dump-0"), markers, aborted, [.. Enumerable.Range(9000, 4).Select(producer =>
            $"{producer} {(first.TryGetValue(producer, out var open) ? $"[{open}]" : ".empty")}")]);
    }

    // Returns what Kafka's readers print, by isolation level, and puts the broker's directory where this one's is.
    private static async Task<Dictionary<string, List<string>>> WriteByKafkaAsync(string directory, bool isKilled)
    {
        var data = Path.Combine(directory, "kafka");
        var peer = KafkaPeer.RequireScript();
        Directory.CreateDirectory(data);
        var port = FreePort.Choose(ControllerPort);
        try
        {
            // What it leaves running keeps its output open, so it goes to a file, which is printed if it does not start.
            await RunAsync("bash", "-c", "\"$@\" >\"$0\" 2>&1 || { cat \"$0\"; exit 1; }", Path.Combine(data, "start"), peer, "start",
                "kafka", data, $"{port}");
            var (said, _) = await KafkaPeer.RunAsync(Program, $"127.0.0.1:{port}");
            if (isKilled)
            {
                foreach (var process in await File.ReadAllLinesAsync(Path.Combine(data, "pids")))
                    await RunAsync("bash", "-c", $"kill -9 {process}");
            }
            await RunAsync(peer, "stop", data);
            Directory.CreateDirectory(Path.Combine(directory, "logs"));
            Directory.Move(Path.Combine(data, "data-1", Theirs.ToString()), PathOf(directory));
            return said.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => line.Split(' ', 2))
                .GroupBy(static line => line[0], static line => line[1])
                .ToDictionary(static level => level.Key, static level => level.ToList());
        }
        finally
        {
            await RunAsync(peer, "stop", data);
        }
    }

    private static async Task<List<string>> ReadAsync(Partition partition, IsolationLevel isolation, long from = 0)
    {
        var lines = new List<string>();
        var end = isolation == IsolationLevel.ReadCommitted ? partition.LastStableOffset : partition.HighWatermark;
        for (var next = from; next < end;)
        {
            using var fetched = await partition.ReadAsync(new FetchRequest(Theirs, next, MaxBytes: 100_000, Isolation: isolation));
            Assert.True(fetched.Error == ErrorCode.None, fetched.Message);
            Assert.NotEqual(0, fetched.Records.Length);
            using var reader = new RecordReader(fetched.Records, StandardCodecs.All);
            while (reader.MoveNext())
            {
                var record = reader.Current;
                if (record.Offset >= next && !reader.Batch.IsControl)
                    lines.Add($"{record.Offset} {Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span)}");
            }
            next = LastBatch(fetched.Records.Span).NextOffset;
        }
        return [.. lines, $"end {end}"];
    }

    private static RecordBatchHeader LastBatch(ReadOnlySpan<byte> records)
    {
        var header = RecordBatchHeader.Read(records);
        while (records.Length > header.SizeInBytes)
        {
            records = records[header.SizeInBytes..];
            header = RecordBatchHeader.Read(records);
        }
        return header;
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        var output = await process.StandardOutput.ReadToEndAsync(patience.Token);
        await process.WaitForExitAsync(patience.Token);
        Assert.True(process.ExitCode == 0,
            $"{program} {string.Join(' ', arguments)} ended with code {process.ExitCode}:\n{output}");
    }

    private static long Offset(string line) => long.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture);

    private static string PathOf(string directory) => Path.Combine(directory, "logs", Theirs.ToString());

    private static BrokerOptions Options(string directory) => new() { DataDirectory = directory, Codecs = StandardCodecs.All };

    private static string[] Files(string partition, string extension) =>
        [.. Directory.GetFiles(partition, "*" + extension).Order(StringComparer.Ordinal)];
}
