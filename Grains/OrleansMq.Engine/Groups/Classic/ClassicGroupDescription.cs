using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>A classic group as it is described to operators.</summary>
internal static class ClassicGroupDescription
{
    public static GroupDescription Describe(string groupId, ClassicGroupState state, int brokerId) =>
        new(groupId, GroupType.Classic, state.State, state.ProtocolType,
            state.ProtocolName ?? "", state.Generation, state.Generation, brokerId,
            [.. state.Members.Values.Select(member => Describe(state, member))]);

    private static GroupMember Describe(ClassicGroupState state, ClassicMember member)
    {
        var metadata = member.MetadataOf(state.ProtocolName);
        var subscription = SubscriptionOf(state, member);
        IReadOnlyList<TopicPartition> assignment = state.IsOfConsumers
            && ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var decoded, out _)
            ? decoded.Partitions
            : [];
        return new GroupMember
        {
            MemberId = member.MemberId,
            GroupInstanceId = member.GroupInstanceId,
            RackId = subscription?.RackId,
            ClientId = member.ClientId,
            ClientHost = member.ClientHost,
            MemberEpoch = state.Generation,
            Type = GroupType.Classic,
            SubscribedTopicNames = subscription?.Topics ?? [],
            Assignment = assignment,
            TargetAssignment = assignment,
            ClassicMetadata = metadata,
            ClassicAssignment = member.Assignment,
        };
    }

    /// <summary>The topics that members are subscribed to; null where that cannot be read.</summary>
    public static IReadOnlySet<string>? SubscribedTopics(ClassicGroupState state)
    {
        var topics = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in state.Members.Values)
        {
            if (SubscriptionOf(state, member) is not { } subscription)
                return null;
            topics.UnionWith(subscription.Topics);
        }
        return topics;
    }

    // Every protocol of a consumer says the same topics; before the first generation none is chosen.
    private static ConsumerSubscription? SubscriptionOf(ClassicGroupState state, ClassicMember member)
    {
        var protocol = state.ProtocolName ?? member.Protocols.FirstOrDefault()?.Name;
        return state.IsOfConsumers && ConsumerProtocol.TryDecodeSubscription(member.MetadataOf(protocol), out var subscription, out _)
            ? subscription : null;
    }
}
