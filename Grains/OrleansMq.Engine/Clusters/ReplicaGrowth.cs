using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// Gives topics the replicas that there were no brokers for when they were created: the first silo of a cluster is alone when it declares
/// its topics. <see cref="RebalancePlanner.PlanGrowth"/> plans the replicas once enough brokers have joined, and a rebalance adds them.
/// When every partition has them, the topic's replication factor is raised, and with it the default of <c>min.insync.replicas</c>. What a
/// crash interrupts is decided again from the image. A topic that has reached its intended factor is left alone: a later
/// assignment of fewer replicas stays. Pure.
/// </summary>
internal static class ReplicaGrowth
{
    /// <summary>Whether a topic has fewer replicas than intended and can be given more.</summary>
    /// <param name="image">The cluster.</param>
    /// <returns>The reason; null if nothing can be added.</returns>
    public static string? WhyDue(ClusterImage image)
    {
        var taking = image.Brokers.Values.Count(static broker => broker.TakesReplicas);
        foreach (var id in image.Names.Values)
        {
            var topic = image.Topics[id];
            if (IsIntended(topic) && topic.Partitions.Any(partition => CanGrow(image, topic, partition, taking)))
                return $"topic '{topic.Name}' has fewer than {topic.IntendedReplicationFactor} replicas";
        }
        return null;
    }

    /// <summary>Whether a partition can be given a replica. Only if all brokers that hold it take replicas: one that is away or being
    /// drained is dealt with first.</summary>
    public static bool CanGrow(ClusterImage image, ImageTopic topic, ImagePartition partition, int taking) =>
        IsIntended(topic) && partition.Leader >= 0 && partition.Target.IsEmpty
        && partition.Replicas.Length < Math.Min(topic.IntendedReplicationFactor, taking)
        && partition.Replicas.All(broker => image.Brokers.TryGetValue(broker, out var holder) && holder.TakesReplicas);

    /// <summary>Returns the replication factor that every partition of a topic has reached, in sync, if that is above its own.</summary>
    public static short? Reached(ImageTopic topic)
    {
        if (!IsIntended(topic) || topic.Partitions.Length == 0 || topic.Serving < topic.Partitions.Length
            || topic.Partitions.Any(static partition => !partition.Target.IsEmpty))
            return null;
        var reached = Math.Min(topic.Partitions.Min(static partition => Math.Min(partition.Replicas.Length, partition.Isr.Length)),
            topic.IntendedReplicationFactor);
        return reached > topic.ReplicationFactor ? (short)reached : null;
    }

    private static bool IsIntended(ImageTopic topic) =>
        topic.Status == TopicStatus.Active && topic.IntendedReplicationFactor > topic.ReplicationFactor;
}
