using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 45: moves partitions to other brokers, or cancels a move (KIP-455).</summary>
internal sealed class AlterPartitionReassignmentsApi()
    : KafkaApi<AlterPartitionReassignmentsRequest>(ApiKey.AlterPartitionReassignments, 0, 1, flexibleFrom: 0)
{
    protected override AlterPartitionReassignmentsRequest Read(ref RequestReader reader, short version)
    {
        reader.ReadInt32(); // The timeout.
        var allowsChange = version < 1 || reader.ReadBool();
        var topics = new ReassignedTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new ReassignedPartition[reader.ReadArrayLength(elementBytes: 6)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new ReassignedPartition(reader.ReadInt32(), ReadReplicas(ref reader));
                reader.SkipTags();
            }
            topics[index] = new ReassignedTopic(name, partitions);
            reader.SkipTags();
        }
        return new AlterPartitionReassignmentsRequest(allowsChange, topics);
    }

    private static int[]? ReadReplicas(ref RequestReader reader)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: sizeof(int));
        if (count < 0)
            return null;
        var replicas = new int[count];
        for (var index = 0; index < count; index++)
            replicas[index] = reader.ReadInt32();
        return replicas;
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AlterPartitionReassignmentsRequest request,
        ResponseWriter response)
    {
        response.WriteThrottle();
        if (context.Version >= 1)
            response.WriteBool(request.AllowReplicationFactorChange);
        var isAllowed = context.Access.Authorizes(AccessOperation.Alter, ResourceType.Cluster);
        response.WriteError(isAllowed ? ErrorCode.None : ErrorCode.ClusterAuthorizationFailed);
        response.WriteString(isAllowed ? null : context.Access.RefusalOf(AccessOperation.Alter, ResourceType.Cluster));
        var topics = isAllowed ? request.Topics : [];
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                var (error, message) = await MoveAsync(context, request, topic.Name, partition).ConfigureAwait(false);
                response.WriteInt32(partition.Index);
                response.WriteError(error);
                response.WriteString(message);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message)> MoveAsync(RequestContext context,
        AlterPartitionReassignmentsRequest request, string topic,
        ReassignedPartition wanted)
    {
        var name = new TopicPartition(topic, wanted.Index);
        if (context.Services.Metadata.Image.FindServed(topic) is not { } found || (uint)wanted.Index >= (uint)found.Serving)
            return (ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(topic));
        if (!request.AllowReplicationFactorChange && wanted.Replicas is not null
            && wanted.Replicas.Length != found.Partitions[wanted.Index].Replicas.Length)
            return (ErrorCode.InvalidReplicationFactor, $"Partition {name} has {found.Partitions[wanted.Index].Replicas.Length} replicas, "
                + "and the request does not allow another number.");
        try
        {
            if (wanted.Replicas is null)
                await context.Broker.Administration.CancelReassignmentAsync(name, context.Aborted).ConfigureAwait(false);
            else
                await context.Broker.Administration.ReassignPartitionAsync(name, wanted.Replicas,
                    context.Aborted).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }
}

/// <summary>The body.</summary>
internal sealed record AlterPartitionReassignmentsRequest(bool AllowReplicationFactorChange, ReassignedTopic[] Topics);

/// <summary>Partitions of one topic.</summary>
internal sealed record ReassignedTopic(string Name, ReassignedPartition[] Partitions);

/// <summary>The new replica set of a partition; null to cancel its move.</summary>
internal readonly record struct ReassignedPartition(int Index, int[]? Replicas);
