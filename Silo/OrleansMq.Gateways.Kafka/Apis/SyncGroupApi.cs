using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 14: a member of a classic group asks for its assignment; the leader sends the assignments of all members.</summary>
internal sealed class SyncGroupApi() : KafkaApi<SyncGroup>(ApiKey.SyncGroup, 0, 5, flexibleFrom: 4)
{
    protected override SyncGroup Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var generation = reader.ReadInt32();
        var memberId = reader.ReadString();
        var instanceId = version >= 3 ? reader.ReadNullableString() : null;
        var type = version >= 5 ? reader.ReadNullableString() : null;
        var name = version >= 5 ? reader.ReadNullableString() : null;
        var assignments = new MemberAssignment[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < assignments.Length; index++)
        {
            // The coordinator keeps these bytes longer than the request's memory lives.
            assignments[index] = new MemberAssignment(reader.ReadString(), reader.ReadBytes().ToArray());
            reader.SkipTags();
        }
        return new SyncGroup
        {
            GroupId = groupId,
            GenerationId = generation,
            MemberId = memberId,
            GroupInstanceId = instanceId,
            ProtocolType = type,
            ProtocolName = name,
            Assignments = assignments,
        };
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, SyncGroup request, ResponseWriter response)
    {
        var result = await context.Broker.Groups.SyncGroupAsync(request, context.Aborted).ConfigureAwait(false);
        if (context.Version >= 1)
            response.WriteThrottle();
        response.WriteError(result.Error);
        if (context.Version >= 5)
        {
            response.WriteString(result.ProtocolType);
            response.WriteString(result.ProtocolName);
        }
        response.WriteBytes(result.Assignment.Span);
        response.WriteNoTags();
        return true;
    }
}
