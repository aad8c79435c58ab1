using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="IBroker"/>, in process, over grains and over HTTP; one subclass for each implementation. Tests may
/// share a broker that is not empty, so each test uses its own topics.</summary>
public abstract partial class BrokerConformance
{
    /// <summary>The deadline of every wait.</summary>
    protected static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    // How long a fetch waits for what comes at once: it ends before the deadline.
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(30);

    /// <summary>The broker under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    private static string NewName(string test) => $"{test}-{Guid.NewGuid():N}";

    private async Task<(IBroker Broker, string Topic)> TopicAsync(string test, int partitions = 1,
        params (string Key, string Value)[] configs)
    {
        var broker = await BrokerAsync();
        var name = NewName(test);
        await broker.CreateTopicAsync(new NewTopic(name, partitions, Configs: configs.ToDictionary(pair => pair.Key, pair => pair.Value)));
        return (broker, name);
    }

    private static async Task<BrokerException> RefusedAsync(ErrorCode expected, Func<ValueTask> call)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await call());
        Assert.Equal(expected, refused.Code);
        return refused;
    }

    private static Task<BrokerException> RefusedAsync<T>(ErrorCode expected, Func<ValueTask<T>> call) =>
        RefusedAsync(expected, async ValueTask () => await call());

    [Fact]
    public async Task Topic_is_created_described_and_listed()
    {
        var broker = await BrokerAsync();
        var name = NewName("created");
        var created =
            await broker.CreateTopicAsync(new NewTopic(name, 3, -1, new Dictionary<string, string> { ["retention.ms"] = "1000" }));
        Assert.Equal(name, created.Name);
        Assert.NotEqual(Guid.Empty, created.TopicId);
        Assert.Equal([0, 1, 2], created.Partitions.Select(partition => partition.Partition));
        foreach (var partition in created.Partitions)
        {
            Assert.Null(partition.OfflineReason);
            Assert.Contains(partition.Leader, partition.Replicas);
            Assert.Equal((0, 0, 0), (partition.LogStartOffset, partition.HighWatermark, partition.LogEndOffset));
            Assert.Equal(partition.Replicas, partition.InSyncReplicas);
        }
        var retention = created.Configs.Single(entry => entry.Name == "retention.ms");
        Assert.Equal(("1000", false), (retention.Value, retention.IsDefault));
        var policy = created.Configs.Single(entry => entry.Name == "cleanup.policy");
        Assert.Equal(("delete", true), (policy.Value, policy.IsDefault));
        Assert.Equal(created.Configs.Select(entry => entry.Name).Order(StringComparer.Ordinal),
            created.Configs.Select(entry => entry.Name));

        var described = await broker.DescribeTopicAsync(name);
        Assert.Equal((created.Name, created.TopicId, created.Partitions.Count),
            (described.Name, described.TopicId, described.Partitions.Count));
        Assert.Equal(created.Configs, described.Configs);
        var listing = new TopicListing(name, created.TopicId, 3);
        Assert.Equal(listing, await broker.GetTopicAsync(name));
        var all = await broker.ListTopicsAsync();
        Assert.Contains(listing, all);
        Assert.Equal(all.Select(topic => topic.Name).Order(StringComparer.Ordinal), all.Select(topic => topic.Name));
    }

    [Fact]
    public async Task Topic_created_without_a_partition_count_has_partitions()
    {
        var broker = await BrokerAsync();
        Assert.NotEmpty((await broker.CreateTopicAsync(new NewTopic(NewName("default")))).Partitions);
    }

    [Fact]
    public async Task Invalid_topic_is_refused_with_the_reason()
    {
        var (broker, taken) = await TopicAsync("taken.name");
        await RefusedAsync(ErrorCode.TopicAlreadyExists, () => broker.CreateTopicAsync(new NewTopic(taken)));
        await RefusedAsync(ErrorCode.InvalidTopic, () => broker.CreateTopicAsync(new NewTopic(taken.Replace('.', '_'))));
        await RefusedAsync(ErrorCode.InvalidTopic, () => broker.CreateTopicAsync(new NewTopic("no blanks")));
        await RefusedAsync(ErrorCode.InvalidPartitions, () => broker.CreateTopicAsync(new NewTopic(NewName("none"), 0)));
        await RefusedAsync(ErrorCode.InvalidPartitions, () => broker.CreateTopicAsync(new NewTopic(NewName("many"), 10_001)));
        await RefusedAsync(ErrorCode.InvalidReplicationFactor, () => broker.CreateTopicAsync(new NewTopic(NewName("copies"), 1, 100)));
        var refused = await RefusedAsync(ErrorCode.InvalidConfig,
            () =>
            broker.CreateTopicAsync(new NewTopic(NewName("config"), 1, 1, new Dictionary<string, string> { ["retention.msec"] = "1" })));
        Assert.Contains("retention.ms", refused.Message);
    }

    [Fact]
    public async Task Unknown_topic_is_unknown_to_every_call()
    {
        var broker = await BrokerAsync();
        var name = NewName("unknown");
        var partition = new TopicPartition(name, 0);
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.DescribeTopicAsync(name));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.GetTopicAsync(name));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.DeleteTopicAsync(name));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.AlterTopicAsync(name, new Dictionary<string, string?>()));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.AddPartitionsAsync(name, 3));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.DeleteRecordsAsync(partition, 0));
        await AssertUnknownAsync(broker, partition);
    }

    [Fact]
    public async Task Unknown_partition_is_unknown_to_every_call()
    {
        var (broker, topic) = await TopicAsync("two", 2);
        await AssertUnknownAsync(broker, new TopicPartition(topic, 2));
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.DeleteRecordsAsync(new TopicPartition(topic, 2), 0));
    }

    private static async Task AssertUnknownAsync(IBroker broker, TopicPartition partition)
    {
        var produced = await broker.ProduceAsync(partition, TestBatches.Of("a"), Acks.All);
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, -1), (produced.Error, produced.BaseOffset));
        Assert.NotNull(produced.Message);
        using var fetched = await broker.FetchAsync(new FetchRequest(partition, 0));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, fetched.Error);
        Assert.True(fetched.Records.IsEmpty);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await broker.FindOffsetAsync(partition, OffsetSpec.Latest)).Error);
    }

    [Fact]
    public async Task Configuration_is_altered_and_reset_to_its_default()
    {
        var (broker, topic) = await TopicAsync("altered", 1, ("retention.ms", "5"), ("segment.ms", "6"));
        var altered = await broker.AlterTopicAsync(topic,
            new Dictionary<string, string?> { ["retention.ms"] = null, ["max.message.bytes"] = "500" });
        string Value(string key) =>
            altered.Configs.Where(entry => entry.Name == key).Select(entry => $"{entry.Value} {entry.IsDefault}").Single();
        Assert.Equal(("604800000 True", "6 False", "500 False"), (Value("retention.ms"), Value("segment.ms"), Value("max.message.bytes")));
        Assert.Equal(altered.Configs, (await broker.DescribeTopicAsync(topic)).Configs);

        // Effective at once.
        Assert.Equal(ErrorCode.MessageTooLarge,
            (await broker.ProduceAsync(new TopicPartition(topic, 0), TestBatches.OfSize(600), Acks.All)).Error);

        await RefusedAsync(ErrorCode.InvalidConfig,
            () => broker.AlterTopicAsync(topic, new Dictionary<string, string?> { ["segment.ms"] = "7", ["retention.bytes"] = "many" }));
        Assert.Equal(altered.Configs, (await broker.DescribeTopicAsync(topic)).Configs);
    }

    [Fact]
    public async Task Partitions_are_added_and_never_removed()
    {
        var (broker, topic) = await TopicAsync("growing", 2);
        await ProduceAsync(broker, new TopicPartition(topic, 1), "kept");
        var grown = await broker.AddPartitionsAsync(topic, 4);
        Assert.Equal([0, 1, 2, 3], grown.Partitions.Select(partition => partition.Partition));
        Assert.Equal(4, (await broker.GetTopicAsync(topic)).Partitions);
        Assert.Equal(0, await ProduceAsync(broker, new TopicPartition(topic, 3), "new"));
        Assert.Equal([(0, "kept")], await FetchAsync(broker, new TopicPartition(topic, 1)));
        await RefusedAsync(ErrorCode.InvalidPartitions, () => broker.AddPartitionsAsync(topic, 4));
        await RefusedAsync(ErrorCode.InvalidPartitions, () => broker.AddPartitionsAsync(topic, 3));
        await RefusedAsync(ErrorCode.InvalidPartitions, () => broker.AddPartitionsAsync(topic, 10_001));
    }

    [Fact]
    public async Task Recreated_topic_starts_empty()
    {
        var (broker, topic) = await TopicAsync("deleted", 2);
        var before = await broker.GetTopicAsync(topic);
        var partition = new TopicPartition(topic, 0);
        await ProduceAsync(broker, partition, "old");
        await broker.DeleteTopicAsync(topic);
        await RefusedAsync(ErrorCode.UnknownTopicOrPartition, () => broker.DescribeTopicAsync(topic));
        Assert.DoesNotContain(await broker.ListTopicsAsync(), listing => listing.Name == topic);
        await AssertUnknownAsync(broker, partition);

        var after = await broker.CreateTopicAsync(new NewTopic(topic, 1));
        Assert.NotEqual(before.TopicId, after.TopicId);
        Assert.Empty(await FetchAsync(broker, partition));
        Assert.Equal(0, await ProduceAsync(broker, partition, "new"));
    }

    [Fact]
    public async Task Concurrent_creations_of_one_topic_have_one_winner()
    {
        var broker = await BrokerAsync();
        var name = NewName("contended");
        var attempts = await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            try
            {
                await broker.CreateTopicAsync(new NewTopic(name, 1));
                return ErrorCode.None;
            }
            catch (BrokerException refused)
            {
                return refused.Code;
            }
        }));
        Assert.Single(attempts, ErrorCode.None);
        Assert.Equal(7, attempts.Count(code => code == ErrorCode.TopicAlreadyExists));
    }

    [Fact]
    public async Task Cluster_describes_itself()
    {
        var (broker, topic) = await TopicAsync("cluster", 2);
        var cluster = await broker.DescribeClusterAsync();
        Assert.NotEmpty(cluster.ClusterId);
        Assert.Contains(cluster.Flavour, new[] { "cluster", "standalone" });
        Assert.NotEmpty(cluster.Brokers);
        Assert.All(cluster.Brokers, described => Assert.NotEmpty(described.Version));
        Assert.InRange(cluster.Brokers.Sum(described => described.OnlinePartitions), 2, int.MaxValue);
        var leaders = (await broker.DescribeTopicAsync(topic)).Partitions.Select(partition => partition.Leader);
        Assert.Subset(cluster.Brokers.Select(described => described.BrokerId).ToHashSet(), leaders.ToHashSet());
    }
}
