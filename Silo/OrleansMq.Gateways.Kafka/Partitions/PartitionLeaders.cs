using OrleansMq.Clusters;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>The leader of a partition, as clients are told.</summary>
internal static class PartitionLeaders
{
    /// <summary>A partition that is active here knows its epoch better than the image.</summary>
    public static (int Leader, int Epoch) Of(GatewayServices services, ImageTopic topic, int number)
    {
        var partition = topic.Partitions[number];
        return services.Access.TryDescribe(new TopicPartition(topic.Name, number), topic.TopicId, out var local)
            ? (local.IsOnline ? services.Self : -1, local.LeaderEpoch)
            : (partition.Leader, partition.LeaderEpoch);
    }
}
