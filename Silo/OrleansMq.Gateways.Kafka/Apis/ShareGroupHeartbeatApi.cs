using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Shares;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 76: the only request between the coordinator and members of a share group (KIP-932).</summary>
internal sealed class ShareGroupHeartbeatApi() : KafkaApi<ShareGroupHeartbeat>(ApiKey.ShareGroupHeartbeat, 1, 1, flexibleFrom: 0)
{
    protected override ShareGroupHeartbeat Read(ref RequestReader reader, short version) => new()
    {
        GroupId = reader.ReadString(),
        MemberId = reader.ReadString(),
        MemberEpoch = reader.ReadInt32(),
        RackId = reader.ReadNullableString(),
        SubscribedTopicNames = reader.ReadNullableStringArray(),
    };

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ShareGroupHeartbeat request, ResponseWriter response)
    {
        var result = await ShareStarts.BeatAsync(context, request with { ClientId = context.ClientId, ClientHost = context.ClientHost })
            .ConfigureAwait(false);
        response.WriteThrottle();
        response.WriteError(result.Error);
        response.WriteString(result.Message);
        response.WriteString(result.MemberId);
        response.WriteInt32(result.MemberEpoch);
        response.WriteInt32((int)result.HeartbeatInterval.TotalMilliseconds);
        // A nullable structure begins with a byte that says whether it is null.
        response.WriteInt8(result.Assignment is null ? (sbyte)-1 : (sbyte)1);
        if (result.Assignment is { } assignment)
        {
            response.WriteLength(assignment.Count);
            foreach (var topic in assignment)
            {
                response.WriteUuid(topic.TopicId);
                response.WriteInt32Array(topic.Partitions);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}
