using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 90: tells where the cursors of share groups are.</summary>
internal sealed class DescribeShareGroupOffsetsApi()
    : ShareGroupApi<DescribeShareGroupOffsetsRequest>(ApiKey.DescribeShareGroupOffsets, 0, 1)
{
    // Not known: no leader has begun with the partition.
    private const long Unknown = -1;

    protected override DescribeShareGroupOffsetsRequest Read(ref RequestReader reader, short version)
    {
        var groups = new DescribedShareGroup[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < groups.Length; index++)
        {
            groups[index] = new DescribedShareGroup(reader.ReadString(), ReadTopics(ref reader));
            reader.SkipTags();
        }
        return new DescribeShareGroupOffsetsRequest(groups);
    }

    private static DescribedShareTopic[]? ReadTopics(ref RequestReader reader)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 3);
        if (count < 0)
            return null;
        var topics = new DescribedShareTopic[count];
        for (var index = 0; index < count; index++)
        {
            topics[index] = new DescribedShareTopic(reader.ReadString(), reader.ReadInt32Array());
            reader.SkipTags();
        }
        return topics;
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeShareGroupOffsetsRequest request,
        ResponseWriter response)
    {
        response.WriteInt32(0);
        response.WriteLength(request.Groups.Length);
        foreach (var group in request.Groups)
        {
            var found = await context.Broker.Groups.SendAsync(new FindShareCursors(group.GroupId), context.Aborted).ConfigureAwait(false);
            var topics = found.Error == ErrorCode.None ? group.Topics ?? All(context, found) : [];
            response.WriteString(group.GroupId);
            response.WriteLength(topics.Length);
            foreach (var topic in topics)
                Write(context, response, topic, found);
            response.WriteError(found.Error);
            response.WriteString(found.Message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static DescribedShareTopic[] All(RequestContext context, ShareCursorsResult found) =>
        [.. from cursors in found.Topics
            let name = context.Services.Partitions.NameOf(cursors.TopicId)
            where name is not null && context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, name)
            select new DescribedShareTopic(name, [.. Enumerable.Range(0, context.Services.Metadata.Image.FindServed(name)?.Serving ?? 0)])];

    private static void Write(RequestContext context, ResponseWriter response, DescribedShareTopic topic, ShareCursorsResult found)
    {
        var isAllowed = context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Name);
        var served = isAllowed ? context.Services.Metadata.Image.FindServed(topic.Name) : null;
        var cursors = found.Topics.FirstOrDefault(cursors => cursors.TopicId == served?.TopicId);
        response.WriteString(topic.Name);
        response.WriteUuid(served?.TopicId ?? Guid.Empty);
        response.WriteLength(topic.Partitions.Length);
        foreach (var partition in topic.Partitions)
        {
            var exists = served is not null && (uint)partition < (uint)served.Serving;
            response.WriteInt32(partition);
            response.WriteInt64(cursors?.FindReset(partition)?.StartOffset ?? Unknown);
            response.WriteInt32(exists ? served!.Partitions[partition].LeaderEpoch : -1);
            if (response.Version >= 1)
                response.WriteInt64(Unknown);
            response.WriteError(!isAllowed ? ErrorCode.TopicAuthorizationFailed : exists ? ErrorCode.None
                : ErrorCode.UnknownTopicOrPartition);
            response.WriteString(null);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeShareGroupOffsetsRequest(DescribedShareGroup[] Groups);

/// <summary>A group; without topics, all of them.</summary>
internal sealed record DescribedShareGroup(string GroupId, DescribedShareTopic[]? Topics);

/// <summary>The partitions of a topic.</summary>
internal sealed record DescribedShareTopic(string Name, int[] Partitions);
