using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 8: commits a group's offsets.</summary>
internal sealed class OffsetCommitApi() : KafkaApi<OffsetCommitRequest>(ApiKey.OffsetCommit, 2, 10, flexibleFrom: 8)
{
    protected override OffsetCommitRequest Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var generation = reader.ReadInt32();
        var memberId = reader.ReadString();
        var instanceId = version >= 7 ? reader.ReadNullableString() : null;
        if (version <= 4)
            reader.ReadInt64(); // The retention time: the group's setting decides (KIP-211).
        var topics = new OffsetCommitTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var (name, id) = version >= 10 ? (null, reader.ReadUuid()) : (reader.ReadString(), Guid.Empty);
            var partitions = new OffsetCommitPartition[reader.ReadArrayLength(elementBytes: 13)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new OffsetCommitPartition(reader.ReadInt32(), reader.ReadInt64(), version >= 6
                    ? reader.ReadInt32() : -1,
                    reader.ReadNullableString());
                reader.SkipTags();
            }
            topics[index] = new OffsetCommitTopic(name, id, partitions);
            reader.SkipTags();
        }
        return new OffsetCommitRequest(groupId, generation, memberId, instanceId, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, OffsetCommitRequest request, ResponseWriter response)
    {
        var result = await context.Broker.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = request.GroupId,
            GenerationIdOrMemberEpoch = request.GenerationIdOrMemberEpoch,
            MemberId = request.MemberId,
            GroupInstanceId = request.GroupInstanceId,
            Offsets =
            [
                .. from topic in request.Topics
                   from partition in topic.Partitions
                   select new PartitionOffset(topic.Name ?? context.Services.Partitions.NameOf(topic.TopicId), partition.Index,
                       new CommittedOffset(partition.Offset, partition.LeaderEpoch, partition.Metadata ?? ""), topic.TopicId),
            ],
        }, context.Aborted).ConfigureAwait(false);
        if (context.Version >= 3)
            response.WriteThrottle();
        var next = 0;
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            if (context.Version >= 10)
                response.WriteUuid(topic.TopicId);
            else
                response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                response.WriteInt32(partition.Index);
                response.WriteError(GroupErrors.ForCommit(result.Partitions[next++].Error, context.Version));
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record OffsetCommitRequest(string GroupId, int GenerationIdOrMemberEpoch, string MemberId, string? GroupInstanceId,
    OffsetCommitTopic[] Topics);

/// <summary>A topic by name, from version 10 on by id.</summary>
internal sealed record OffsetCommitTopic(string? Name, Guid TopicId, OffsetCommitPartition[] Partitions);

/// <summary>An offset to commit.</summary>
internal readonly record struct OffsetCommitPartition(int Index, long Offset, int LeaderEpoch, string? Metadata);
