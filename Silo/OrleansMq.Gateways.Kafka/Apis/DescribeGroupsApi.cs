using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 15: describes classic groups and their members. A missing group is <c>Dead</c>; from version 6 on it is an error.</summary>
internal sealed class DescribeGroupsApi() : KafkaApi<DescribeGroupsRequest>(ApiKey.DescribeGroups, 0, 6, flexibleFrom: 5)
{
    protected override DescribeGroupsRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadStringArray(), version >= 3 && reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeGroupsRequest request, ResponseWriter response)
    {
        if (context.Version >= 1)
            response.WriteThrottle();
        var groupIds = request.GroupIds.Distinct().ToArray();
        response.WriteLength(groupIds.Length);
        foreach (var groupId in groupIds)
        {
            var (error, message, group) = await DescribeAsync(context, groupId).ConfigureAwait(false);
            Write(response, groupId, error, message, group, request.IncludeAuthorizedOperations && error == ErrorCode.None
                ? AuthorizedOperations.Group(context.Access, groupId) : AuthorizedOperations.NotAsked);
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message, GroupDescription? Group)> DescribeAsync(RequestContext context,
        string groupId)
    {
        try
        {
            var group = await context.Broker.Groups.DescribeGroupAsync(groupId, context.Aborted).ConfigureAwait(false);
            if (group.Type is not (GroupType.Consumer or GroupType.Share))
                return (ErrorCode.None, null, group);
            return (ErrorCode.GroupIdNotFound, $"Group '{groupId}' is not a classic group: describe it by {group.Type}GroupDescribe.",
                null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, null);
        }
    }

    private static void Write(ResponseWriter response, string groupId, ErrorCode error, string? message, GroupDescription? group,
        int operations)
    {
        var version = response.Version;
        var isMissing = error == ErrorCode.GroupIdNotFound;
        response.WriteError(isMissing && version < 6 ? ErrorCode.None : error);
        if (version >= 6)
            response.WriteString(message);
        response.WriteString(groupId);
        response.WriteString(group is not null ? group.State.ToString() : isMissing ? nameof(GroupState.Dead) : "");
        response.WriteString(group?.ProtocolType ?? "");
        response.WriteString(group?.Protocol ?? "");
        response.WriteLength(group?.Members.Count ?? 0);
        foreach (var member in group?.Members ?? [])
        {
            response.WriteString(member.MemberId);
            if (version >= 4)
                response.WriteString(member.GroupInstanceId);
            response.WriteString(member.ClientId);
            response.WriteString(member.ClientHost);
            response.WriteBytes(member.ClassicMetadata.Span);
            response.WriteBytes(member.ClassicAssignment.Span);
            response.WriteNoTags();
        }
        if (version >= 3)
            response.WriteInt32(operations);
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeGroupsRequest(string[] GroupIds, bool IncludeAuthorizedOperations);
