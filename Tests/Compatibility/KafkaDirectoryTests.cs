using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Opens, serves and appends to a partition directory that Kafka wrote.</summary>
public class KafkaDirectoryTests
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Peers", "SegmentWriter.java");
    private static readonly TopicPartition Name = new("theirs", 0);
    private static readonly TopicConfig KeepAll = TopicConfig.Default with { RetentionMs = -1 };

    [SkippableFact]
    public async Task Partition_written_by_Kafka_is_served_and_accepts_appends()
    {
        using var directory = new TemporaryDirectory();
        var path = Path.Combine(directory.Path, "logs", Name.ToString());
        var (theirs, _) = await KafkaPeer.RunAsync(Program, path);
        var written = theirs.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(written.Length > 1000);

        var options = new BrokerOptions { DataDirectory = directory.Path, Codecs = StandardCodecs.All };
        await using (var store = await PartitionStore.OpenAsync(options, _ => KeepAll))
        {
            Assert.True(store.TryGet(Name, out var partition));
            Assert.Null(partition.OfflineReason);
            Assert.Equal(written.Length, partition.HighWatermark);
            Assert.Equal(written, await ReadAllAsync(partition));
            AssertFoundByTime(written, partition);

            var appended = await partition.AppendAsync(One("ours"), Acks.All);
            Assert.Equal((ErrorCode.None, (long)written.Length), (appended.Error, appended.BaseOffset));
        }

        var files = Directory.GetFiles(path).Where(file => Path.GetExtension(file) is ".log" or ".index" or ".timeindex");
        DumpTool.AssertNoComplaint(await DumpTool.RunAsync(files));
    }

    private static async Task<List<string>> ReadAllAsync(Partition partition)
    {
        var lines = new List<string>();
        while (lines.Count < partition.HighWatermark)
        {
            using var fetched = await partition.ReadAsync(new FetchRequest(Name, lines.Count, MaxBytes: 100_000));
            Assert.True(fetched.Error == ErrorCode.None, fetched.Message);
            Assert.NotEqual(0, fetched.Records.Length);
            using var reader = new RecordReader(fetched.Records, StandardCodecs.All);
            while (reader.MoveNext())
            {
                // A fetch starts with the whole batch that contains its offset.
                var record = reader.Current;
                if (record.Offset >= lines.Count)
                    lines.Add(string.Create(CultureInfo.InvariantCulture,
                        $"{record.Offset} {record.Timestamp} {Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span)}"));
            }
        }
        return lines;
    }

    /// <summary>Looks up times through the time index that Kafka wrote: the first record at or after each.</summary>
    private static void AssertFoundByTime(string[] written, Partition partition)
    {
        var fields = written.Select(line => line.Split(' '));
        var records = fields.Select(parts => (Offset: Number(parts[0]), Timestamp: Number(parts[1]))).ToList();
        for (var i = 0; i < records.Count; i += 97)
        {
            var wanted = records[i].Timestamp;
            var (offset, timestamp) = records.First(record => record.Timestamp >= wanted);
            var found = partition.FindOffset(OffsetSpec.AtOrAfter(wanted));
            Assert.Equal((offset, timestamp), (found.Offset, found.Timestamp));
        }
    }

    private static byte[] One(string value)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1_700_100_000_000, default, false, Encoding.UTF8.GetBytes(value), true);
        return builder.Build().ToArray();
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
