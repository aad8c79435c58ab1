using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>The answer to a description of groups of one type: of the consumer protocol (key 69), or share groups (key 77). They differ in
/// their members alone.</summary>
/// <param name="Type">The type; a group of another is not found.</param>
/// <param name="IsNot">What the message says of a group of another type, after its id.</param>
/// <param name="WriteMember">Writes a member.</param>
internal sealed record DescribedGroups(GroupType Type, string IsNot, Action<RequestContext, ResponseWriter, GroupMember> WriteMember)
{
    /// <summary>Describes the groups, each once, and writes the answer.</summary>
    public async ValueTask WriteAsync(RequestContext context, ResponseWriter response, IEnumerable<string> ids, bool includeOperations)
    {
        response.WriteThrottle();
        var groupIds = ids.Distinct().ToArray();
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
                WriteMember(context, response, member);
            response.WriteInt32(includeOperations && group is not null
                ? AuthorizedOperations.Group(context.Access, groupId) : AuthorizedOperations.NotAsked);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }

    private static IEnumerable<string> TopicsOf(GroupDescription group) => group.Members.SelectMany(static member =>
        member.SubscribedTopicNames.Concat(member.Assignment.Concat(member.TargetAssignment).Select(static partition => partition.Topic)))
        .Distinct();

    private async ValueTask<(ErrorCode Error, string? Message, GroupDescription? Group)> DescribeAsync(RequestContext context,
        string groupId)
    {
        try
        {
            var group = await context.Broker.Groups.DescribeGroupAsync(groupId, context.Aborted).ConfigureAwait(false);
            if (group.Type != Type)
                return (ErrorCode.GroupIdNotFound, $"Group '{groupId}' {IsNot}", null);
            // As Kafka: a group is told only to a client that may describe all of its topics.
            return TopicsOf(group).All(topic => context.Access.Allows(AccessOperation.Describe, ResourceType.Topic, topic))
                ? (ErrorCode.None, null, group)
                : (ErrorCode.TopicAuthorizationFailed, $"Group '{groupId}' reads topics that the client may not describe.", null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, null);
        }
    }
}
