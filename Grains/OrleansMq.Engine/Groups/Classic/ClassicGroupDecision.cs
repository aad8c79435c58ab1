using OrleansMq.Api;

namespace OrleansMq.Groups.Classic;

/// <summary>The next state of a classic group, and the response.</summary>
/// <param name="Next">The next state; the same instance if nothing changed.</param>
/// <param name="Reply">The response; null if the caller waits for an <c>Answer</c> method to return it.</param>
/// <param name="MemberId">The member concerned, with its new id; empty for none.</param>
internal readonly record struct ClassicDecision<TReply>(ClassicGroup Next, TReply? Reply, string MemberId) where TReply : class;

/// <summary>
/// The decisions of the classic protocol: how a request, a deadline or an expired session changes a group. Pure: time and new ids are
/// arguments. The caller applies the next state, stores it, and responds only afterwards.
/// </summary>
internal static partial class ClassicGroupDecision
{
    /// <summary>Handles a heartbeat. Changes nothing: the coordinator keeps track of when members were last active.</summary>
    public static GroupReply Heartbeat(ClassicGroup group, Heartbeat request)
    {
        var refusal = CheckMember(group.State, request.MemberId, request.GroupInstanceId, request.GenerationId);
        if (refusal.Error != ErrorCode.None)
            return refusal;
        return group.State.State == GroupState.PreparingRebalance
            ? new GroupReply(ErrorCode.RebalanceInProgress, "The group rebalances: join again.")
            : default;
    }

    /// <summary>Handles leaving members.</summary>
    public static ClassicDecision<LeaveGroupResult> Leave(ClassicGroup group, LeaveGroup request, DateTimeOffset now)
    {
        var left = new List<LeftMember>(request.Members.Count);
        var next = group;
        foreach (var leaving in request.Members)
        {
            var error = LeaveOne(ref next, leaving);
            left.Add(new LeftMember(leaving.MemberId, leaving.GroupInstanceId, error));
        }
        return new(AfterLoss(group, next, now), new LeaveGroupResult(ErrorCode.None, left), "");
    }

    private static ErrorCode LeaveOne(ref ClassicGroup group, LeavingMember leaving)
    {
        if (leaving.GroupInstanceId is { } instance)
        {
            if (group.State.FindStatic(instance) is not { } member)
                return ErrorCode.UnknownMemberId;
            if (leaving.MemberId.Length > 0 && leaving.MemberId != member.MemberId)
                return ErrorCode.FencedInstanceId;
            group = Without(group, [member.MemberId]);
            return ErrorCode.None;
        }
        if (group.Round.Pending.ContainsKey(leaving.MemberId))
        {
            group = group with { Round = group.Round with { Pending = group.Round.Pending.Remove(leaving.MemberId) } };
            return ErrorCode.None;
        }
        if (!group.State.Members.ContainsKey(leaving.MemberId))
            return ErrorCode.UnknownMemberId;
        group = Without(group, [leaving.MemberId]);
        return ErrorCode.None;
    }

    /// <summary>Removes a member that left or whose session timed out. Its partitions go to the others.</summary>
    public static ClassicGroup Remove(ClassicGroup group, string memberId, DateTimeOffset now)
    {
        return !group.State.Members.ContainsKey(memberId) ? group : AfterLoss(group, Without(group, [memberId]), now);
    }

    // One transition for all that go at once: a generation that began between two of them would reach no member, and the joins that
    // wait would not count for the next.
    private static ClassicGroup AfterLoss(ClassicGroup before, ClassicGroup group, DateTimeOffset now) =>
        group.State.State == GroupState.PreparingRebalance ? CompleteJoinIfAllAreThere(group, now)
        : group.State.Members.Count < before.State.Members.Count ? PrepareRebalance(group, now) : group;

    /// <summary>Handles deadlines: unused ids expire, a rebalance continues without missing members, and members that do not request their
    /// assignment are removed.</summary>
    public static ClassicGroup OnTime(ClassicGroup group, DateTimeOffset now)
    {
        var forgotten = group.Round.Pending.Where(pending => pending.Value <= now).Select(pending => pending.Key).ToList();
        if (forgotten.Count > 0)
        {
            group = group with { Round = group.Round with { Pending = group.Round.Pending.RemoveRange(forgotten) } };
            group = CompleteJoinIfAllAreThere(group, now);
        }
        if (group.Round.Deadline > now || group.Round.Deadline is null)
            return group;
        return group.State.State == GroupState.PreparingRebalance
            ? CompleteJoin(group, now)
            : RemoveThoseThatDoNotSync(group, now);
    }

    /// <summary>Restarts the deadlines of the round, after a stall in which the coordinator may have missed requests.</summary>
    public static ClassicGroup AfterStall(ClassicGroup group, DateTimeOffset now)
    {
        if (group.Round.Deadline is null)
            return group;
        var deadline = group.Round.InitialUntil ?? now + ClassicGroup.LongestRebalance(group.State);
        return deadline > group.Round.Deadline ? group with { Round = group.Round with { Deadline = deadline } } : group;
    }

    /// <summary>Checks that a request comes from a member of that generation.</summary>
    private static GroupReply CheckMember(ClassicGroupState state, string memberId, string? instanceId, int generation)
    {
        if (FindMember(state, memberId, instanceId, out var refusal) is null)
            return refusal;
        return generation == state.Generation
            ? default
            : new GroupReply(ErrorCode.IllegalGeneration, $"The group is in generation {state.Generation}, not {generation}: join again.");
    }

    /// <summary>Finds the member of a request, or sets the reason for the refusal.</summary>
    private static ClassicMember? FindMember(ClassicGroupState state, string memberId, string? instanceId, out GroupReply refusal)
    {
        refusal = default;
        if (state.Members.TryGetValue(memberId, out var member) && member.GroupInstanceId == instanceId)
            return member;
        if (instanceId is not null && state.FindStatic(instanceId) is { } other && other.MemberId != memberId)
        {
            refusal = new GroupReply(ErrorCode.FencedInstanceId,
                $"Another member has the instance id '{instanceId}': give every running instance an id of its own.");
            return null;
        }
        // A missing instance id is accepted, since the member id is unique. A wrong instance id is not.
        if (member is not null && instanceId is null)
            return member;
        refusal = new GroupReply(ErrorCode.UnknownMemberId, $"The group has no member '{memberId}' (any more): join without a member id.");
        return null;
    }

    private static ClassicGroup Without(ClassicGroup group, IReadOnlyCollection<string> memberIds)
    {
        var (state, round) = group;
        return new ClassicGroup(
            state with { Members = state.Members.RemoveRange(memberIds) },
            round with { Joined = round.Joined.Except(memberIds), AwaitingSync = round.AwaitingSync.Except(memberIds) });
    }
}
