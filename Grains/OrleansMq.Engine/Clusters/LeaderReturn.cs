using System.Collections.Immutable;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// Leaderships that a failure put elsewhere, and that go back to the preferred replica: gently, a few at a time, and only once that one has
/// been in sync for a while, so that a broker that comes and goes takes none. Asked again whenever the image changes or time passes. Pure.
/// </summary>
public static class LeaderReturn
{
    /// <summary>Decides.</summary>
    /// <param name="waiting">The partitions that could be led by their preferred replica, and since when; empty at first.</param>
    /// <param name="image">The cluster.</param>
    /// <param name="now">The time.</param>
    /// <param name="patience">For how long it must have been so.</param>
    /// <param name="most">The most to hand over at a time.</param>
    /// <returns>The same afterwards, and what to ask for. What is asked for waits anew, should it not succeed.</returns>
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
