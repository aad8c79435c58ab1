using System.Collections.Immutable;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>What makes one image out of another; out of <see cref="ClusterImage.Empty"/>, the whole image.</summary>
/// <param name="From">The version it applies to; 0: to none, it is the whole.</param>
/// <param name="To">The version it makes.</param>
/// <param name="Controller">The image's controller.</param>
/// <param name="AutoRebalance">The image's switch.</param>
/// <param name="Brokers">Brokers that are new or changed.</param>
/// <param name="RemovedBrokers">Brokers that are gone.</param>
/// <param name="Topics">Topics that are new, or changed in more than single partitions.</param>
/// <param name="RemovedTopics">Topics that are gone.</param>
/// <param name="Partitions">Partitions that changed.</param>
/// <param name="Deleted">Topics that are to be deleted from disk, in addition.</param>
/// <param name="Forgotten">Deleted topics of which no broker has anything any more.</param>
/// <param name="CatchUpMaxBytesPerSecond">The image's limit.</param>
public sealed record ClusterDelta(long From, long To, int Controller, bool AutoRebalance, ImmutableArray<ImageBroker> Brokers,
    ImmutableArray<int> RemovedBrokers, ImmutableArray<ImageTopic> Topics, ImmutableArray<Guid> RemovedTopics,
    ImmutableArray<ChangedPartition> Partitions, ImmutableArray<Guid> Deleted, ImmutableArray<Guid> Forgotten,
    long CatchUpMaxBytesPerSecond = 0)
{
    /// <summary>Whether it is a whole image.</summary>
    public bool IsWhole => From == 0;

    /// <summary>What makes <paramref name="after"/> out of <paramref name="before"/>. Cheap where they share what did not change.</summary>
    public static ClusterDelta Between(ClusterImage before, ClusterImage after)
    {
        var topics = ImmutableArray.CreateBuilder<ImageTopic>();
        var partitions = ImmutableArray.CreateBuilder<ChangedPartition>();
        if (!ReferenceEquals(before.Topics, after.Topics))
        {
            foreach (var (id, topic) in after.Topics)
                Compare(before.Topics.GetValueOrDefault(id), topic, topics, partitions);
        }
        return new ClusterDelta(before.Version, after.Version, after.Controller, after.AutoRebalance,
            [.. after.Brokers.Values.Where(broker => before.Brokers.GetValueOrDefault(broker.Registration.BrokerId) != broker)],
            [.. before.Brokers.Keys.Where(broker => !after.Brokers.ContainsKey(broker))],
            topics.ToImmutable(),
            ReferenceEquals(before.Topics, after.Topics) ? [] : [.. before.Topics.Keys.Where(id => !after.Topics.ContainsKey(id)).Order()],
            partitions.ToImmutable(),
            ReferenceEquals(before.Deleted, after.Deleted) ? [] : [.. after.Deleted.Except(before.Deleted).Order()],
            ReferenceEquals(before.Deleted, after.Deleted) ? [] : [.. before.Deleted.Except(after.Deleted).Order()],
            after.CatchUpMaxBytesPerSecond);
    }

    /// <summary>Makes the next image.</summary>
    /// <returns>Null where it does not follow on <paramref name="image"/>: something is missing in between, ask for the whole.</returns>
    public ClusterImage? Apply(ClusterImage image)
    {
        if (!IsWhole && From != image.Version)
            return null;
        var next = (IsWhole ? ClusterImage.Empty : image) with
        {
            Version = To,
            Controller = Controller,
            AutoRebalance = AutoRebalance,
            CatchUpMaxBytesPerSecond = CatchUpMaxBytesPerSecond,
        };
        next = next with
        {
            Brokers = next.Brokers.RemoveRange(RemovedBrokers)
                .SetItems(Brokers.Select(broker => KeyValuePair.Create(broker.Registration.BrokerId, broker))),
            Deleted = next.Deleted.Except(Forgotten).Union(Deleted),
        };
        next = RemovedTopics.Aggregate(next, (made, id) => made.WithoutTopic(id));
        next = Topics.Aggregate(next, (made, topic) => made.WithTopic(topic));
        return Partitions.Aggregate(next, (made, changed) => made.WithPartition(changed.Key, changed.Partition));
    }

    private static void Compare(ImageTopic? before, ImageTopic after, ImmutableArray<ImageTopic>.Builder topics,
        ImmutableArray<ChangedPartition>.Builder partitions)
    {
        if (ReferenceEquals(before, after))
            return;
        if (before is null || !before.HasSameHead(after))
        {
            topics.Add(after);
            return;
        }
        for (var number = 0; number < after.Partitions.Length; number++)
        {
            if (before.Partitions[number] != after.Partitions[number])
                partitions.Add(new ChangedPartition(new ReplicaKey(after.TopicId, number), after.Partitions[number]));
        }
    }
}

/// <summary>A partition that changed.</summary>
/// <param name="Key">Which.</param>
/// <param name="Partition">What it is now.</param>
public sealed record ChangedPartition(ReplicaKey Key, ImagePartition Partition);
