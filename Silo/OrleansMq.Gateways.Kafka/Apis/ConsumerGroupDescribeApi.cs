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

    private static readonly DescribedGroups Groups = new(GroupType.Consumer,
        "is not a group of the consumer protocol: describe it by DescribeGroups.", Write);

    protected override ConsumerGroupDescribeRequest Read(ref RequestReader reader, short version) =>
        new(reader.ReadStringArray(), reader.ReadBool());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ConsumerGroupDescribeRequest request,
        ResponseWriter response)
    {
        await Groups.WriteAsync(context, response, request.GroupIds, request.IncludeAuthorizedOperations).ConfigureAwait(false);
        return true;
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
