using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

internal static partial class ClassicGroupDecision
{
    /// <summary>Handles a member's request for its assignment; the leader's request carries all assignments.</summary>
    public static ClassicDecision<SyncGroupResult> Sync(ClassicGroup group, SyncGroup request, DateTimeOffset now)
    {
        var (state, round) = group;
        var refusal = CheckMember(state, request.MemberId, request.GroupInstanceId, request.GenerationId);
        if (refusal.Error == ErrorCode.None)
            refusal = CheckProtocol(state, request);
        if (refusal.Error == ErrorCode.None && request.Assignments.Count > 0
            && MemberBounds.FindProblem(state.Members.Values.Sum(static member => member.CountBytes()),
                request.Assignments.Sum(static one => (long)one.Assignment.Length)) is { } tooLarge)
            refusal = new GroupReply(ErrorCode.GroupMaxSizeReached, tooLarge);
        if (refusal.Error != ErrorCode.None)
            return new(group, new SyncGroupResult(refusal.Error, refusal.Message), "");
        if (state.State == GroupState.PreparingRebalance)
            return new(group, Rebalances(), request.MemberId);
        // A member that is not the leader waits with what it has sent.
        if (request.Assignments.Count > state.Members.Count)
            return new(group, new SyncGroupResult(ErrorCode.GroupMaxSizeReached, $"Assignments has {request.Assignments.Count} entries, "
                + $"and the group {state.Members.Count} members: send one for each at most."), "");
        round = round with { AwaitingSync = round.AwaitingSync.Remove(request.MemberId) };
        if (round.AwaitingSync.IsEmpty && state.State == GroupState.Stable)
            round = round with { Deadline = null };
        if (state.State == GroupState.CompletingRebalance && state.Leader == request.MemberId)
        {
            state = Assign(state, request.Assignments);
            round = round with { Deadline = round.AwaitingSync.IsEmpty ? null : round.Deadline };
        }
        var next = round == group.Round && ReferenceEquals(state, group.State) ? group : new ClassicGroup(state, round);
        return new(next, state.State == GroupState.Stable ? Assigned(state, request.MemberId) : null, request.MemberId);
    }

    /// <summary>Returns the response to a member that waits for its assignment; null while the leader has not sent it.</summary>
    public static SyncGroupResult? AnswerSync(ClassicGroup group, string memberId, string? instanceId)
    {
        if (FindMember(group.State, memberId, instanceId, out var refusal) is null)
            return new SyncGroupResult(refusal.Error, refusal.Message);
        return group.State.State switch
        {
            GroupState.Stable => Assigned(group.State, memberId),
            GroupState.PreparingRebalance => Rebalances(),
            _ => null,
        };
    }

    private static GroupReply CheckProtocol(ClassicGroupState state, SyncGroup request)
    {
        if (request.ProtocolType is { } type && type != state.ProtocolType)
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The group's protocol type is '{state.ProtocolType}', not '{type}'.");
        if (request.ProtocolName is { } name && name != state.ProtocolName)
            return new GroupReply(ErrorCode.InconsistentGroupProtocol,
                $"The generation's protocol is '{state.ProtocolName}', not '{name}'.");
        return default;
    }

    private static ClassicGroupState Assign(ClassicGroupState state, IReadOnlyList<MemberAssignment> assignments)
    {
        var members = state.Members.ToBuilder();
        foreach (var assignment in assignments)
        {
            // Copied, since the request's bytes may be in a reused buffer.
            if (members.TryGetValue(assignment.MemberId, out var member))
                members[assignment.MemberId] = member with { Assignment = assignment.Assignment.ToArray() };
        }
        return state.Enter(GroupState.Stable) with { Members = members.ToImmutable() };
    }

    private static SyncGroupResult Assigned(ClassicGroupState state, string memberId) =>
        new(ErrorCode.None, null, state.ProtocolType, state.ProtocolName, state.Members[memberId].Assignment);

    private static SyncGroupResult Rebalances() => new(ErrorCode.RebalanceInProgress, "The group rebalances: join again.");
}
