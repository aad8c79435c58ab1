using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

/// <summary>Describes a classic group for operators.</summary>
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

    /// <summary>Returns the topics that members subscribe to; null if that cannot be decoded.</summary>
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

    // Every protocol of a consumer contains the same topics. Before the first generation none is chosen.
    private static ConsumerSubscription? SubscriptionOf(ClassicGroupState state, ClassicMember member)
    {
        var protocol = state.ProtocolName ?? member.Protocols.FirstOrDefault()?.Name;
        return state.IsOfConsumers && ConsumerProtocol.TryDecodeSubscription(member.MetadataOf(protocol), out var subscription, out _)
            ? subscription : null;
    }
}
