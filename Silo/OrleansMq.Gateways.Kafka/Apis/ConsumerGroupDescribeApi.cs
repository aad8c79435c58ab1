using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 69: describes groups of the consumer protocol and their members.</summary>
internal sealed class ConsumerGroupDescribeApi()
    : KafkaApi<ConsumerGroupDescribeRequest>(ApiKey.ConsumerGroupDescribe, 0, 1, flexibleFrom: 0)
{
    // Whether a member uses the classic protocol or the consumer protocol.
    private const sbyte ClassicMember = 0;
    private const sbyte ConsumerMember = 1;

    protected override ConsumerGroupDescribeRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadStringArray(), reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ConsumerGroupDescribeRequest request,
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
            return group.Type == GroupType.Consumer ? (ErrorCode.None, null, group)
                : (ErrorCode.GroupIdNotFound, $"Group '{groupId}' is not a group of the consumer protocol: describe it by DescribeGroups.",
                    null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, null);
        }
    }

    private static void Write(RequestContext context, ResponseWriter response, GroupMember member)
    {
        response.WriteString(member.MemberId);
        response.WriteString(member.GroupInstanceId);
        response.WriteString(member.RackId);
        response.WriteInt32(member.MemberEpoch);
        response.WriteString(member.ClientId);
        response.WriteString(member.ClientHost);
        response.WriteLength(member.SubscribedTopicNames.Count);
        foreach (var name in member.SubscribedTopicNames)
            response.WriteString(name);
        response.WriteString(member.SubscribedTopicRegex);
        Write(context, response, member.Assignment);
        Write(context, response, member.TargetAssignment);
        if (response.Version >= 1)
            response.WriteInt8(member.ClassicMetadata.IsEmpty ? ConsumerMember : ClassicMember);
        response.WriteNoTags();
    }

    private static void Write(RequestContext context, ResponseWriter response, IReadOnlyList<TopicPartition> assignment)
    {
        var topics = assignment.GroupBy(static partition => partition.Topic).ToArray();
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteUuid(context.Services.Metadata.Image.FindServed(topic.Key)?.TopicId ?? Guid.Empty);
            response.WriteString(topic.Key);
            response.WriteInt32Array([.. topic.Select(static partition => partition.Partition)]);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record ConsumerGroupDescribeRequest(string[] GroupIds, bool IncludeAuthorizedOperations);
