using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 77: describes share groups and their members.</summary>
internal sealed class ShareGroupDescribeApi() : ShareGroupApi<ShareGroupDescribeRequest>(ApiKey.ShareGroupDescribe, 1, 1)
{
    protected override ShareGroupDescribeRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadStringArray(), reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ShareGroupDescribeRequest request,
        ResponseWriter response)
    {
        response.WriteInt32(0);
        var groupIds = request.GroupIds.Distinct().ToArray();
        response.WriteLength(groupIds.Length);
        foreach (var groupId in groupIds)
        {
            var (error, message, group) = await DescribeAsync(context, groupId).ConfigureAwait(false);
            response.WriteError(error);
            response.WriteString(message);
            response.WriteString(groupId);
            response.WriteString(group?.State.ToString() ?? "");
            response.WriteInt32(group?.Epoch ?? 0);
            response.WriteInt32(group?.AssignmentEpoch ?? 0);
            response.WriteString(group?.Protocol ?? "");
            response.WriteLength(group?.Members.Count ?? 0);
            foreach (var member in group?.Members ?? [])
                Write(context, response, member);
            response.WriteInt32(request.IncludeAuthorizedOperations && group is not null ? AuthorizedOperations.Group
                : AuthorizedOperations.NotAsked);
            response.WriteNoTags();
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
            return group.Type == GroupType.Share ? (ErrorCode.None, null, group)
                : (ErrorCode.GroupIdNotFound, $"Group '{groupId}' is not a share group.", null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, null);
        }
    }

    private static void Write(RequestContext context, ResponseWriter response, GroupMember member)
    {
        response.WriteString(member.MemberId);
        response.WriteString(member.RackId);
        response.WriteInt32(member.MemberEpoch);
        response.WriteString(member.ClientId);
        response.WriteString(member.ClientHost);
        response.WriteLength(member.SubscribedTopicNames.Count);
        foreach (var name in member.SubscribedTopicNames)
            response.WriteString(name);
        var topics = member.Assignment.GroupBy(static partition => partition.Topic).ToArray();
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteUuid(context.Services.Metadata.Image.FindServed(topic.Key)?.TopicId ?? Guid.Empty);
            response.WriteString(topic.Key);
            response.WriteInt32Array([.. topic.Select(static partition => partition.Partition)]);
            response.WriteNoTags();
        }
        response.WriteNoTags(); // Of the assignment.
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record ShareGroupDescribeRequest(string[] GroupIds, bool IncludeAuthorizedOperations);
