using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>The process dies, or the machine loses power, before each disk change of creating, deleting, altering and growing a topic. The
/// next start must recover from every state left behind.</summary>
public sealed class LocalBrokerCrashTests
{
    // In place of the seed of a power cut.
    private const int JustKill = 0;

    private static readonly NewTopic Orders = new("orders", 2, 1,
        new Dictionary<string, string> { ["flush.messages"] = "1", ["retention.ms"] = "-1" });

    private static Task<LocalBroker> OpenAsync(IFileSystem files, EngineLog? log = null) =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = files, Log = log ?? EngineLog.Silent });

    /// <summary>Prepares a directory with another topic (and the topic itself, if it must exist already), each with a record in every
    /// partition.</summary>
    private static async Task<MemoryFileSystem> PreparedAsync(bool withTopic)
    {
        var files = new MemoryFileSystem();
        await using var broker = await OpenAsync(files);
        await broker.CreateTopicAsync(Orders with { Name = "bystander" });
        if (withTopic)
            await broker.CreateTopicAsync(Orders);
        foreach (var topic in await broker.ListTopicsAsync())
        {
            for (var number = 0; number < 2; number++)
                Assert.Equal(ErrorCode.None,
                    (await broker.ProduceAsync(new TopicPartition(topic.Name, number), TestBatches.Of("kept"), Acks.All)).Error);
        }
        return files;
    }

    /// <summary>Repeats <paramref name="change"/>, dying one disk change later each time, until it completes.</summary>
    private static async Task DieEverywhereAsync(bool withTopic, int powerCut, Func<LocalBroker, Task> change,
        Func<LocalBroker, bool, Task> check)
    {
        for (var changes = 0; ; changes++)
        {
            var files = new KillSwitch(await PreparedAsync(withTopic));
            var broker = await OpenAsync(files);
            files.Arm(changes);
            var done = await TryAsync(() => change(broker)) && files.Left is null;
            // The change completed: a crash now must not revert it.
            files.Arm(0);
            await TryAsync(async () => await broker.DisposeAsync());
            Assert.NotNull(files.Left);
            var left = powerCut == JustKill ? files.Left : files.Left.PowerCut(new Random(powerCut * 1000 + changes));
            var log = new RecordedLog();
            await using var next = await OpenAsync(left, log);
            Assert.Equal("", string.Join("\n", log.At(EngineLogLevel.Error)));
            await AssertKeptAsync(next, "bystander");
            await check(next, done);
            if (done)
            {
                Assert.True(changes >= 5, $"Only {changes} changes: nothing was interrupted.");
                return;
            }
        }
    }

    private static async Task<bool> TryAsync(Func<Task> action)
    {
        try
        {
            await action();
            return true;
        }
        catch (Exception exception) when (exception is IOException or BrokerException)
        {
            return false;
        }
    }

    private static async Task AssertKeptAsync(IBroker broker, string topic)
    {
        for (var number = 0; number < 2; number++)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition(topic, number), 0));
            Assert.Equal((ErrorCode.None, "kept"), (fetched.Error, Assert.Single(TestBatches.Read(fetched.Records)).Value));
        }
    }

    private static async Task AssertWritableAsync(IBroker broker, TopicDescription topic)
    {
        foreach (var partition in topic.Partitions)
        {
            Assert.Null(partition.OfflineReason);
            var produced = await broker.ProduceAsync(new TopicPartition(topic.Name, partition.Partition), TestBatches.Of("after"),
                Acks.All);
            Assert.Equal((ErrorCode.None, partition.LogEndOffset), (produced.Error, produced.BaseOffset));
        }
    }

    private static async Task<TopicDescription?> FindAsync(IBroker broker) =>
        (await broker.ListTopicsAsync()).Any(topic => topic.Name == "orders") ? await broker.DescribeTopicAsync("orders") : null;

    [Theory]
    [InlineData(JustKill)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Interrupted_topic_creation_is_completed_or_undone(int powerCut) => DieEverywhereAsync(withTopic: false, powerCut,
        async broker => await broker.CreateTopicAsync(Orders),
        async (broker, done) =>
        {
            var topic = await FindAsync(broker);
            if (done)
                Assert.NotNull(topic);
            topic ??= await broker.CreateTopicAsync(Orders);
            Assert.Equal(2, topic.Partitions.Count);
            Assert.Equal("-1", topic.Configs.Single(entry => entry.Name == "retention.ms").Value);
            Assert.All(topic.Partitions, partition => Assert.Equal(0, partition.LogEndOffset));
            await AssertWritableAsync(broker, topic);
        });

    [Theory]
    [InlineData(JustKill)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Interrupted_topic_deletion_is_completed(int powerCut) => DieEverywhereAsync(withTopic: true, powerCut,
        async broker => await broker.DeleteTopicAsync("orders"),
        async (broker, done) =>
        {
            if (await FindAsync(broker) is { } kept)
            {
                Assert.False(done);
                await AssertKeptAsync(broker, "orders");
                await broker.DeleteTopicAsync(kept.Name);
            }
            var again = await broker.CreateTopicAsync(Orders);
            Assert.All(again.Partitions, partition => Assert.Equal(0, partition.LogEndOffset));
            await AssertWritableAsync(broker, again);
        });

    [Theory]
    [InlineData(JustKill)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Interrupted_partition_growth_is_completed_or_undone(int powerCut) => DieEverywhereAsync(withTopic: true, powerCut,
        async broker => await broker.AddPartitionsAsync("orders", 4),
        async (broker, done) =>
        {
            var topic = (await FindAsync(broker))!;
            if (done)
                Assert.Equal(4, topic.Partitions.Count);
            else
                Assert.Contains(topic.Partitions.Count, new[] { 2, 4 });
            await AssertKeptAsync(broker, "orders");
            await AssertWritableAsync(broker, topic);
        });

    [Theory]
    [InlineData(JustKill)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Interrupted_configuration_change_leaves_the_old_or_the_new_value(int powerCut) =>
        DieEverywhereAsync(withTopic: true, powerCut,
            async broker => await broker.AlterTopicAsync("orders",
                new Dictionary<string, string?> { ["retention.ms"] = "7", ["segment.ms"] = "8" }),
            async (broker, done) =>
            {
                var configs = (await FindAsync(broker))!.Configs.ToDictionary(entry => entry.Name, entry => entry.Value);
                var values = (configs["retention.ms"], configs["segment.ms"]);
                if (done)
                    Assert.Equal(("7", "8"), values);
                else
                    Assert.Contains(values, new[] { ("-1", "604800000"), ("7", "8") });
                await AssertKeptAsync(broker, "orders");
            });
}
