using System.Collections.Immutable;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>The difference between two images; relative to <see cref="ClusterImage.Empty"/>, the whole image.</summary>
/// <param name="From">The version to which it applies; 0 for a whole image.</param>
/// <param name="To">The version that it produces.</param>
/// <param name="Controller">The image's controller.</param>
/// <param name="AutoRebalance">The image's setting.</param>
/// <param name="Brokers">New or changed brokers.</param>
/// <param name="RemovedBrokers">Removed brokers.</param>
/// <param name="Topics">Topics that are new, or changed in more than single partitions.</param>
/// <param name="RemovedTopics">Removed topics.</param>
/// <param name="Partitions">Changed partitions.</param>
/// <param name="Deleted">Additional topics to delete from disk.</param>
/// <param name="Forgotten">Deleted topics of which no broker has data any more.</param>
/// <param name="CatchUpMaxBytesPerSecond">The image's limit.</param>
internal sealed record ClusterDelta(long From, long To, int Controller, bool AutoRebalance, ImmutableArray<ImageBroker> Brokers,
    ImmutableArray<int> RemovedBrokers, ImmutableArray<ImageTopic> Topics, ImmutableArray<Guid> RemovedTopics,
    ImmutableArray<ChangedPartition> Partitions, ImmutableArray<Guid> Deleted, ImmutableArray<Guid> Forgotten,
    long CatchUpMaxBytesPerSecond = 0)
{
    /// <summary>Whether it is a whole image.</summary>
    public bool IsWhole => From == 0;

    /// <summary>Computes the difference between two images. Cheap, since they share what did not change.</summary>
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

    /// <summary>Applies the delta to an image.</summary>
    /// <returns>The next image; null if the delta does not follow <paramref name="image"/>, in which case the whole image must be
    /// requested.</returns>
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

/// <summary>A changed partition.</summary>
/// <param name="Key">The partition.</param>
/// <param name="Partition">Its new state.</param>
internal sealed record ChangedPartition(ReplicaKey Key, ImagePartition Partition);
