using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>The cluster image of a broker in one process: its topics and the one broker.</summary>
public sealed class LocalBrokerMetadataTests
{
    private readonly MemoryFileSystem _files = new();

    private Task<LocalBroker> OpenAsync() =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = _files, BrokerId = new BrokerId(7) });

    [Fact]
    public async Task Every_topic_change_makes_a_newer_image()
    {
        await using var broker = await OpenAsync();
        var metadata = broker.Metadata;
        var seen = new List<ClusterImage>();
        metadata.Changed += seen.Add;
        var first = metadata.Image;
        Assert.True(first.Version > 0);
        Assert.Equal(7, first.Controller);
        Assert.True(first.IsAlive(7));

        var created = await broker.CreateTopicAsync(new NewTopic("a", 2));
        var topic = metadata.Image.FindServed("a")!;
        Assert.Equal(created.TopicId, topic.TopicId);
        Assert.Equal([7, 7], topic.Partitions.Select(partition => partition.Leader));
        await broker.AddPartitionsAsync("a", 3);
        Assert.Equal(3, metadata.Image.FindServed("a")!.Serving);
        await broker.AlterTopicAsync("a", new Dictionary<string, string?> { ["retention.ms"] = "1000" });
        Assert.Equal("1000", metadata.Image.FindServed("a")!.Configs["retention.ms"]);
        await broker.DeleteTopicAsync("a");
        Assert.Null(metadata.Image.FindServed("a"));

        Assert.Equal(4, seen.Count);
        Assert.Equal(seen.Select(image => image.Version).Order(), seen.Select(image => image.Version));
        Assert.Same(seen[^1], metadata.Image);
    }

    [Fact]
    public async Task Waiter_for_a_newer_image_is_woken_by_the_next_topic()
    {
        await using var broker = await OpenAsync();
        var waiting = broker.Metadata.WaitForNewerAsync(broker.Metadata.Image.Version, CancellationToken.None);
        Assert.False(waiting.IsCompleted);
        await broker.CreateTopicAsync(new NewTopic("a"));
        Assert.NotNull((await waiting.WaitAsync(TimeSpan.FromSeconds(30))).FindServed("a"));
    }

    [Fact]
    public async Task Topics_are_in_the_image_after_a_restart()
    {
        await using (var before = await OpenAsync())
            await before.CreateTopicAsync(new NewTopic("a", 2));
        await using var broker = await OpenAsync();
        Assert.Equal(2, broker.Metadata.Image.FindServed("a")!.Serving);
        Assert.True(broker.TryGet(new TopicPartition("a", 1), out _));
        Assert.False(broker.TryGet(new TopicPartition("a", 2), out _));
    }

    [Fact]
    public async Task Changed_broker_description_makes_a_newer_image()
    {
        await using var broker = await OpenAsync();
        var before = broker.Metadata.Image;
        broker.Metadata.Register(before.Brokers[7].Registration with { Kafka = "localhost:9092" });
        Assert.Equal("localhost:9092", broker.Metadata.Image.Brokers[7].Registration.Kafka);
        Assert.True(broker.Metadata.Image.Version > before.Version);
    }
}
