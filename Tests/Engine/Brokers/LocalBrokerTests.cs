using System.Text;
using System.Text.RegularExpressions;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>A broker in one process beyond the broker API: start, stop, and handling of a damaged directory.</summary>
public sealed class LocalBrokerTests
{
    private readonly MemoryFileSystem _files = new();
    private readonly RecordedLog _log = new();

    private Task<LocalBroker> OpenAsync(Func<BrokerOptions, BrokerOptions>? change = null)
    {
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = _files, Log = _log };
        return LocalBroker.OpenAsync(change is null ? options : change(options));
    }

    private static async Task<long> ProduceAsync(IBroker broker, string topic, int partition = 0)
    {
        var produced = await broker.ProduceAsync(new TopicPartition(topic, partition), TestBatches.Of("value"), Acks.All);
        Assert.True(produced.Error == ErrorCode.None, $"{produced.Error}: {produced.Message}");
        return produced.BaseOffset;
    }

    private static async Task<int> CountAsync(IBroker broker, string topic, int partition = 0)
    {
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition(topic, partition), 0));
        Assert.True(fetched.Error == ErrorCode.None, $"{fetched.Error}: {fetched.Message}");
        return TestBatches.Read(fetched.Records).Count;
    }

    /// <summary>Prepares two topics, "a" and "b", with two partitions and a record in each, and closes the broker.</summary>
    private async Task PrepareAsync()
    {
        await using var broker = await OpenAsync();
        foreach (var topic in new[] { "a", "b" })
        {
            await broker.CreateTopicAsync(new NewTopic(topic, 2, 1, new Dictionary<string, string> { ["retention.ms"] = "-1" }));
            await ProduceAsync(broker, topic, 0);
            await ProduceAsync(broker, topic, 1);
        }
    }

    private void Write(string path, string content)
    {
        using var file = _files.Open(path, FileOpening.CreateOrTruncate);
        file.Write(Encoding.UTF8.GetBytes(content), 0);
    }

    [Fact]
    public async Task Topics_whose_codec_the_broker_lost_are_named_at_its_start()
    {
        await using (var whole = await OpenAsync(static options => options with { Codecs = StandardCodecs.All }))
        {
            await whole.CreateTopicAsync(new NewTopic("zipped", 1, 1, new Dictionary<string, string> { ["compression.type"] = "gzip" }));
            await whole.CreateTopicAsync(new NewTopic("plain"));
        }
        Assert.Empty(_log.At(EngineLogLevel.Warning));

        await using var broker = await OpenAsync();

        var warning = Assert.Single(_log.At(EngineLogLevel.Warning));
        Assert.Contains("has no codec for Gzip", warning, StringComparison.Ordinal);
        Assert.Contains("in topic 'zipped':", warning, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topics_and_records_survive_a_restart()
    {
        await PrepareAsync();
        await using var broker = await OpenAsync();
        Assert.Equal(["a", "b"], (await broker.ListTopicsAsync()).Select(topic => topic.Name));
        var described = await broker.DescribeTopicAsync("a");
        Assert.Equal([1L, 1L], described.Partitions.Select(partition => partition.LogEndOffset));
        Assert.Equal(new ConfigEntry("retention.ms", "-1", false), described.Configs.Single(entry => entry.Name == "retention.ms"));
        Assert.Equal(1, await CountAsync(broker, "a", 1));
        Assert.Equal(1, await ProduceAsync(broker, "a", 1));
        Assert.Empty(_log.At(EngineLogLevel.Error));
    }

    [Fact]
    public async Task Topic_and_cluster_ids_are_stable_and_producer_ids_do_not_repeat()
    {
        async Task<(string, Guid, long)> IdentitiesAsync()
        {
            await using var broker = await OpenAsync();
            return ((await broker.DescribeClusterAsync()).ClusterId, (await broker.GetTopicAsync("a")).TopicId,
                (await broker.InitProducerIdAsync()).ProducerId);
        }

        await PrepareAsync();
        var first = await IdentitiesAsync();
        var second = await IdentitiesAsync();
        Assert.Equal((first.Item1, first.Item2), (second.Item1, second.Item2));
        Assert.True(second.Item3 > first.Item3);
    }

    [Fact]
    public async Task Second_broker_on_the_directory_is_refused_until_the_first_closes()
    {
        var broker = await OpenAsync();
        await Assert.ThrowsAsync<DataDirectoryException>(() => OpenAsync());
        await broker.DisposeAsync();
        await broker.DisposeAsync();
        await (await OpenAsync()).DisposeAsync();
    }

    [Fact]
    public async Task Closed_broker_changes_nothing()
    {
        await PrepareAsync();
        var broker = await OpenAsync();
        await broker.DisposeAsync();
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateTopicAsync(new NewTopic("late")));
        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorAction.Retry), (refused.Code, refused.Action));
        Assert.NotEqual(ErrorCode.None, (await broker.ProduceAsync(new TopicPartition("a", 0), TestBatches.Of("late"), Acks.All)).Error);
    }

    [Fact]
    public async Task Deleted_topic_frees_its_disk_space()
    {
        await PrepareAsync();
        await using (var broker = await OpenAsync())
        {
            await broker.DeleteTopicAsync("a");
            Assert.Equal(["b-0", "b-1"], _files.ListDirectories("/data/logs"));
        }
        Assert.Equal(["b.json"], _files.ListFiles("/data/state/topic"));
    }

    [Fact]
    public async Task Longest_topic_name_works_from_create_to_delete()
    {
        var root = Directory.CreateTempSubdirectory("omq-long-").FullName;
        var name = new string('X', TopicName.MaxLength);
        await using (var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = root }))
        {
            await broker.CreateTopicAsync(new NewTopic(name, 2));
            await ProduceAsync(broker, name, 1);
        }
        await using (var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = root }))
        {
            Assert.Equal(1, await CountAsync(broker, name, 1));
            await broker.DeleteTopicAsync(name);
            Assert.Empty(Directory.GetDirectories(Path.Combine(root, "logs")));
        }
        Directory.Delete(root, recursive: true);
    }

    [Fact]
    public async Task Acks_all_is_refused_below_min_insync_replicas()
    {
        await using var broker = await OpenAsync();
        await broker.CreateTopicAsync(new NewTopic("strict", 1, 1, new Dictionary<string, string> { ["min.insync.replicas"] = "2" }));
        var partition = new TopicPartition("strict", 0);
        var refused = await broker.ProduceAsync(partition, TestBatches.Of("a"), Acks.All);
        Assert.Equal(ErrorCode.NotEnoughReplicas, refused.Error);
        Assert.Contains("min.insync.replicas", refused.Message);
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(partition, TestBatches.Of("a"), Acks.Leader)).Error);
    }

    [Fact]
    public async Task Broker_defaults_apply_where_a_topic_sets_nothing()
    {
        await using var broker =
            await OpenAsync(options => options with { TopicDefaults = TopicConfig.DefaultFor(FlushPolicy.Sync), DefaultPartitions = 5 });
        var topic = await broker.CreateTopicAsync(new NewTopic("defaults"));
        Assert.Equal(5, topic.Partitions.Count);
        Assert.Equal(new ConfigEntry("flush.messages", "1", true), topic.Configs.Single(entry => entry.Name == "flush.messages"));
        await ProduceAsync(broker, "defaults");
        Assert.Equal(0, _files.UnflushedWrites("/data/logs/defaults-0/00000000000000000000.log"));
    }

    [Fact]
    public async Task Creation_on_a_full_disk_is_undone_and_the_name_stays_free()
    {
        await PrepareAsync();
        await using var broker = await OpenAsync(options => options with { MinFreeBytes = 0 });
        _files.Capacity = _files.Traffic.Keys.Where(_files.FileExists).Distinct().Sum(_files.GetLength) + 2500;
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateTopicAsync(new NewTopic("big", 100)));
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
        Assert.Contains("No space left", refused.Message);
        _files.Capacity = long.MaxValue;
        Assert.DoesNotContain(await broker.ListTopicsAsync(), topic => topic.Name == "big");
        Assert.Equal(100, (await broker.CreateTopicAsync(new NewTopic("big", 100))).Partitions.Count);
        Assert.Equal(1, await CountAsync(broker, "a"));
    }

    [Fact]
    public async Task Topic_is_deleted_on_a_full_disk_and_frees_it()
    {
        await PrepareAsync();
        await using var broker = await OpenAsync(options => options with { MinFreeBytes = 0 });
        await broker.CreateTopicAsync(new NewTopic("big", 1));
        for (var i = 0; i < 3; i++)
            await ProduceAsync(broker, "big");
        // Not a byte is left.
        _files.Capacity = 1L << 40;
        _files.Capacity -= _files.GetFreeSpace("/data");
        await broker.DeleteTopicAsync("big");
        Assert.DoesNotContain(_files.ListDirectories("/data/logs"), name => name.StartsWith("big", StringComparison.Ordinal));
        await broker.CreateTopicAsync(new NewTopic("next", 1));
        Assert.Equal(1, await CountAsync(broker, "a"));
    }

    [Fact]
    public async Task Broker_starts_on_a_full_disk_and_serves_existing_records()
    {
        await PrepareAsync();
        await using (var broker = await OpenAsync())
            await broker.CreateTopicAsync(new NewTopic("c", 1));
        // States that a crash leaves: one topic to be completed, one to grow, one to be deleted.
        Replace(PageOf("c"), "\"c\":{", "active", "creating");
        Replace(PageOf("b"), "\"b\":{", "active", "deleting");
        Replace("/data/state/topic/a.json", "\"partitions\":2", "\"partitions\":2", "\"partitions\":2,\"growingTo\":3");
        _files.DeleteDirectory("/data/logs/c-0");
        _files.Capacity = 1;
        await using (var broker = await OpenAsync())
        {
            Assert.Equal(["a"], (await broker.ListTopicsAsync()).Select(topic => topic.Name));
            Assert.Equal(1, await CountAsync(broker, "a", 1));
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.DescribeTopicAsync("c"));
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
            Assert.Contains("No space left", refused.Message);
            Assert.Equal(3, _log.At(EngineLogLevel.Error).Count(line => line.Contains("interrupted change")));
        }
        _files.Capacity = long.MaxValue;
        await using var again = await OpenAsync();
        Assert.Equal(["a", "c"], (await again.ListTopicsAsync()).Select(topic => topic.Name));
        Assert.Equal(0, await ProduceAsync(again, "a", 2));
        Assert.Equal(0, await ProduceAsync(again, "c"));
    }

    [Fact]
    public async Task Name_of_a_topic_whose_deletion_failed_can_be_taken()
    {
        await PrepareAsync();
        Replace(PageOf("b"), "\"b\":{", "active", "deleting");
        _files.Capacity = 1;
        await using var broker = await OpenAsync();
        Assert.Contains(_log.At(EngineLogLevel.Error), line => line.Contains("interrupted change"));
        _files.Capacity = long.MaxValue;
        Assert.Single((await broker.CreateTopicAsync(new NewTopic("b", 1))).Partitions);
        Assert.Equal(0, await ProduceAsync(broker, "b"));
        Assert.Equal(["a-0", "a-1", "b-0"], _files.ListDirectories("/data/logs").Order(StringComparer.Ordinal));
    }

    private void Replace(string path, string after, string old, string changed)
    {
        var text = Encoding.UTF8.GetString(AtomicFile.TryRead(_files, path)!);
        var from = text.IndexOf(after, StringComparison.Ordinal);
        var at = text.IndexOf(old, from, StringComparison.Ordinal);
        Assert.True(from >= 0 && at >= 0, text);
        Write(path, WithoutChecksum(text[..at] + changed + text[(at + old.Length)..]));
    }

    private static string PageOf(string topic) => $"/data/state/{TopicCatalogue.KeyOf(TopicCatalogue.PageOf(topic))}.json";

    private static string WithoutChecksum(string document) => Regex.Replace(document, "\"crc\":\"[0-9a-f]{8}\",", "");

    [Theory]
    [InlineData(null)]
    [InlineData("{")]
    [InlineData("""{"version":1,"name":"a","value":{}}""")]
    [InlineData("""{"version":1,"name":"a","value":{"name":"b","topicId":"0196c5a0-"""
        + """0000-7000-8000-000000000001","partitions":1,"configs":{},"status":"active"}}""")]
    [InlineData("""{"version":1,"name":"a","value":{"name":"a","topicId":"0196c5a0-"""
        + """0000-7000-8000-000000000001","partitions":1,"configs":{},"status":"active"}}""")]
    public async Task Topic_with_a_damaged_document_is_refused_and_others_continue(string? content)
    {
        const string path = "/data/state/topic/a.json";
        await PrepareAsync();
        var good = Encoding.UTF8.GetString(AtomicFile.TryRead(_files, path)!);
        if (content is null)
            _files.DeleteFile(path);
        else
            Write(path, content);
        await using (var broker = await OpenAsync())
        {
            Assert.Equal(["b"], (await broker.ListTopicsAsync()).Select(topic => topic.Name));
            Assert.Equal(1, await CountAsync(broker, "b"));
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.DescribeTopicAsync("a"));
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
            Assert.Contains("topic", refused.Message);
            Assert.Contains("backup", refused.Message);
            Assert.Equal(ErrorCode.KafkaStorageError,
                (await broker.ProduceAsync(new TopicPartition("a", 0), TestBatches.Of("x"), Acks.All)).Error);
            var taken = await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateTopicAsync(new NewTopic("a")));
            Assert.Equal(ErrorCode.TopicAlreadyExists, taken.Code);
            Assert.NotEmpty(_log.At(EngineLogLevel.Error));
        }
        Write(path, good);
        await using var restored = await OpenAsync();
        Assert.Equal(1, await CountAsync(restored, "a", 1));
    }

    [Fact]
    public async Task Unknown_configuration_key_is_refused_and_nothing_is_deleted()
    {
        await PrepareAsync();
        const string path = "/data/state/topic/a.json";
        Replace(path, "{", "retention.ms", "retention.later");
        await using var broker = await OpenAsync();
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.DescribeTopicAsync("a"));
        Assert.Contains("retention.later", refused.Message);
        Assert.Contains("a-0", _files.ListDirectories("/data/logs"));
    }

    [Fact]
    public async Task Damaged_topic_can_be_deleted()
    {
        await PrepareAsync();
        _files.DeleteFile("/data/state/topic/a.json");
        await using var broker = await OpenAsync();
        await broker.DeleteTopicAsync("a");
        Assert.Equal(["b-0", "b-1"], _files.ListDirectories("/data/logs"));
        await broker.CreateTopicAsync(new NewTopic("a"));
        Assert.Equal(0, await ProduceAsync(broker, "a"));
    }

    [Fact]
    public async Task Lost_catalogue_is_rebuilt_from_the_topics()
    {
        await PrepareAsync();
        _files.DeleteDirectory("/data/state/catalogue");
        await using (var broker = await OpenAsync())
            Assert.Equal(1, await CountAsync(broker, "a"));
        await using var again = await OpenAsync();
        Assert.Equal(["a", "b"], (await again.ListTopicsAsync()).Select(topic => topic.Name));
    }

    [Fact]
    public async Task Damaged_page_of_the_catalogue_is_set_aside_and_made_again_from_the_topics()
    {
        await PrepareAsync();
        Write(PageOf("a"), "{");
        await using (var broker = await OpenAsync())
        {
            Assert.Equal(["a", "b"], (await broker.ListTopicsAsync()).Select(topic => topic.Name));
            Assert.Equal(1, await CountAsync(broker, "a"));
        }
        Assert.True(_files.FileExists(PageOf("a") + ".damaged"));
        Assert.Contains(_log.At(EngineLogLevel.Error), line => line.Contains(PageOf("a")));
    }

    [Fact]
    public async Task Topic_with_a_changed_digit_of_its_id_is_refused_and_nothing_is_set_aside()
    {
        await PrepareAsync();
        // The document's file has a version before.
        await using (var broker = await OpenAsync())
            await broker.AlterTopicAsync("a", new Dictionary<string, string?> { ["segment.bytes"] = "1048576" });
        const string path = "/data/state/topic/a.json";
        var good = Encoding.UTF8.GetString(AtomicFile.TryRead(_files, path)!);
        var digit = good.IndexOf("\"topicId\":\"", StringComparison.Ordinal) + "\"topicId\":\"".Length;
        Write(path, good[..digit] + (good[digit] == '1' ? '2' : '1') + good[(digit + 1)..]);
        await using (var broker = await OpenAsync())
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.DescribeTopicAsync("a"));
            Assert.Contains(path, refused.Message);
            Assert.Contains("checksum", refused.Message);
            Assert.Contains(path + ".old", refused.Message);
        }
        Assert.Equal(["a-0", "a-1", "b-0", "b-1"], _files.ListDirectories("/data/logs").Order(StringComparer.Ordinal));
        Write(path, good);
        await using var mended = await OpenAsync();
        Assert.Equal(1, await CountAsync(mended, "a", 1));
    }

    [Fact]
    public async Task Directory_that_cannot_be_read_is_offline_and_the_rest_serves()
    {
        await PrepareAsync();
        var unreadable = new UnreadableFile(_files, "/data/logs/a-1/partition.metadata");
        await using (var broker = await OpenAsync(options => options with { FileSystem = unreadable }))
        {
            Assert.Equal(1, await CountAsync(broker, "a", 0));
            Assert.Equal(1, await CountAsync(broker, "b", 1));
            var refused = await broker.ProduceAsync(new TopicPartition("a", 1), TestBatches.Of("x"), Acks.All);
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
            Assert.Contains(_log.At(EngineLogLevel.Error), line => line.Contains("/data/logs/a-1"));
        }
        await using var again = await OpenAsync();
        Assert.Equal(1, await CountAsync(again, "a", 1));
    }

    private sealed class UnreadableFile(IFileSystem files, string unreadable) : WrappedFileSystem(files)
    {
        public override IFile Open(string path, FileOpening mode) => path == unreadable
            ? throw new IOException($"Input/output error: '{path}'")
            : Inner.Open(path, mode);
    }

    [Fact]
    public async Task Partition_without_its_directory_is_offline_and_not_recreated()
    {
        await PrepareAsync();
        _files.DeleteDirectory("/data/logs/a-1");
        await using var broker = await OpenAsync();
        Assert.Equal(1, await CountAsync(broker, "a", 0));
        var described = (await broker.DescribeTopicAsync("a")).Partitions[1];
        Assert.Equal(-1, described.Leader);
        Assert.Contains("/data/logs/a-1", described.OfflineReason);
        var refused = await broker.ProduceAsync(new TopicPartition("a", 1), TestBatches.Of("x"), Acks.All);
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Error);
        Assert.Contains("/data/logs/a-1", refused.Message);
        Assert.Equal((3, 1), ((await broker.DescribeClusterAsync()).Brokers[0].OnlinePartitions,
            (await broker.DescribeClusterAsync()).Brokers[0].OfflinePartitions));
        Assert.Contains(_log.At(EngineLogLevel.Error), line => line.Contains("/data/logs/a-1"));
    }

    [Fact]
    public async Task Directory_of_another_topic_id_is_not_served()
    {
        await PrepareAsync();
        await using (var broker = await OpenAsync())
            await broker.DeleteTopicAsync("b");
        _files.MoveDirectory("/data/logs/a-0", "/data/kept");
        await using (var broker = await OpenAsync())
        {
            await broker.DeleteTopicAsync("a");
            await broker.CreateTopicAsync(new NewTopic("a"));
        }
        _files.DeleteDirectory("/data/logs/a-0");
        _files.MoveDirectory("/data/kept", "/data/logs/a-0");
        await using var last = await OpenAsync();
        Assert.Equal(ErrorCode.KafkaStorageError,
            (await last.ProduceAsync(new TopicPartition("a", 0), TestBatches.Of("x"), Acks.All)).Error);
        Assert.Contains(_files.ListDirectories("/data/logs"), name => name.EndsWith("-stray", StringComparison.Ordinal));
    }
}
