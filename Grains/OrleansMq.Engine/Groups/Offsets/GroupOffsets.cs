using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Topics;

namespace OrleansMq.Groups.Offsets;

/// <summary>The committed offsets of a group. Immutable; a method that changes nothing returns the same instance.</summary>
internal sealed record GroupOffsets
{
    /// <summary>No offsets.</summary>
    public static GroupOffsets Empty { get; } = new();

    /// <summary>The offsets by topic name, in ordinal order.</summary>
    public ImmutableSortedDictionary<string, TopicOffsets> Topics { get; init; } =
        ImmutableSortedDictionary.Create<string, TopicOffsets>(StringComparer.Ordinal);

    /// <summary>Offsets of open transactions. They take effect when the transaction is committed.</summary>
    public PendingOffsets Pending { get; init; } = PendingOffsets.Empty;

    /// <summary>The producers whose last transaction has ended here, by id.</summary>
    public ImmutableSortedDictionary<long, ProducerFence> Fences { get; init; } = ImmutableSortedDictionary<long, ProducerFence>.Empty;

    /// <summary>Whether there are no offsets at all. Fences are none.</summary>
    public bool IsEmpty => Topics.IsEmpty && Pending.IsEmpty;

    /// <summary>Returns the committed offset of a partition; null for none.</summary>
    public CommittedOffset? Find(TopicPartition partition) =>
        Topics.TryGetValue(partition.Topic, out var topic) && topic.Partitions.TryGetValue(partition.Partition, out var offset)
        ? offset : null;

    /// <summary>Whether an open transaction has an offset for a partition.</summary>
    public bool IsPending(TopicPartition partition) => Pending.Contains(partition);

    /// <summary>Whether an offset is for a newer topic of a partition's name.</summary>
    public bool HasNewer(TopicPartition partition, Guid topicId) =>
        (Topics.TryGetValue(partition.Topic, out var stored) && TopicIds.IsNewer(stored.TopicId, topicId))
        || (!Pending.IsEmpty && Pending.Of(partition).Any(pending => TopicIds.IsNewer(pending.TopicId, topicId)));

    /// <summary>Returns the offsets with one added or replaced. Offsets of an earlier topic with the same name are removed, and those of
    /// open transactions for the partition: they were written before.</summary>
    public GroupOffsets With(string topic, Guid topicId, int partition, CommittedOffset offset) => this with
    {
        Topics = Add(Topics, topic, topicId, partition, offset),
        Pending = Pending.Without(new TopicPartition(topic, partition)),
    };

    /// <summary>Ends a transaction: its offsets take effect, or are discarded. An offset that was written before one of them, in another
    /// transaction that is open still, is removed.</summary>
    /// <param name="producerId">The producer.</param>
    /// <param name="number">The transaction's number. A newer transaction stays; an older one is discarded, since a producer's newer one
    /// begins when all participants have ended the older.</param>
    /// <param name="isCommit">Whether they take effect.</param>
    public GroupOffsets EndTransaction(long producerId, long number, bool isCommit)
    {
        if (Pending.Find(producerId) is not { } transaction || transaction.Number > number)
            return this;
        var topics = Topics;
        var pending = Pending.WithoutTransaction(producerId);
        if (!isCommit || transaction.Number < number)
            return this with { Pending = pending };
        foreach (var (partition, written) in transaction.Offsets)
        {
            if (topics.TryGetValue(partition.Topic, out var stored) && TopicIds.IsNewer(stored.TopicId, written.TopicId))
                continue;
            topics = Add(topics, partition.Topic, written.TopicId, partition.Partition, written.Offset);
            pending = pending.Without(partition, below: written.Order);
        }
        return this with { Topics = topics, Pending = pending };
    }

    /// <summary>Returns the offsets without that of a partition, including open transactions.</summary>
    public GroupOffsets Without(TopicPartition partition)
    {
        var next = IsPending(partition) ? this with { Pending = Pending.Without(partition) } : this;
        if (!Topics.TryGetValue(partition.Topic, out var topic) || !topic.Partitions.ContainsKey(partition.Partition))
            return next;
        var partitions = topic.Partitions.Remove(partition.Partition);
        return next with
        {
            Topics = partitions.IsEmpty ? Topics.Remove(partition.Topic)
                : Topics.SetItem(partition.Topic, topic with { Partitions = partitions }),
        };
    }

    /// <summary>Returns the offsets without those of removed topics, including open transactions.</summary>
    public GroupOffsets WithoutTopics(Func<string, Guid, bool> isGone)
    {
        var gone = Topics.Where(topic => isGone(topic.Key, topic.Value.TopicId)).Select(topic => topic.Key).ToList();
        var next = gone.Count == 0 ? this : this with { Topics = Topics.RemoveRange(gone) };
        var pending = Pending.WithoutTopics(isGone);
        return ReferenceEquals(pending, Pending) ? next : next with { Pending = pending };
    }

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

/// <summary>What a group keeps of a producer whose transaction has ended, to refuse what arrives late.</summary>
/// <param name="Number">The number of the last transaction that has ended. No offset of it, or of an earlier one, is accepted.</param>
/// <param name="Epoch">The epoch that the producer must have at least.</param>
/// <param name="CoordinatorEpoch">The epoch that the transactions' coordinator must have at least.</param>
/// <param name="EndedAt">When the transaction ended here, in milliseconds since 1970.</param>
internal readonly record struct ProducerFence(long Number, short Epoch, int CoordinatorEpoch, long EndedAt)
{
    /// <summary>When it is forgotten.</summary>
    public DateTimeOffset ForgottenAt => DateTimeOffset.FromUnixTimeMilliseconds(EndedAt) + TransactionOffsetDecision.FenceRetention;
}
