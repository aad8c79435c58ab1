namespace OrleansMq.Groups.Classic;

/// <summary>A classic group as it is described to operators.</summary>
internal static class ClassicGroupDescription
{
    public static GroupDescription Describe(string groupId, ClassicGroupState state, int brokerId) => new(groupId, GroupType.Classic, state.State, state.ProtocolType,
        state.ProtocolName ?? "", state.Generation, state.Generation, brokerId, [.. state.Members.Values.Select(member => Describe(state, member))]);

    private static GroupMember Describe(ClassicGroupState state, ClassicMember member) => new()
    {
        MemberId = member.MemberId,
        GroupInstanceId = member.GroupInstanceId,
        ClientId = member.ClientId,
        ClientHost = member.ClientHost,
        MemberEpoch = state.Generation,
        Type = GroupType.Classic,
        ClassicMetadata = member.MetadataOf(state.ProtocolName),
        ClassicAssignment = member.Assignment,
    };

    /// <summary>The topics that members are subscribed to; null where that cannot be read.</summary>
    public static IReadOnlySet<string>? SubscribedTopics(ClassicGroupState state) => state.Members.IsEmpty ? new HashSet<string>() : null;
}
