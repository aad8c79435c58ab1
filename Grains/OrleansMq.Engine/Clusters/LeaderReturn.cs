using System.Collections.Immutable;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// Returns leaderships that moved after a failure to their preferred replicas: a few at a time, and only after that replica has been in
/// sync for a while, so that an unstable broker gets none. Evaluated whenever the image changes or time passes. Pure.
/// </summary>
internal static class LeaderReturn
{
    /// <summary>Decides on the next handovers.</summary>
    /// <param name="waiting">The partitions that their preferred replica could lead, and since when; initially empty.</param>
    /// <param name="image">The cluster.</param>
    /// <param name="now">The current time.</param>
    /// <param name="patience">How long the preferred replica must have been able to lead.</param>
    /// <param name="most">The maximum number of handovers at a time.</param>
    /// <returns>The updated map, and the handovers to request. A requested partition starts to wait again, in case the handover
    /// fails.</returns>
    public static (ImmutableDictionary<ReplicaKey, DateTimeOffset> Waiting, IReadOnlyList<RebalanceAction> Actions) Next(
        ImmutableDictionary<ReplicaKey, DateTimeOffset> waiting, ClusterImage image, DateTimeOffset now, TimeSpan patience, int most)
    {
        var next = ImmutableDictionary.CreateBuilder<ReplicaKey, DateTimeOffset>();
        var actions = new List<RebalanceAction>();
        foreach (var (topic, number, partition) in image.AllPartitions())
        {
            if (topic.Status != TopicStatus.Active || !CanReturn(image, partition))
                continue;
            var key = new ReplicaKey(topic.TopicId, number);
            var since = waiting.TryGetValue(key, out var before) ? before : now;
            if (now - since >= patience && actions.Count < most)
            {
                actions.Add(new RebalanceAction(key, RebalanceActionKind.HandOver, [partition.Replicas[0]]));
                since = now;
            }
            next[key] = since;
        }
        return (next.Count == 0 ? ImmutableDictionary<ReplicaKey, DateTimeOffset>.Empty : next.ToImmutable(), actions);
    }

    private static bool CanReturn(ClusterImage image, ImagePartition partition) => partition.Replicas is [var preferred, ..]
        && partition.Leader >= 0 && partition.Leader != preferred && partition.Target.IsEmpty && partition.Isr.Contains(preferred)
        && image.Brokers.TryGetValue(preferred, out var broker) && broker is { IsAlive: true, IsDraining: false };
}
