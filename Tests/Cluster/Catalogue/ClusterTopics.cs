using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Topic operations on a test cluster.</summary>
internal static class ClusterTopics
{
    /// <summary>Waits until every replica of the topic is in sync, by every broker's metadata.</summary>
    public static Task UntilInSyncAsync(this ReplicatedCluster cluster, string topic) => cluster.UntilKnownAsync(
        image => image.FindServed(topic) is { } found
            && found.Partitions.All(partition => partition.Leader >= 0 && partition.Isr.Order().SequenceEqual(partition.Replicas.Order())),
        $"{topic} is in sync");

    /// <summary>Waits until the condition holds in every broker's metadata, since each broker learns of a change by itself.</summary>
    public static Task UntilKnownAsync(this ReplicatedCluster cluster, Func<ClusterImage, bool> condition, string what) =>
        Wait.UntilAsync(() => cluster.Running.All(broker => condition(cluster.ImageOf(broker))), $"{what}, by every broker's metadata");

    /// <summary>Demands that no record was ever in the topic. A partition without a leader does not say: it is waited for.</summary>
    public static async Task DemandEmptyAsync(this ReplicatedCluster cluster, int broker, string topic)
    {
        IReadOnlyList<PartitionDescription> partitions = [];
        await Wait.UntilAsync(async () => (partitions = (await cluster.Broker(broker).DescribeTopicAsync(topic)).Partitions)
            .All(static partition => partition.Leader >= 0), $"a leader answers for each partition of {topic}");
        Assert.All(partitions, static partition => Assert.Equal(0, partition.HighWatermark));
    }

    /// <summary>Appends a record once, with acks=all, and retries until it is acknowledged.</summary>
    public static async Task<ProduceResult> AppendAsync(this ReplicatedCluster cluster, int broker, TopicPartition partition, string value)
    {
        ProduceResult result = default;
        var batch = TestBatches.Once(value);
        await Wait.UntilAsync(async () =>
        {
            result = await cluster.Broker(broker).ProduceAsync(partition, batch, Acks.All);
            return result.Error.Action() != ErrorAction.Retry;
        }, $"an append to {partition}");
        return result;
    }
}
