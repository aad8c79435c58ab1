using OrleansMq.Access;
using OrleansMq.Clusters;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>The leader of a partition, as clients are told.</summary>
internal static class PartitionLeaders
{
    /// <summary>Returns the leader and its epoch, as far as this broker knows.</summary>
    /// <param name="services">The broker.</param>
    /// <param name="topic">The topic in the image.</param>
    /// <param name="number">The partition.</param>
    public static (int Leader, int Epoch) Of(GatewayServices services, ImageTopic topic, int number) => Of(services.Self,
        topic.Partitions[number], services.Access.TryDescribe(new TopicPartition(topic.Name, number), topic.TopicId, out var local)
            ? local : null);

    /// <summary>A partition that is active here knows its epoch better than the image, until the image knows of a later leader.</summary>
    /// <param name="self">This broker.</param>
    /// <param name="partition">The partition in the image.</param>
    /// <param name="local">The partition that is active here; null: none is.</param>
    internal static (int Leader, int Epoch) Of(int self, ImagePartition partition, LocalPartition? local) =>
        local is { } here && here.LeaderEpoch >= partition.LeaderEpoch ? (here.IsOnline ? self : -1, here.LeaderEpoch)
            : (partition.Leader, partition.LeaderEpoch);
}
