using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A mixed load on the machine's disk: senders, readers at arbitrary offsets, retention that deletes segments under them, recovery
/// points, and far fewer file handles than files. A reader sees at an offset exactly what was acknowledged there.</summary>
public sealed class CrowdTests
{
    private const int PartitionCount = 3;
    // A minimum: sending continues until retention has deleted something.
    private const int RecordsEach = 900;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    private static readonly TopicConfig Config = new()
    {
        SegmentBytes = 4000,
        IndexIntervalBytes = 300,
        RetentionBytes = 20_000,
        FileDeleteDelayMs = 0,
        FlushMs = 5,
    };

    [Fact]
    public async Task Readers_see_every_record_only_at_its_acknowledged_offset()
    {
        var directory = Directory.CreateTempSubdirectory("omq-crowd-").FullName;
        try
        {
            var options = new BrokerOptions
            {
                DataDirectory = directory,
                MinFreeBytes = 0,
                FileSystem = new DiskFileSystem(),
                MaxOpenFiles = 7,
                CheckpointInterval = TimeSpan.FromMilliseconds(400),
                RetentionCheckInterval = TimeSpan.FromMilliseconds(200),
            };
            await using var store = await PartitionStore.OpenAsync(options, _ => Config);
            var topicId = Guid.NewGuid();
            var partitions = Enumerable.Range(0, PartitionCount).Select(i =>
                store.GetOrCreate(new TopicPartition("crowd", i), topicId, Config)).ToArray();
            using var stop = new CancellationTokenSource();
            var readers = partitions.SelectMany((p, i) =>
                Enumerable.Range(0, 2).Select(r => Task.Run(() => ReadAsync(p, new Random((i * 10) + r), stop.Token)))).ToArray();
            await Task.WhenAll(partitions.SelectMany(p =>
                Enumerable.Range(0, 2).Select(_ => Task.Run(() => SendAsync(p))))).WaitAsync(Deadline);
            await stop.CancelAsync();
            var read = await Task.WhenAll(readers).WaitAsync(Deadline);
            Assert.All(read, count => Assert.True(count > 0));
            Assert.All(partitions, p => Assert.Null(p.OfflineReason));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    // A record's value is derived from its place in its batch and its key, so that every read can check it.
    private static async Task SendAsync(Partition partition)
    {
        for (var i = 0; partition.LogEndOffset < RecordsEach || partition.LogStartOffset == 0; i++)
        {
            var values = Enumerable.Range(0, 3).Select(n =>
                $"{partition.TopicPartition}/{n}/{new string((char)('a' + (i % 26)), i % 150)}").ToArray();
            var result = await partition.AppendAsync(PartitionRig.Batch(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), values), Acks.All);
            Assert.True(result.Error == ErrorCode.None, result.Message);
            Assert.Equal(0, result.BaseOffset % 3);
        }
    }

    private static async Task<int> ReadAsync(Partition partition, Random random, CancellationToken stop)
    {
        var count = 0;
        var seen = new Dictionary<long, string>();
        while (!stop.IsCancellationRequested || count == 0)
        {
            var end = partition.HighWatermark;
            var from = random.Next(3) == 0 ? Math.Max(0, end - 3) : partition.LogStartOffset + random.Next(60);
            using var result = await partition.ReadAsync(new FetchRequest(partition.TopicPartition, from, random.Next(1, 8000),
                TimeSpan.FromMilliseconds(2)));
            if (result.Error == ErrorCode.OffsetOutOfRange)
                continue;
            Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
            var expected = -1L;
            using var reader = new RecordReader(result.Records, StandardCodecs.All);
            while (reader.MoveNext())
            {
                var offset = reader.Current.Offset;
                Assert.True(expected >= 0 || offset <= from, "Records were skipped.");
                var value = Encoding.UTF8.GetString(reader.Current.Value!.Value.Span);
                Assert.True(expected < 0 || offset == expected, "Offsets leave a gap.");
                Assert.StartsWith($"{partition.TopicPartition}/{offset % 3}/", value, StringComparison.Ordinal);
                Assert.True(seen.TryAdd(offset, value) || seen[offset] == value, "A record changed.");
                expected = offset + 1;
                count++;
            }
        }
        return count;
    }
}
