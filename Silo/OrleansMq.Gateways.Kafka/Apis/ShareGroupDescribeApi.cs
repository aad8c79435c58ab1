using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 77: describes share groups and their members.</summary>
internal sealed class ShareGroupDescribeApi() : KafkaApi<ShareGroupDescribeRequest>(ApiKey.ShareGroupDescribe, 1, 1, flexibleFrom: 0)
{
    private static readonly DescribedGroups Groups = new(GroupType.Share,
        "is not a share group.", Write);

    protected override ShareGroupDescribeRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadStringArray(), reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ShareGroupDescribeRequest request,
        ResponseWriter response)
    {
        await Groups.WriteAsync(context, response, request.GroupIds, request.IncludeAuthorizedOperations).ConfigureAwait(false);
        return true;
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
