using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 9: returns the committed offsets of groups.</summary>
internal sealed class OffsetFetchApi() : KafkaApi<OffsetFetchRequest>(ApiKey.OffsetFetch, 1, 10, flexibleFrom: 6)
{
    protected override OffsetFetchRequest Read(ref RequestReader reader, short version)
    {
        OffsetFetchGroup[] groups;
        if (version < 8)
        {
            groups = [new OffsetFetchGroup(reader.ReadString(), null, -1, ReadTopics(ref reader, version))];
        }
        else
        {
            groups = new OffsetFetchGroup[reader.ReadArrayLength(elementBytes: 3)];
            for (var index = 0; index < groups.Length; index++)
            {
                var groupId = reader.ReadString();
                var (memberId, epoch) = version >= 9 ? (reader.ReadNullableString(), reader.ReadInt32()) : (null, -1);
                groups[index] = new OffsetFetchGroup(groupId, memberId, epoch, ReadTopics(ref reader, version));
                reader.SkipTags();
            }
        }
        return new OffsetFetchRequest(groups, version >= 7 && reader.ReadBool());
    }

    private static OffsetFetchTopic[]? ReadTopics(ref RequestReader reader, short version)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 3);
        if (count < 0)
            return version >= 2 ? null : reader.Fail<OffsetFetchTopic[]>("the list of topics is null", []);
        var topics = new OffsetFetchTopic[count];
        for (var index = 0; index < count; index++)
        {
            var (name, id) = version >= 10 ? (null, reader.ReadUuid()) : (reader.ReadString(), Guid.Empty);
            topics[index] = new OffsetFetchTopic(name, id, reader.ReadInt32Array());
            reader.SkipTags();
        }
        return topics;
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, OffsetFetchRequest request, ResponseWriter response)
    {
        var version = context.Version;
        if (version >= 3)
            response.WriteThrottle();
        if (version >= 8)
            response.WriteLength(request.Groups.Length);
        var answered = new HashSet<string>();
        foreach (var group in request.Groups)
        {
            // All offsets of a group may be wanted: named many times, they would take the broker's memory.
            var fetched = answered.Add(group.GroupId) ? await FetchAsync(context, request, group).ConfigureAwait(false)
                : new FetchedTopics(ErrorCode.InvalidRequest, []);
            if (version >= 8)
                response.WriteString(group.GroupId);
            WriteTopics(response, fetched.Topics);
            if (version >= 2)
                response.WriteError(fetched.Error);
            if (version >= 8)
                response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    // The gateway resolves topic ids, since the coordinator knows names, and answers for unknown ones itself.
    private static async ValueTask<FetchedTopics> FetchAsync(RequestContext context, OffsetFetchRequest request, OffsetFetchGroup group)
    {
        var named = group.Topics?.Select(topic => (Topic: topic, Name: topic.Name ?? context.Services.Partitions.NameOf(topic.TopicId)))
            .ToArray();
        var result = await context.Broker.Groups.FetchOffsetsAsync(new OffsetFetch
        {
            GroupId = group.GroupId,
            Partitions = named is null ? null
                : [.. from wanted in named
                    where wanted.Name is not null from number in wanted.Topic.Partitions select new TopicPartition(wanted.Name, number)],
            MemberId = group.MemberId,
            MemberEpoch = group.MemberEpoch,
            RequireStable = request.RequireStable,
        }, context.Aborted).ConfigureAwait(false);
        var error = GroupErrors.ForFetch(result.Error, context.Version);
        if (error != ErrorCode.None && context.Version >= 8)
            return new FetchedTopics(error, []);
        if (named is null)
            return new FetchedTopics(error, [.. from offset in result.Partitions group offset by offset.Partition.Topic into topic
                                                select new FetchedTopic(topic.Key, topic.First().TopicId,
                                                    [.. topic.Select(static offset => new FetchedPartition(offset))])]);
        var found = new Dictionary<TopicPartition, FetchedOffset>();
        foreach (var offset in result.Partitions)
            found[offset.Partition] = offset;
        return new FetchedTopics(error, [.. named.Select(wanted => new FetchedTopic(wanted.Name, wanted.Topic.TopicId,
            [.. wanted.Topic.Partitions.Select(number => Find(wanted.Name, number))]))]);

        FetchedPartition Find(string? topic, int number) =>
            topic is null ? new FetchedPartition(number, null, ErrorCode.UnknownTopicId)
            : found.TryGetValue(new TopicPartition(topic, number), out var offset) ? new FetchedPartition(offset)
            // Before version 2, each partition carries an error of the whole request.
            : new FetchedPartition(number, null, context.Version < 2 ? error : ErrorCode.None);
    }

    private static void WriteTopics(ResponseWriter response, FetchedTopic[] topics)
    {
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            if (response.Version >= 10)
                response.WriteUuid(topic.TopicId);
            else
                response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                response.WriteInt32(partition.Index);
                response.WriteInt64(partition.Offset?.Offset ?? -1);
                if (response.Version >= 5)
                    response.WriteInt32(partition.Offset?.LeaderEpoch ?? -1);
                response.WriteString(partition.Offset?.Metadata ?? "");
                response.WriteError(partition.Error);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
    }

    private sealed record FetchedTopics(ErrorCode Error, FetchedTopic[] Topics);

    private sealed record FetchedTopic(string? Name, Guid TopicId, FetchedPartition[] Partitions);

    private readonly record struct FetchedPartition(int Index, CommittedOffset? Offset, ErrorCode Error)
    {
        public FetchedPartition(FetchedOffset fetched) : this(fetched.Partition.Partition, fetched.Offset, fetched.Error) { }
    }
}

/// <summary>The body.</summary>
internal sealed record OffsetFetchRequest(OffsetFetchGroup[] Groups, bool RequireStable);

/// <summary>A group; a null member is not checked.</summary>
/// <param name="GroupId">The group.</param>
/// <param name="MemberId">The caller's id.</param>
/// <param name="MemberEpoch">The caller's epoch.</param>
/// <param name="Topics">The topics; null for all.</param>
internal sealed record OffsetFetchGroup(string GroupId, string? MemberId, int MemberEpoch, OffsetFetchTopic[]? Topics);

/// <summary>A topic by name, from version 10 on by id.</summary>
internal sealed record OffsetFetchTopic(string? Name, Guid TopicId, int[] Partitions);
