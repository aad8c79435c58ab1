using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 47: deletes committed offsets (KIP-496).</summary>
internal sealed class OffsetDeleteApi() : KafkaApi<OffsetDeleteRequest>(ApiKey.OffsetDelete, 0, 0, NeverFlexible)
{
    protected override OffsetDeleteRequest Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var topics = new OffsetDeleteTopic[reader.ReadArrayLength(elementBytes: 6)];
        for (var index = 0; index < topics.Length; index++)
            topics[index] = new OffsetDeleteTopic(reader.ReadString(), reader.ReadInt32Array());
        return new OffsetDeleteRequest(groupId, topics);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, OffsetDeleteRequest request, ResponseWriter response)
    {
        var result = await context.Broker.Groups.DeleteOffsetsAsync(new OffsetDelete(request.GroupId,
            [.. from topic in request.Topics from number in topic.Partitions select new TopicPartition(topic.Name, number)]),
            context.Aborted).ConfigureAwait(false);
        response.WriteError(result.Error);
        response.WriteThrottle();
        var topics = result.Error == ErrorCode.None ? request.Topics : [];
        var next = 0;
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var number in topic.Partitions)
            {
                response.WriteInt32(number);
                response.WriteError(result.Partitions[next++].Error);
            }
        }
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record OffsetDeleteRequest(string GroupId, OffsetDeleteTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record OffsetDeleteTopic(string Name, int[] Partitions);
