using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>
/// The topics that requests to groups name, as a session may use them: it commits and deletes offsets of topics that it may read, and
/// fetches those of topics that it may describe. The others are answered with <see cref="ErrorCode.TopicAuthorizationFailed"/>; of a
/// request for all, and of a group's description, they are left out. A heartbeat carries the session to the coordinator, which resolves a
/// regular expression to topics that the session may describe.
/// </summary>
/// <param name="session">The session.</param>
internal readonly struct GroupTopics(SessionAccess session)
{
    /// <summary>Returns the request without the topics that the session may not use: the same object where it may use all. A heartbeat of
    /// the consumer protocol gets the session as its subscriber, whatever the caller has set.</summary>
    public IGroupRequest Narrow(IGroupRequest request)
    {
        var self = this;
        return request switch
        {
            OffsetCommit commit when !commit.Offsets.All(one => self.MayRead(one.Topic)) =>
                commit with { Offsets = [.. commit.Offsets.Where(one => self.MayRead(one.Topic))] },
            TransactionOffsetCommit commit when !commit.Offsets.All(one => self.MayRead(one.Topic)) =>
                commit with { Offsets = [.. commit.Offsets.Where(one => self.MayRead(one.Topic))] },
            OffsetDelete delete when !delete.Partitions.All(one => self.MayRead(one.Topic)) =>
                delete with { Partitions = [.. delete.Partitions.Where(one => self.MayRead(one.Topic))] },
            OffsetFetch { Partitions: { } partitions } fetch when !partitions.All(one => self.MayDescribe(one.Topic)) =>
                fetch with { Partitions = [.. partitions.Where(one => self.MayDescribe(one.Topic))] },
            ConsumerGroupHeartbeat heartbeat => heartbeat with { Subscriber = session.Subscriber },
            _ => request,
        };
    }

    /// <summary>Returns the answer to the whole request.</summary>
    /// <param name="request">The whole request.</param>
    /// <param name="sent">What <see cref="Narrow"/> made of it.</param>
    /// <param name="answer">The answer to that.</param>
    public object Complete(IGroupRequest request, IGroupRequest sent, object answer)
    {
        var self = this;
        // The Kafka protocol tells no part of a group: its gateway refuses it.
        if (answer is GroupDescription described)
            return session.Session.Protocol is SessionProtocol.Http or SessionProtocol.Orleans
                ? described with { Members = [.. described.Members.Select(self.Seen)] } : answer;
        if (ReferenceEquals(request, sent))
            return request is OffsetFetch { Partitions: null } && answer is OffsetFetchResult all
                && !all.Partitions.All(one => self.MayDescribe(one.Partition.Topic))
                ? all with { Partitions = [.. all.Partitions.Where(one => self.MayDescribe(one.Partition.Topic))] } : answer;
        return (request, sent, answer) switch
        {
            (OffsetCommit commit, OffsetCommit part, OffsetCommitResult result) =>
                result with { Partitions = self.Merge(commit.Offsets, part.Offsets, result.Partitions) },
            (TransactionOffsetCommit commit, TransactionOffsetCommit part, OffsetCommitResult result) =>
                result with { Partitions = self.Merge(commit.Offsets, part.Offsets, result.Partitions) },
            (OffsetDelete delete, OffsetDelete part, OffsetDeleteResult { Error: ErrorCode.None } result) => result with
            {
                Partitions = self.Merge(OffsetsOf(delete), OffsetsOf(part), result.Partitions),
            },
            (OffsetFetch { Partitions: { } asked }, OffsetFetch { Partitions: { } part }, OffsetFetchResult
                { Error: ErrorCode.None } result) => result with
                {
                    Partitions = [.. result.Partitions, .. self.Refused(asked, part)],
                },
            _ => answer,
        };
    }

    private GroupMember Seen(GroupMember member)
    {
        var self = this;
        if (member.SubscribedTopicNames.All(MayDescribe) && member.Assignment.All(one => self.MayDescribe(one.Topic))
            && member.TargetAssignment.All(one => self.MayDescribe(one.Topic)))
            return member;
        return member with
        {
            SubscribedTopicNames = [.. member.SubscribedTopicNames.Where(MayDescribe)],
            Assignment = [.. member.Assignment.Where(one => self.MayDescribe(one.Topic))],
            TargetAssignment = [.. member.TargetAssignment.Where(one => self.MayDescribe(one.Topic))],
            // Its topics are in there, too.
            ClassicMetadata = default,
            ClassicAssignment = default,
        };
    }

    private static CommittedOffset None { get; } = new(-1);

    private static PartitionOffset[] OffsetsOf(OffsetDelete delete) =>
        [.. delete.Partitions.Select(static one => new PartitionOffset(one.Topic, one.Partition, None))];

    // In the order of the request. What was sent is a part of it in the same order, and so are the answers. The rules may have changed
    // since.
    private List<PartitionError> Merge(IReadOnlyList<PartitionOffset> asked, IReadOnlyList<PartitionOffset> sent,
        IReadOnlyList<PartitionError> answered)
    {
        var merged = new List<PartitionError>(asked.Count);
        var next = 0;
        foreach (var one in asked)
        {
            var isSent = next < sent.Count && sent[next] == one;
            if (!isSent)
                session.Authorizes(AccessOperation.Read, ResourceType.Topic, one.Topic ?? ResourceTypes.Every);
            merged.Add(!isSent ? new PartitionError(one.Topic, one.Partition, ErrorCode.TopicAuthorizationFailed, one.TopicId)
                : next < answered.Count ? answered[next]
                : new PartitionError(one.Topic, one.Partition, ErrorCode.UnknownServerError, one.TopicId));
            next += isSent ? 1 : 0;
        }
        return merged;
    }

    private IEnumerable<FetchedOffset> Refused(IReadOnlyList<TopicPartition> asked, IReadOnlyList<TopicPartition> sent)
    {
        var known = sent.ToHashSet();
        foreach (var one in asked)
        {
            if (known.Contains(one))
                continue;
            session.Authorizes(AccessOperation.Describe, ResourceType.Topic, one.Topic);
            yield return new FetchedOffset(one, Guid.Empty, null, ErrorCode.TopicAuthorizationFailed);
        }
    }

    // A topic that only an id names may be any topic: reading it needs a rule for every one.
    private bool MayRead(string? topic) => session.Grants(AccessOperation.Read, ResourceType.Topic, topic ?? ResourceTypes.Every);

    private bool MayDescribe(string topic) => session.Allows(AccessOperation.Describe, ResourceType.Topic, topic);
}
