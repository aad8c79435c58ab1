using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Consumer;

/// <summary>Describes a consumer group for operators.</summary>
internal static class ConsumerGroupDescription
{
    public static GroupDescription Describe(string groupId, ConsumerGroupState state, GroupTopics topics, int brokerId) =>
        new(groupId, GroupType.Consumer, state.State,
            ConsumerProtocol.ProtocolType, state.Assignor ?? "", state.GroupEpoch, state.TargetEpoch, brokerId,
            [.. state.Members.Values.Select(member => Describe(state, member, topics))]);

    private static GroupMember Describe(ConsumerGroupState state, ConsumerMember member, GroupTopics topics) => new()
    {
        MemberId = member.MemberId,
        GroupInstanceId = member.InstanceId,
        RackId = member.RackId,
        ClientId = member.ClientId,
        ClientHost = member.ClientHost,
        MemberEpoch = member.Epoch,
        Type = member.IsClassic ? GroupType.Classic : GroupType.Consumer,
        SubscribedTopicNames = member.TopicNames,
        SubscribedTopicRegex = member.TopicRegex,
        Assignment = Named(state, member.Assigned, topics),
        TargetAssignment = Named(state, member.Target, topics),
        ClassicMetadata = member.Classic?.Protocols[0].Metadata ?? default,
        ClassicAssignment = member.IsClassic ? ConsumerGroupDecision.AssignmentOf(state, member) : default,
    };

    private static IReadOnlyList<TopicPartition> Named(ConsumerGroupState state, PartitionSet partitions, GroupTopics topics)
    {
        var names = state.Topics.ToDictionary(topic => topic.Value.TopicId, topic => topic.Key);
        // A topic that the group no longer reads may still be held by a member that is revoking it. A deleted topic has no name.
        return [.. partitions.Select(partition => (Name: names.GetValueOrDefault(partition.TopicId) ?? topics.Find(partition.TopicId)?.Name,
            partition.Partition))
            .Where(partition => partition.Name is not null).Select(partition => new TopicPartition(partition.Name!, partition.Partition))
            .OrderBy(partition => partition.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Partition)];
    }

    /// <summary>Returns the topics that members subscribe to.</summary>
    public static IReadOnlySet<string> SubscribedTopics(ConsumerGroupState state) =>
        state.Topics.Keys.Concat(state.Members.Values.SelectMany(member => member.TopicNames)).ToHashSet(StringComparer.Ordinal);
}
