using System.Collections.Immutable;
using OrleansMq.Api;

namespace OrleansMq.Groups.Offsets;

/// <summary>The committed offsets of a group. Immutable; a method that changes nothing returns the same instance.</summary>
internal sealed record GroupOffsets
{
    /// <summary>No offsets.</summary>
    public static GroupOffsets Empty { get; } = new();

    /// <summary>The offsets by topic name, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, TopicOffsets> Topics { get; init; } =
        ImmutableSortedDictionary.Create<string, TopicOffsets>(StringComparer.Ordinal);

    /// <summary>Offsets of open transactions, by producer id. They take effect when the transaction is committed.</summary>
    public ImmutableSortedDictionary<long, ImmutableSortedDictionary<string, TopicOffsets>> Pending { get; init; } =
        ImmutableSortedDictionary<long, ImmutableSortedDictionary<string, TopicOffsets>>.Empty;

    /// <summary>Whether there are no offsets at all.</summary>
    public bool IsEmpty => Topics.IsEmpty && Pending.IsEmpty;

    /// <summary>Returns the committed offset of a partition; null for none.</summary>
    public CommittedOffset? Find(TopicPartition partition) =>
        Topics.TryGetValue(partition.Topic, out var topic) && topic.Partitions.TryGetValue(partition.Partition, out var offset)
        ? offset : null;

    /// <summary>Whether an open transaction has an offset for a partition.</summary>
    public bool IsPending(TopicPartition partition) => Pending.Values.Any(topics =>
        topics.TryGetValue(partition.Topic, out var topic) && topic.Partitions.ContainsKey(partition.Partition));

    /// <summary>Returns the offsets with one added or replaced. Offsets of an earlier topic with the same name are removed.</summary>
    public GroupOffsets With(string topic, Guid topicId, int partition, CommittedOffset offset) =>
        this with { Topics = Add(Topics, topic, topicId, partition, offset) };

    /// <summary>Returns the offsets with one of an open transaction added.</summary>
    public GroupOffsets WithPending(long producerId, string topic, Guid topicId, int partition, CommittedOffset offset)
    {
        var topics = Pending.TryGetValue(producerId, out var found) ? found : Empty.Topics;
        return this with { Pending = Pending.SetItem(producerId, Add(topics, topic, topicId, partition, offset)) };
    }

    /// <summary>Ends a transaction: its offsets take effect, or are discarded.</summary>
    public GroupOffsets EndTransaction(long producerId, bool isCommitted)
    {
        if (!Pending.TryGetValue(producerId, out var topics))
            return this;
        var next = this with { Pending = Pending.Remove(producerId) };
        if (!isCommitted)
            return next;
        foreach (var (name, topic) in topics)
        {
            foreach (var (partition, offset) in topic.Partitions)
                next = next.With(name, topic.TopicId, partition, offset);
        }
        return next;
    }

    /// <summary>Returns the offsets without that of a partition.</summary>
    public GroupOffsets Without(TopicPartition partition)
    {
        if (!Topics.TryGetValue(partition.Topic, out var topic) || !topic.Partitions.ContainsKey(partition.Partition))
            return this;
        var partitions = topic.Partitions.Remove(partition.Partition);
        return this with
        {
            Topics = partitions.IsEmpty ? Topics.Remove(partition.Topic)
                : Topics.SetItem(partition.Topic, topic with { Partitions = partitions }),
        };
    }

    /// <summary>Returns the offsets without those of removed topics, including open transactions.</summary>
    public GroupOffsets WithoutTopics(Func<string, Guid, bool> isGone)
    {
        var gone = Gone(Topics, isGone);
        var next = gone.Count == 0 ? this : this with { Topics = Topics.RemoveRange(gone) };
        foreach (var (producerId, topics) in Pending)
        {
            gone = Gone(topics, isGone);
            if (gone.Count == 0)
                continue;
            var left = topics.RemoveRange(gone);
            next = next with { Pending = left.IsEmpty ? next.Pending.Remove(producerId) : next.Pending.SetItem(producerId, left) };
        }
        return next;
    }

    private static List<string> Gone(ImmutableSortedDictionary<string, TopicOffsets> topics, Func<string, Guid, bool> isGone) =>
        [.. topics.Where(topic => isGone(topic.Key, topic.Value.TopicId)).Select(topic => topic.Key)];

    private static ImmutableSortedDictionary<string, TopicOffsets> Add(ImmutableSortedDictionary<string, TopicOffsets> topics, string topic,
        Guid topicId, int partition, CommittedOffset offset)
    {
        var partitions = topics.TryGetValue(topic, out var found) && found.TopicId == topicId
            ? found.Partitions
            : ImmutableSortedDictionary<int, CommittedOffset>.Empty;
        return topics.SetItem(topic, new TopicOffsets(topicId, partitions.SetItem(partition, offset)));
    }
}

/// <summary>The committed offsets of one topic.</summary>
/// <param name="TopicId">The id of the topic for which they were committed.</param>
/// <param name="Partitions">The offsets by partition.</param>
internal sealed record TopicOffsets(Guid TopicId, ImmutableSortedDictionary<int, CommittedOffset> Partitions);
