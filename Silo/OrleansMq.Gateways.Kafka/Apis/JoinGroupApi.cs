using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 11: a member joins the next generation of a classic group.</summary>
internal sealed class JoinGroupApi() : KafkaApi<JoinGroupRequest>(ApiKey.JoinGroup, 0, 9, flexibleFrom: 6)
{
    protected override JoinGroupRequest Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        var session = reader.ReadInt32();
        var rebalance = version >= 1 ? reader.ReadInt32() : session;
        var memberId = reader.ReadString();
        var instanceId = version >= 5 ? reader.ReadNullableString() : null;
        var protocolType = reader.ReadString();
        var protocols = new GroupProtocol[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < protocols.Length; index++)
        {
            // The coordinator keeps these bytes longer than the request's memory lives.
            protocols[index] = new GroupProtocol(reader.ReadString(), reader.ReadBytes().ToArray());
            reader.SkipTags();
        }
        return new JoinGroupRequest(groupId, session, rebalance, memberId, instanceId, protocolType, protocols, version >= 8
            ? reader.ReadNullableString() : null);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, JoinGroupRequest request, ResponseWriter response)
    {
        var version = context.Version;
        var result = await context.Broker.Groups.JoinGroupAsync(new JoinGroup
        {
            GroupId = request.GroupId,
            MemberId = request.MemberId,
            GroupInstanceId = request.GroupInstanceId,
            ClientId = context.ClientId,
            ClientHost = context.ClientHost,
            SessionTimeout = TimeSpan.FromMilliseconds(request.SessionTimeoutMs),
            RebalanceTimeout = TimeSpan.FromMilliseconds(request.RebalanceTimeoutMs),
            ProtocolType = request.ProtocolType,
            Protocols = request.Protocols,
            RequireKnownMemberId = version >= 4,
            SupportsSkippingAssignment = version >= 9,
            Reason = request.Reason,
        }, context.Aborted).ConfigureAwait(false);
        if (version >= 2)
            response.WriteThrottle();
        response.WriteError(result.Error);
        response.WriteInt32(result.GenerationId);
        if (version >= 7)
            response.WriteString(result.ProtocolType);
        response.WriteString(version >= 7 ? result.ProtocolName : result.ProtocolName ?? "");
        response.WriteString(result.Leader);
        if (version >= 9)
            response.WriteBool(result.SkipAssignment);
        response.WriteString(result.MemberId);
        response.WriteLength(result.Members.Count);
        foreach (var member in result.Members)
        {
            response.WriteString(member.MemberId);
            if (version >= 5)
                response.WriteString(member.GroupInstanceId);
            response.WriteBytes(member.Metadata.Span);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
internal sealed record JoinGroupRequest(string GroupId, int SessionTimeoutMs, int RebalanceTimeoutMs, string MemberId,
    string? GroupInstanceId, string ProtocolType, GroupProtocol[] Protocols, string? Reason);
