using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Topics of a cluster in a test.</summary>
internal static class ClusterTopics
{
    /// <summary>Returns when every replica of the topic is in sync, by every broker's metadata.</summary>
    public static Task UntilInSyncAsync(this ReplicatedCluster cluster, string topic) => cluster.UntilKnownAsync(
        image => image.FindServed(topic) is { } found
            && found.Partitions.All(partition => partition.Leader >= 0 && partition.Isr.Order().SequenceEqual(partition.Replicas.Order())),
        $"{topic} is in sync");

    /// <summary>Returns when it is so by every broker's metadata: each hears of a change for itself.</summary>
    public static Task UntilKnownAsync(this ReplicatedCluster cluster, Func<ClusterImage, bool> condition, string what) =>
        Wait.UntilAsync(() => cluster.Running.All(broker => condition(cluster.ImageOf(broker))), $"{what}, by every broker's metadata");

    /// <summary>Appends until it is acknowledged by all, as a client that retries.</summary>
    public static async Task<ProduceResult> AppendAsync(this ReplicatedCluster cluster, int broker, TopicPartition partition, string value)
    {
        ProduceResult result = default;
        await Wait.UntilAsync(async () =>
        {
            result = await cluster.Broker(broker).ProduceAsync(partition, TestBatches.Of(value), Acks.All);
            return result.Error.Action() != ErrorAction.Retry;
        }, $"an append to {partition}");
        return result;
    }
}
