using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Groups;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 90: tells where the cursors of share groups are.</summary>
internal sealed class DescribeShareGroupOffsetsApi()
    : KafkaApi<DescribeShareGroupOffsetsRequest>(ApiKey.DescribeShareGroupOffsets, 0, 1, flexibleFrom: 0)
{
    // Not known: no leader has begun with the partition.
    private const long Unknown = -1;

    // Calls to leaders at the same time.
    private const int MostCalls = 32;

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
        response.WriteThrottle();
        response.WriteLength(request.Groups.Length);
        foreach (var group in request.Groups)
        {
            var found = await context.Broker.Groups.SendAsync(new FindShareCursors(group.GroupId), context.Aborted).ConfigureAwait(false);
            var topics = found.Error == ErrorCode.None ? group.Topics ?? All(context, found) : [];
            response.WriteString(group.GroupId);
            response.WriteLength(topics.Length);
            foreach (var topic in topics)
                await WriteAsync(context, response, group.GroupId, topic, found).ConfigureAwait(false);
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

    private static async ValueTask WriteAsync(RequestContext context, ResponseWriter response, string groupId, DescribedShareTopic topic,
        ShareCursorsResult found)
    {
        var isAllowed = context.Access.Authorizes(AccessOperation.Describe, ResourceType.Topic, topic.Name);
        var served = isAllowed ? context.Services.Metadata.Image.FindServed(topic.Name) : null;
        var cursors = found.Topics.FirstOrDefault(cursors => cursors.TopicId == served?.TopicId);
        var partitions = topic.Partitions.Distinct().ToArray();
        var offsets = new ShareOffset[partitions.Length];
        await Parallel.ForAsync(0, partitions.Length, new ParallelOptions
        {
            MaxDegreeOfParallelism = MostCalls,
            CancellationToken = context.Aborted,
        }, async (index, _) => offsets[index] = !isAllowed ? new ShareOffset(ErrorCode.TopicAuthorizationFailed)
            : served is null || (uint)partitions[index] >= (uint)served.Serving ? new ShareOffset(ErrorCode.UnknownTopicOrPartition)
            : cursors is null ? new ShareOffset(ErrorCode.None)
            : await FindAsync(context, groupId, new TopicPartition(topic.Name, partitions[index]), cursors).ConfigureAwait(false))
            .ConfigureAwait(false);
        response.WriteString(topic.Name);
        response.WriteUuid(served?.TopicId ?? Guid.Empty);
        response.WriteLength(partitions.Length);
        foreach (var (partition, offset) in partitions.Zip(offsets))
        {
            response.WriteInt32(partition);
            response.WriteInt64(offset.Start);
            response.WriteInt32(served is not null && (uint)partition < (uint)served.Serving
                ? served.Partitions[partition].LeaderEpoch : -1);
            if (response.Version >= 1)
                response.WriteInt64(offset.Lag);
            response.WriteError(offset.Error);
            response.WriteString(offset.Message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }

    private static async Task<ShareOffset> FindAsync(RequestContext context, string groupId, TopicPartition partition,
        ShareTopicCursors cursors)
    {
        var found = await ShareProgress.FindAsync(context.Broker, groupId, partition, cursors, context.Aborted).ConfigureAwait(false);
        return new ShareOffset(found.Error, found.Message) { Start = found.StartOffset ?? Unknown, Lag = found.Lag ?? Unknown };
    }

    // Where a cursor is, as far as that is known.
    private sealed record ShareOffset(ErrorCode Error, string? Message = null)
    {
        public long Start { get; init; } = Unknown;
        public long Lag { get; init; } = Unknown;
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeShareGroupOffsetsRequest(DescribedShareGroup[] Groups);

/// <summary>A group; without topics, all of them.</summary>
internal sealed record DescribedShareGroup(string GroupId, DescribedShareTopic[]? Topics);

/// <summary>The partitions of a topic.</summary>
internal sealed record DescribedShareTopic(string Name, int[] Partitions);
