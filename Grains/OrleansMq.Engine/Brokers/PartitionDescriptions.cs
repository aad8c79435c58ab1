using OrleansMq.Api;
using OrleansMq.Partitions;

namespace OrleansMq.Brokers;

/// <summary>Partitions as the broker API describes them, where one broker holds the only replica.</summary>
internal static class PartitionDescriptions
{
    /// <summary>A partition that is there, online or not.</summary>
    public static PartitionDescription Describe(Partition partition, BrokerId broker)
    {
        var offline = partition.OfflineReason;
        int[] replicas = [broker.Value];
        return new PartitionDescription(partition.TopicPartition.Partition, offline is null ? broker.Value : -1, partition.LeaderEpoch,
            replicas,
            offline is null ? replicas : [], partition.LogStartOffset, partition.HighWatermark, partition.LogEndOffset,
            partition.SizeInBytes, offline);
    }

    /// <summary>A partition whose directory is missing.</summary>
    public static PartitionDescription Missing(TopicPartition partition, BrokerId broker, string reason) =>
        new(partition.Partition, -1, -1, [broker.Value], [], -1, -1, -1, 0, reason);
}
