using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>Moves of replicas: validation and description.</summary>
internal static class Reassignments
{
    /// <summary>Checks whether a partition may be assigned to these brokers.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="replicas">The brokers, the preferred leader first.</param>
    /// <param name="minInsyncReplicas">The topic's <c>min.insync.replicas</c>.</param>
    /// <returns>The partition's current state, or <see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidReplicaAssignment"/>.</returns>
    public static TopicDecision<ImagePartition> Check(ClusterImage image, TopicPartition partition, IReadOnlyList<int> replicas,
        int minInsyncReplicas)
    {
        var found = Find(image, partition);
        if (!found.IsAccepted)
            return found;
        if (replicas.Count == 0)
            return Refuse($"The list of replicas of partition {partition} is empty: name one broker at least.");
        if (replicas.GroupBy(broker => broker).FirstOrDefault(group => group.Count() > 1) is { } twice)
            return Refuse($"Broker {twice.Key} is listed twice in the replicas of partition {partition}.");
        if (replicas.Count < minInsyncReplicas)
            return Refuse($"Topic '{partition.Topic}' has min.insync.replicas={minInsyncReplicas}: with {replicas.Count} "
                + $"replica{(replicas.Count == 1 ? "" : "s")} nothing could "
                + $"be appended to partition {partition} with acks=all. Name {minInsyncReplicas} brokers at least, or lower "
                + "min.insync.replicas first.");
        foreach (var broker in replicas.Except(found.Next.Holders))
        {
            if (!image.Brokers.TryGetValue(broker, out var target))
                return Refuse($"There is no broker {broker} to hold partition {partition}: the cluster has "
                    + $"{string.Join(", ", image.Brokers.Keys)}.");
            if (!target.IsAlive)
                return Refuse($"Broker {broker} is dead and cannot take partition {partition}: start it, or name another.");
            if (target.IsDraining)
                return Refuse($"Broker {broker} is being drained and takes no partition: name another, or resume it.");
        }
        return found;
    }

    /// <summary>Finds a partition, or returns <see cref="ErrorCode.UnknownTopicOrPartition"/>.</summary>
    public static TopicDecision<ImagePartition> Find(ClusterImage image, TopicPartition partition)
    {
        if (image.FindServed(partition.Topic) is not { } topic)
            return TopicDecision<ImagePartition>.Refuse(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(partition.Topic));
        return (uint)partition.Partition < (uint)topic.Serving
            ? TopicDecision<ImagePartition>.Accept(topic.Partitions[partition.Partition])
            : TopicDecision<ImagePartition>.Refuse(ErrorCode.UnknownTopicOrPartition,
                TopicCatalogue.UnknownPartition(partition, topic.Serving));
    }

    /// <summary>Describes a partition that is being moved to its <see cref="ImagePartition.Target"/>.</summary>
    public static PartitionReassignment Describe(string topic, int number, ImagePartition partition)
    {
        var target = partition.Target.IsEmpty ? partition.Replicas : partition.Target;
        return new PartitionReassignment(topic, number, target, partition.Replicas, [.. target.Except(partition.Isr)],
            [.. partition.Replicas.Except(target)]);
    }

    /// <summary>Reconstructs the replicas of a partition before its move, as far as possible: those that are to leave, then in-sync ones of
    /// the others, up to its replication factor.</summary>
    public static ImmutableArray<int> Origin(ImagePartition partition, int replicationFactor)
    {
        var leaving = partition.Replicas.Except(partition.Target).ToArray();
        var staying = partition.Target.Where(broker => partition.Isr.Contains(broker) && !leaving.Contains(broker));
        return [.. leaving.Concat(staying).Take(Math.Max(replicationFactor, leaving.Length))];
    }

    /// <summary>Lists every partition that is being moved.</summary>
    public static IReadOnlyList<PartitionReassignment> List(ClusterImage image) => [.. image.AllPartitions()
        .Where(found => !found.Partition.Target.IsEmpty)
        .Select(found => Describe(found.Topic.Name, found.Number, found.Partition))];

    /// <summary>Lists the partitions that their first replica could lead but does not.</summary>
    /// <param name="image">The cluster.</param>
    /// <param name="topic">The topic; null for all.</param>
    /// <param name="number">The partition; null for all.</param>
    public static ImmutableArray<(TopicPartition Partition, Guid TopicId, ImagePartition State)> NotPreferred(ClusterImage image,
        string? topic, int? number) =>
        [.. image.AllPartitions()
            .Where(found => (topic is null || found.Topic.Name == topic) && (number is null || found.Number == number)
                && found.Topic.Status == TopicStatus.Active && found.Partition.Leader != found.Partition.Replicas[0])
            .Select(found => (new TopicPartition(found.Topic.Name, found.Number), found.Topic.TopicId, found.Partition))];

    private static TopicDecision<ImagePartition> Refuse(string message) =>
        TopicDecision<ImagePartition>.Refuse(ErrorCode.InvalidReplicaAssignment, message);
}
