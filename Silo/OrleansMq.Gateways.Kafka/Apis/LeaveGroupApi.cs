using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 13: members of a classic group leave.</summary>
internal sealed class LeaveGroupApi() : KafkaApi<LeaveGroup>(ApiKey.LeaveGroup, 0, 5, flexibleFrom: 4)
{
    protected override LeaveGroup Read(ref RequestReader reader, short version)
    {
        var groupId = reader.ReadString();
        if (version < 3)
            return new LeaveGroup(groupId, [new LeavingMember(reader.ReadString())]);
        var members = new LeavingMember[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < members.Length; index++)
        {
            members[index] = new LeavingMember(reader.ReadString(), reader.ReadNullableString(), version >= 5 ? reader.ReadNullableString()
                : null);
            reader.SkipTags();
        }
        return new LeaveGroup(groupId, members);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, LeaveGroup request, ResponseWriter response)
    {
        var result = await context.Broker.Groups.LeaveGroupAsync(request, context.Aborted).ConfigureAwait(false);
        if (context.Version >= 1)
            response.WriteThrottle();
        // Before version 3 the single member's error is that of the request.
        response.WriteError(context.Version < 3 && result is { Error: ErrorCode.None, Members: [var only, ..] }
            ? only.Error : result.Error);
        if (context.Version >= 3)
        {
            response.WriteLength(result.Members.Count);
            foreach (var member in result.Members)
            {
                response.WriteString(member.MemberId);
                response.WriteString(member.GroupInstanceId);
                response.WriteError(member.Error);
                response.WriteNoTags();
            }
        }
        response.WriteNoTags();
        return true;
    }
}
