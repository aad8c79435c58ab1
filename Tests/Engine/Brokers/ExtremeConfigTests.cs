using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>Every value that the topic configuration table allows must work: each minimum and maximum, through appends, maintenance and
/// restart.</summary>
public sealed class ExtremeConfigTests
{
    private const int Batches = 20;

    // These settings correctly delete or refuse the produced records.
    private static readonly HashSet<string> Losing =
        ["retention.ms=0", "retention.bytes=0", "max.message.bytes=0", "max.message.bytes=1", "message.timestamp.before.max.ms=0",
            "message.timestamp.after.max.ms=0"];

    public static TheoryData<string, string> Extremes()
    {
        string[] candidates = ["-1", "0", "1", "12", "14", "2147483647", "9223372036854775807", "true", "compact", "compact,delete",
            "LogAppendTime"];
        var extremes = new TheoryData<string, string>();
        foreach (var key in TopicConfigKeys.All.Where(key => key.IsImplemented
            && key.Name is not "compression.type" and not "min.insync.replicas"))
        {
            var allowed = candidates.Where(value => key.TrySet(TopicConfig.Default, value) is not null).ToList();
            var numbers = allowed.Where(value => long.TryParse(value, out _)).ToList();
            foreach (var value in numbers.Count > 2 ? [numbers[0], numbers[1], numbers[^1]] : allowed)
                extremes.Add(key.Name, value);
        }
        return extremes;
    }

    [Theory]
    [MemberData(nameof(Extremes))]
    public async Task Every_allowed_value_works(string key, string value)
    {
        var files = new MemoryFileSystem();
        var log = new RecordedLog();
        var clock = new ManualClock();
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = files, Log = log, TimeProvider = clock,
            RetentionCheckInterval = TimeSpan.FromSeconds(1), CompactionCheckInterval = TimeSpan.FromSeconds(1) };
        var partition = new TopicPartition("extreme", 0);
        var configs = new Dictionary<string, string> { [key] = value };
        if (key.Contains("compaction") || key is "min.cleanable.dirty.ratio" or "delete.retention.ms")
            configs["cleanup.policy"] = "compact"; // Keys are unique, so compaction keeps every record.
        await using (var broker = await LocalBroker.OpenAsync(options))
        {
            await broker.CreateTopicAsync(new NewTopic("extreme", 1, 1, configs));
            for (var i = 0; i < Batches; i++)
            {
                var produced = await broker.ProduceAsync(partition, TestBatches.At(clock.Now, $"{i}"), Acks.All);
                if (!Losing.Contains($"{key}={value}"))
                    Assert.Equal((ErrorCode.None, i, null), (produced.Error, produced.BaseOffset, produced.Message));
                clock.Advance(TimeSpan.FromMilliseconds(500));
            }
        }
        await using var again = await LocalBroker.OpenAsync(options);
        clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Null((await again.DescribeTopicAsync("extreme")).Partitions[0].OfflineReason);
        if (!Losing.Contains($"{key}={value}"))
        {
            Assert.Equal(Enumerable.Range(0, Batches).Select(i => ((long)i, $"{i}")), await ReadAllAsync(again, partition));
            Assert.Equal(Batches, (await again.FindOffsetAsync(partition, OffsetSpec.Latest)).Offset);
        }
        Assert.Equal("", string.Join("\n", log.At(EngineLogLevel.Error)));
    }

    private static async Task<List<(long, string)>> ReadAllAsync(IBroker broker, TopicPartition partition)
    {
        var all = new List<(long Offset, string)>();
        while (true)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(partition, all.Count == 0 ? 0 : all[^1].Offset + 1));
            Assert.Equal(ErrorCode.None, fetched.Error);
            if (fetched.Records.IsEmpty)
                return all;
            all.AddRange(TestBatches.Read(fetched.Records));
        }
    }
}
