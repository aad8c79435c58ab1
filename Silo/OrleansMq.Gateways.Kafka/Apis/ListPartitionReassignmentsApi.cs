using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 46: lists the partitions that are being moved (KIP-455).</summary>
internal sealed class ListPartitionReassignmentsApi()
    : KafkaApi<ListPartitionReassignmentsRequest>(ApiKey.ListPartitionReassignments, 0, 0, flexibleFrom: 0)
{
    protected override ListPartitionReassignmentsRequest Read(ref RequestReader reader, short version)
    {
        reader.ReadInt32(); // The timeout.
        var count = reader.ReadNullableArrayLength(elementBytes: 3);
        if (count < 0)
            return new ListPartitionReassignmentsRequest(null);
        var partitions = new HashSet<TopicPartition>();
        for (; count > 0; count--)
        {
            var name = reader.ReadString();
            foreach (var number in reader.ReadInt32Array())
                partitions.Add(new TopicPartition(name, number));
            reader.SkipTags();
        }
        return new ListPartitionReassignmentsRequest(partitions);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ListPartitionReassignmentsRequest request,
        ResponseWriter response)
    {
        var (error, message, moving) = await ListAsync(context).ConfigureAwait(false);
        var topics = moving.Where(move => request.Partitions?.Contains(new TopicPartition(move.Topic, move.Partition)) ?? true)
            .GroupBy(static move => move.Topic).ToArray();
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(message);
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Key);
            response.WriteLength(topic.Count());
            foreach (var move in topic)
            {
                response.WriteInt32(move.Partition);
                response.WriteInt32Array([.. move.Replicas.Union(move.Target)]);
                response.WriteInt32Array(move.Adding);
                response.WriteInt32Array(move.Removing);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message,
        IReadOnlyList<PartitionReassignment> Moving)> ListAsync(RequestContext context)
    {
        try
        {
            return (ErrorCode.None, null,
                await context.Broker.Administration.ListReassignmentsAsync(context.Aborted).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, []);
        }
    }
}

/// <summary>The body; null for all partitions.</summary>
internal sealed record ListPartitionReassignmentsRequest(IReadOnlySet<TopicPartition>? Partitions);
