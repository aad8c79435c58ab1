using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

internal static partial class ClassicGroupDecision
{
    /// <summary>Checks whether offsets may be committed.</summary>
    /// <param name="state">The group; null if there is none, or it has offsets only.</param>
    /// <param name="request">The commit.</param>
    public static GroupReply CheckCommit(ClassicGroupState? state, OffsetCommit request)
    {
        var isFromOutside = request.GenerationIdOrMemberEpoch < 0 && request.MemberId.Length == 0 && request.GroupInstanceId is null;
        if (state is null)
            return request.GenerationIdOrMemberEpoch < 0 ? default
                : new GroupReply(ErrorCode.IllegalGeneration, "The group has no members: join it.");
        if (request.GenerationIdOrMemberEpoch < 0 && state.State == GroupState.Empty)
            return default;
        if (isFromOutside)
            return new GroupReply(ErrorCode.UnknownMemberId,
                "The group has members, which commit for themselves: stop them before offsets are committed from outside.");
        var refusal = CheckMember(state, request.MemberId, request.GroupInstanceId, request.GenerationIdOrMemberEpoch);
        if (refusal.Error != ErrorCode.None)
            return refusal;
        // While a rebalance is being prepared, members commit what they have done under their assignment. Afterwards their former
        // partitions may be assigned to others, which they do not know yet. A generation whose leader is gone before it assigns ends in
        // preparation, too: no member has an assignment of it then, and each may still hold what an earlier one gave it.
        return IsAwaitingAssignment(state, request.MemberId)
            ? new GroupReply(ErrorCode.RebalanceInProgress, "The group rebalances: ask for the assignment first.")
            : default;
    }

    private static bool IsAwaitingAssignment(ClassicGroupState state, string memberId) =>
        state.State == GroupState.CompletingRebalance
        || (state.State == GroupState.PreparingRebalance && state.Members[memberId].Assignment.IsEmpty);

    /// <summary>Checks whether a member may fetch offsets. Without a member id nothing is checked.</summary>
    public static GroupReply CheckFetch(ClassicGroupState? state, OffsetFetch request)
    {
        if (string.IsNullOrEmpty(request.MemberId))
            return default;
        if (state is null || !state.Members.ContainsKey(request.MemberId))
            return new GroupReply(ErrorCode.UnknownMemberId,
                $"The group has no member '{request.MemberId}' (any more): join without a member id.");
        return request.MemberEpoch < 0 || request.MemberEpoch == state.Generation
            ? default
            : new GroupReply(ErrorCode.IllegalGeneration,
                $"The group is in generation {state.Generation}, not {request.MemberEpoch}: join again.");
    }
}
