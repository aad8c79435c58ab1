using System.Text;
using OrleansMq.Api;

namespace OrleansMq.Groups.Offsets;

/// <summary>The next offsets of a group, and the response.</summary>
/// <param name="Next">The next offsets; the same instance if nothing changed.</param>
/// <param name="Reply">The response.</param>
internal readonly record struct OffsetOutcome<TReply>(GroupOffsets Next, TReply Reply);

/// <summary>An offset that can be stored.</summary>
/// <param name="Topic">The topic.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Offset">The offset, as its committer sent it.</param>
internal readonly record struct AcceptedOffset(GroupTopic Topic, int Partition, CommittedOffset Offset);

/// <summary>The decisions on commits, fetches and deletes. Whether the caller is authorized by its group's protocol is checked before.
/// Pure.</summary>
internal static class OffsetDecision
{
    /// <summary>Stores the offsets that can be stored; each partition has its own result.</summary>
    /// <param name="offsets">The offsets.</param>
    /// <param name="request">The commit.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Limits.</param>
    /// <param name="now">The current time.</param>
    /// <param name="check">Whether the committer may commit for a partition of the topic that its offset resolves to; null: all.</param>
    public static OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
        GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check = null)
    {
        var answers = Check(offsets, request.Offsets, topics, options, check, out var accepted);
        foreach (var (topic, partition, offset) in accepted)
            offsets = offsets.With(topic.Name, topic.TopicId, partition, offset with { CommitTimestamp = now.ToUnixTimeMilliseconds() });
        return new(offsets, new OffsetCommitResult(answers));
    }

    /// <summary>Checks each offset of a commit.</summary>
    /// <param name="offsets">The offsets of the group.</param>
    /// <param name="commit">The offsets to commit.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Limits.</param>
    /// <param name="check">Whether the committer may commit for a partition of the topic that its offset resolves to; null: all.</param>
    /// <param name="accepted">Those that can be stored.</param>
    /// <returns>The results, in the order of the commit.</returns>
    internal static PartitionError[] Check(GroupOffsets offsets, IReadOnlyList<PartitionOffset> commit, GroupTopics topics,
        GroupOptions options, Func<PartitionOffset, GroupTopic, ErrorCode>? check, out IReadOnlyList<AcceptedOffset> accepted)
    {
        var answers = new PartitionError[commit.Count];
        var found = new List<AcceptedOffset>(answers.Length);
        for (var at = 0; at < answers.Length; at++)
        {
            var wanted = commit[at];
            var error = Resolve(wanted, topics, out var topic);
            if (error == ErrorCode.None)
                error = Check(wanted, topic, options);
            // The coordinator's image is outdated: a newer topic with this name already has offsets here.
            if (error == ErrorCode.None && offsets.HasNewer(new TopicPartition(topic.Name, wanted.Partition), topic.TopicId))
                error = ErrorCode.UnknownTopicId;
            if (error == ErrorCode.None && check is not null)
                error = check(wanted, topic);
            if (error == ErrorCode.None)
                found.Add(new AcceptedOffset(topic, wanted.Partition, wanted.Offset));
            answers[at] = new PartitionError(topic.Name ?? wanted.Topic, wanted.Partition, error, topic.TopicId == default
                ? wanted.TopicId : topic.TopicId);
        }
        accepted = found;
        return answers;
    }

    private static ErrorCode Resolve(PartitionOffset wanted, GroupTopics topics, out GroupTopic topic)
    {
        topic = default;
        if (!topics.IsKnown)
            return ErrorCode.CoordinatorLoadInProgress;
        var found = wanted.TopicId != default ? topics.Find(wanted.TopicId) : wanted.Topic is not null ? topics.Find(wanted.Topic) : null;
        if (found is null)
            return wanted.TopicId != default || wanted.Topic is null ? ErrorCode.UnknownTopicId : ErrorCode.UnknownTopicOrPartition;
        if (wanted.Topic is not null && wanted.Topic != found.Value.Name)
            return ErrorCode.InconsistentTopicId;
        topic = found.Value;
        return ErrorCode.None;
    }

    private static ErrorCode Check(PartitionOffset wanted, GroupTopic topic, GroupOptions options)
    {
        if ((uint)wanted.Partition >= (uint)topic.Partitions)
            return ErrorCode.UnknownTopicOrPartition;
        if (wanted.Offset.Offset < 0)
            return ErrorCode.InvalidRequest;
        return Encoding.UTF8.GetByteCount(wanted.Offset.Metadata) > options.MaxOffsetMetadataBytes ? ErrorCode.OffsetMetadataTooLarge
            : ErrorCode.None;
    }

    /// <summary>Fetches committed offsets. Those of a topic that was deleted and created again do not count.</summary>
    public static OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics)
    {
        var partitions = request.Partitions ?? [.. AllOf(offsets, request.RequireStable)];
        return new OffsetFetchResult(ErrorCode.None,
            [.. partitions.Select(partition => FetchOne(offsets, partition, request.RequireStable, topics))]);
    }

    private static FetchedOffset FetchOne(GroupOffsets offsets, TopicPartition partition, bool requireStable, GroupTopics topics)
    {
        offsets.Topics.TryGetValue(partition.Topic, out var stored);
        var served = topics.Find(partition.Topic);
        var topicId = stored?.TopicId ?? served?.TopicId ?? default;
        if (requireStable && offsets.IsPending(partition))
            return new FetchedOffset(partition, topicId, null, ErrorCode.UnstableOffsetCommit);
        if (stored is not null && topics.IsReplaced(partition.Topic, stored.TopicId))
            return new FetchedOffset(partition, served!.Value.TopicId, null);
        return new FetchedOffset(partition, topicId, offsets.Find(partition));
    }

    private static IEnumerable<TopicPartition> AllOf(GroupOffsets offsets, bool withPending)
    {
        var all = PartitionsOf(offsets.Topics);
        return withPending ? all.Union(offsets.Pending.Partitions) : all;
    }

    private static IEnumerable<TopicPartition> PartitionsOf(IEnumerable<KeyValuePair<string, TopicOffsets>> topics) =>
        topics.SelectMany(topic => topic.Value.Partitions.Keys.Select(partition => new TopicPartition(topic.Key, partition)));

    /// <summary>Deletes the offsets of partitions, also those of open transactions, except of topics that members subscribe to
    /// (KIP-496).</summary>
    public static OffsetOutcome<OffsetDeleteResult> Delete(GroupOffsets offsets, OffsetDelete request, GroupTopics topics,
        IReadOnlySet<string> subscribed)
    {
        var answers = new PartitionError[request.Partitions.Count];
        for (var at = 0; at < answers.Length; at++)
        {
            var partition = request.Partitions[at];
            var isKnown = offsets.Find(partition) is not null || offsets.IsPending(partition);
            var error = subscribed.Contains(partition.Topic) ? ErrorCode.GroupSubscribedToTopic
                : isKnown || IsServed(topics, partition) ? ErrorCode.None : ErrorCode.UnknownTopicOrPartition;
            if (error == ErrorCode.None)
                offsets = offsets.Without(partition);
            answers[at] = new PartitionError(partition.Topic, partition.Partition, error, topics.Find(partition.Topic)?.TopicId ?? default);
        }
        return new(offsets, new OffsetDeleteResult(ErrorCode.None, answers));
    }

    private static bool IsServed(GroupTopics topics, TopicPartition partition) =>
        topics.Find(partition.Topic) is { } topic && (uint)partition.Partition < (uint)topic.Partitions;

    /// <summary>Removes expired offsets of a group without members.</summary>
    /// <param name="offsets">The offsets.</param>
    /// <param name="emptySince">Since when the group has no members.</param>
    /// <param name="retention">How long an offset is kept after that time, and after its commit.</param>
    /// <param name="now">The current time.</param>
    public static GroupOffsets Expire(GroupOffsets offsets, DateTimeOffset emptySince, TimeSpan retention, DateTimeOffset now)
    {
        if (emptySince + retention > now)
            return offsets;
        var oldest = (now - retention).ToUnixTimeMilliseconds();
        foreach (var partition in PartitionsOf(offsets.Topics).Where(partition => offsets.Find(partition)!.CommitTimestamp <= oldest)
            .ToList())
        {
            if (!offsets.IsPending(partition))
                offsets = offsets.Without(partition);
        }
        return offsets;
    }
}
