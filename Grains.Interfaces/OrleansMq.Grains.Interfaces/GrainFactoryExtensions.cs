namespace OrleansMq.Grains;

/// <summary>The grains of a broker, by what they stand for.</summary>
public static class GrainFactoryExtensions
{
    /// <summary>Gets the grain of the cluster: its topics and its brokers.</summary>
    public static IClusterGrain GetCluster(this IGrainFactory grains)
    {
        ArgumentNullException.ThrowIfNull(grains);
        return grains.GetGrain<IClusterGrain>(GrainKeys.Cluster);
    }

    /// <summary>Gets the grain of a topic.</summary>
    /// <param name="grains">The Orleans client, or a grain's or silo's factory.</param>
    /// <param name="name">The topic's name. Whether there is such a topic, its methods tell.</param>
    public static ITopicGrain GetTopic(this IGrainFactory grains, string name)
    {
        ArgumentNullException.ThrowIfNull(grains);
        ArgumentException.ThrowIfNullOrEmpty(name);
        return grains.GetGrain<ITopicGrain>(name);
    }

    /// <summary>Gets the grain of a partition.</summary>
    /// <param name="grains">The Orleans client, or a grain's or silo's factory.</param>
    /// <param name="topicId">The id of the topic, as its grain returns it:
    /// <c>(await grains.GetTopic("orders").FindAsync()).TopicId</c>.</param>
    /// <param name="partition">The partition's number, from 0.</param>
    public static IPartitionGrain GetPartition(this IGrainFactory grains, Guid topicId, int partition)
    {
        ArgumentNullException.ThrowIfNull(grains);
        ArgumentOutOfRangeException.ThrowIfNegative(partition);
        return grains.GetGrain<IPartitionGrain>(GrainKeys.Partition(topicId, partition));
    }

    /// <summary>Gets the grain of the cluster's schedules.</summary>
    public static IScheduleGrain GetSchedules(this IGrainFactory grains)
    {
        ArgumentNullException.ThrowIfNull(grains);
        return grains.GetGrain<IScheduleGrain>(GrainKeys.Cluster);
    }

    /// <summary>Gets the grain of a partition's queues.</summary>
    /// <inheritdoc cref="GetPartition"/>
    public static IQueueGrain GetQueues(this IGrainFactory grains, Guid topicId, int partition)
    {
        ArgumentNullException.ThrowIfNull(grains);
        ArgumentOutOfRangeException.ThrowIfNegative(partition);
        return grains.GetGrain<IQueueGrain>(GrainKeys.Partition(topicId, partition));
    }
}
