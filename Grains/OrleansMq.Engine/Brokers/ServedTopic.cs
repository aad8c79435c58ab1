using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>A topic as requests find it: never changed, only replaced.</summary>
internal sealed class ServedTopic(TopicState state, TopicConfig config, Partition?[] partitions)
{
    public TopicState State { get; } = state;
    public TopicConfig Config { get; } = config;
    public TopicListing Listing { get; } = state.ToListing();

    /// <summary>By number; null where the partition's directory is missing.</summary>
    public IReadOnlyList<Partition?> Partitions => partitions;

    /// <summary>The partition of that number, or why there is none.</summary>
    public Partition? Find(TopicPartition partition, out ErrorCode error)
    {
        if ((uint)partition.Partition >= (uint)partitions.Length)
        {
            error = ErrorCode.UnknownTopicOrPartition;
            return null;
        }
        var found = partitions[partition.Partition];
        error = found is null ? ErrorCode.KafkaStorageError : ErrorCode.None;
        return found;
    }
}
