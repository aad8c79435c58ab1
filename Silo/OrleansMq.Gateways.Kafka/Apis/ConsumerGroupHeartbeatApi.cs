using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 68: the only request between the coordinator and members of the consumer protocol (KIP-848).</summary>
internal sealed class ConsumerGroupHeartbeatApi() : KafkaApi<ConsumerGroupHeartbeat>(ApiKey.ConsumerGroupHeartbeat, 0, 1, flexibleFrom: 0)
{
    protected override ConsumerGroupHeartbeat Read(ref RequestReader reader, short version)
    {
        var (groupId, memberId, epoch) = (reader.ReadString(), reader.ReadString(), reader.ReadInt32());
        var (instanceId, rack, timeout) = (reader.ReadNullableString(), reader.ReadNullableString(), reader.ReadInt32());
        var names = reader.ReadNullableStringArray();
        var regex = version >= 1 ? reader.ReadNullableString() : null;
        var assignor = reader.ReadNullableString();
        return new ConsumerGroupHeartbeat
        {
            GroupId = groupId,
            MemberId = memberId,
            MemberEpoch = epoch,
            InstanceId = instanceId,
            RackId = rack,
            RebalanceTimeout = timeout < 0 ? null : TimeSpan.FromMilliseconds(timeout),
            SubscribedTopicNames = names,
            SubscribedTopicRegex = regex,
            ServerAssignor = assignor,
            OwnedPartitions = ReadOwned(ref reader),
        };
    }

    private static TopicPartitions[]? ReadOwned(ref RequestReader reader)
    {
        var count = reader.ReadNullableArrayLength(elementBytes: 18);
        if (count < 0)
            return null;
        var owned = new TopicPartitions[count];
        for (var index = 0; index < count; index++)
        {
            owned[index] = new TopicPartitions(reader.ReadUuid(), reader.ReadInt32Array());
            reader.SkipTags();
        }
        return owned;
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ConsumerGroupHeartbeat request, ResponseWriter response)
    {
        // Here, and not by the coordinator: a join that is repeated makes one member.
        if (context.Version == 0 && request is { MemberId: "", MemberEpoch: 0 })
            request = request with { MemberId = $"{Guid.NewGuid()}" };
        // From version 1 on the member generates its own id (KIP-1082).
        var result = context.Version >= 1 && request.MemberId.Length == 0
            ? ConsumerGroupHeartbeatResult.Failed(ErrorCode.InvalidRequest,
                "MemberId is empty: from version 1 on a member generates its own id.")
            : await context.Broker.Groups.ConsumerGroupHeartbeatAsync(request with { ClientId = context.ClientId,
                ClientHost = context.ClientHost },
                context.Aborted).ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(result.Error);
        response.WriteString(result.Message);
        response.WriteString(result.MemberId);
        response.WriteInt32(result.MemberEpoch);
        response.WriteInt32((int)result.HeartbeatInterval.TotalMilliseconds);
        WriteAssignment(response, result.Assignment);
        response.WriteNoTags();
        return true;
    }

    private static void WriteAssignment(ResponseWriter response, IReadOnlyList<TopicPartitions>? assignment)
    {
        // A nullable structure begins with a byte that says whether it is null.
        response.WriteInt8(assignment is null ? (sbyte)-1 : (sbyte)1);
        if (assignment is null)
            return;
        response.WriteLength(assignment.Count);
        foreach (var topic in assignment)
        {
            response.WriteUuid(topic.TopicId);
            response.WriteInt32Array(topic.Partitions);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}
