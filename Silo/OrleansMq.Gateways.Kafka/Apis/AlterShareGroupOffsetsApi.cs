using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 91: moves the cursors of a share group that has no members.</summary>
internal sealed class AlterShareGroupOffsetsApi()
    : KafkaApi<AlterShareGroupOffsetsRequest>(ApiKey.AlterShareGroupOffsets, 0, 0, flexibleFrom: 0)
{
    protected override AlterShareGroupOffsetsRequest Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var topics = new AlteredShareTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new (int, long)[reader.ReadArrayLength(elementBytes: 13)];
            for (var next = 0; next < partitions.Length; next++)
            {
                partitions[next] = (reader.ReadInt32(), reader.ReadInt64());
                reader.SkipTags();
            }
            reader.SkipTags();
            topics[index] = new AlteredShareTopic(name, partitions);
        }
        return new AlterShareGroupOffsetsRequest(groupId, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AlterShareGroupOffsetsRequest request,
        ResponseWriter response)
    {
        var image = context.Services.Metadata.Image;
        var change = new AlterShareGroup(request.GroupId)
        {
            Moves = [.. from topic in request.Topics
                        where context.Access.Authorizes(AccessOperation.Read, ResourceType.Topic, topic.Name)
                        let served = image.FindServed(topic.Name)
                        where served is not null
                        from partition in topic.Partitions
                        where Exists(served, partition.Index)
                        select new ShareCursorMove(served.TopicId, partition.Index, partition.StartOffset)],
        };
        var reply = await ShareGroupChange.SendAsync(context, change, AccessOperation.Read).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(reply.Error);
        response.WriteString(reply.Message);
        response.WriteLength(reply.Error == ErrorCode.None ? request.Topics.Length : 0);
        foreach (var topic in reply.Error == ErrorCode.None ? request.Topics : [])
        {
            var served = image.FindServed(topic.Name);
            var isAllowed = context.Access.Authorizes(AccessOperation.Read, ResourceType.Topic, topic.Name);
            response.WriteString(topic.Name);
            response.WriteUuid(isAllowed && served is not null ? served.TopicId : Guid.Empty);
            response.WriteLength(topic.Partitions.Length);
            foreach (var (index, _) in topic.Partitions)
            {
                response.WriteInt32(index);
                response.WriteError(!isAllowed ? ErrorCode.TopicAuthorizationFailed : served is not null && Exists(served, index)
                    ? ErrorCode.None : ErrorCode.UnknownTopicOrPartition);
                response.WriteString(null);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static bool Exists(ImageTopic topic, int partition) => (uint)partition < (uint)topic.Serving;
}

/// <summary>The body.</summary>
internal sealed record AlterShareGroupOffsetsRequest(string GroupId, AlteredShareTopic[] Topics);

/// <summary>The partitions to move.</summary>
internal sealed record AlteredShareTopic(string Name, (int Index, long StartOffset)[] Partitions);
