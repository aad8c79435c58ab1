using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Classic;

internal static partial class ClassicGroupDecision
{
    private static readonly TimeSpan MaxRebalanceTimeout = TimeSpan.FromMilliseconds(int.MaxValue);

    /// <summary>Handles a member's request to join the next generation.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">The request.</param>
    /// <param name="newMemberId">A new unique id, for a member without one.</param>
    /// <param name="now">The current time.</param>
    /// <param name="options">Limits.</param>
    public static ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request, string newMemberId, DateTimeOffset now,
        GroupOptions options)
    {
        if (RefuseJoin(group.State, request, options) is { } refusal)
            return Refuse(group, refusal);
        if (request.MemberId.Length == 0)
            return JoinWithoutId(group, request, newMemberId, now, options);
        if (group.Round.Pending.ContainsKey(request.MemberId))
            return JoinAsNew(group, request, request.MemberId, now, options);
        if (FindMember(group.State, request.MemberId, request.GroupInstanceId, out var unknown) is not { } member)
            return Refuse(group, JoinGroupResult.Failed(unknown.Error, unknown.Message!, request.MemberId));
        return JoinAgain(group, request, member, now, options);
    }

    /// <summary>Returns the response to a member that waits for its generation; null while the generation is not formed.</summary>
    public static JoinGroupResult? AnswerJoin(ClassicGroup group, string memberId, string? instanceId)
    {
        if (FindMember(group.State, memberId, instanceId, out var refusal) is null)
            return JoinGroupResult.Failed(refusal.Error, refusal.Message!, memberId);
        return group.State.State switch
        {
            GroupState.CompletingRebalance or GroupState.Stable => Joined(group.State, memberId),
            _ => null,
        };
    }

    /// <summary>Whether a join is refused, whatever the members do.</summary>
    public static bool Refuses(ClassicGroupState state, JoinGroup request, GroupOptions options) =>
        RefuseJoin(state, request, options) is not null;

    private static JoinGroupResult? RefuseJoin(ClassicGroupState state, JoinGroup request, GroupOptions options)
    {
        if (request.SessionTimeout < options.MinSessionTimeout || request.SessionTimeout > options.MaxSessionTimeout)
            return JoinGroupResult.Failed(ErrorCode.InvalidSessionTimeout,
                $"The session timeout is {request.SessionTimeout.TotalMilliseconds:0} ms; this broker allows "
                + $"{options.MinSessionTimeout.TotalMilliseconds:0} to {options.MaxSessionTimeout.TotalMilliseconds:0} ms.",
                request.MemberId);
        if (request.ProtocolType.Length == 0 || request.Protocols.Count == 0)
            return JoinGroupResult.Failed(ErrorCode.InconsistentGroupProtocol,
                "A member names its protocol type and at least one protocol.", request.MemberId);
        if (MemberBounds.FindProblem(request) is { } unbounded)
            return JoinGroupResult.Failed(ErrorCode.InvalidRequest, unbounded, request.MemberId);
        var others = state.Members.Values.Where(member => !IsSame(member, request)).ToList();
        if (others.Count == 0)
            return null;
        if (MemberBounds.FindProblem(others.Sum(static member => member.CountBytes() + member.Assignment.Length),
            MemberBounds.BytesOf(request.ClientId, request.Protocols)) is { } tooLarge)
            return JoinGroupResult.Failed(ErrorCode.GroupMaxSizeReached, tooLarge, request.MemberId);
        if (request.ProtocolType != state.ProtocolType)
            return JoinGroupResult.Failed(ErrorCode.InconsistentGroupProtocol,
                $"The group's protocol type is '{state.ProtocolType}', the member's '{request.ProtocolType}': use another group id.",
                request.MemberId);
        if (!request.Protocols.Any(offered => others.TrueForAll(member => member.Supports(offered.Name))))
            return JoinGroupResult.Failed(ErrorCode.InconsistentGroupProtocol,
                $"No protocol of the member ({string.Join(", ", request.Protocols.Select(offered => offered.Name))}) is known to all "
                + "members of the group: configure one assignor that all of them have.", request.MemberId);
        return null;
    }

    private static bool IsSame(ClassicMember member, JoinGroup request) => request.MemberId.Length > 0
        ? member.MemberId == request.MemberId
        : request.GroupInstanceId is not null && member.GroupInstanceId == request.GroupInstanceId;

    private static ClassicDecision<JoinGroupResult> JoinWithoutId(ClassicGroup group, JoinGroup request, string newMemberId,
        DateTimeOffset now, GroupOptions options)
    {
        if (request.GroupInstanceId is { } instance)
            return group.State.FindStatic(instance) is { } before
                ? ReplaceStatic(group, request, before, newMemberId, now, options)
                : JoinAsNew(group, request, newMemberId, now, options);
        if (!request.RequireKnownMemberId)
            return JoinAsNew(group, request, newMemberId, now, options);
        if (group.State.Members.Count >= options.MaxSize || group.Round.Pending.Count >= options.MaxSize)
            return Refuse(group, Full(request, options));
        var pending = group.Round.Pending.SetItem(newMemberId, now + request.SessionTimeout);
        return new(group with { Round = group.Round with { Pending = pending } },
            JoinGroupResult.Failed(ErrorCode.MemberIdRequired, "Join again with the member id of this answer.", newMemberId), newMemberId);
    }

    private static ClassicDecision<JoinGroupResult> JoinAsNew(ClassicGroup group, JoinGroup request, string memberId, DateTimeOffset now,
        GroupOptions options)
    {
        if (group.State.Members.Count >= options.MaxSize)
            return Refuse(group, Full(request, options));
        var isFirst = group.State.State == GroupState.Empty;
        var round = group.Round with { Pending = group.Round.Pending.Remove(memberId) };
        var state =
            group.State.With(Describe(new ClassicMember { MemberId = memberId, GroupInstanceId = request.GroupInstanceId }, request));
        state = state with { ProtocolType = request.ProtocolType, EmptySince = null };
        group = new ClassicGroup(state, round);
        group = group.State.State == GroupState.PreparingRebalance
            ? WaitForMoreIfFirst(group, now, options)
            : isFirst ? PrepareFirst(group, request, now, options) : PrepareRebalance(group, now);
        return Await(group, memberId, now);
    }

    private static ClassicDecision<JoinGroupResult> JoinAgain(ClassicGroup group, JoinGroup request, ClassicMember member,
        DateTimeOffset now, GroupOptions options)
    {
        var isChanged = !HasSameProtocols(member, request);
        var isLeader = group.State.Leader == member.MemberId;
        var next = Update(group, member, request);
        switch (group.State.State)
        {
            case GroupState.CompletingRebalance when !isChanged:
            case GroupState.Stable when !isChanged && !isLeader:
                // The member missed the response, or wants it again: the generation is unchanged.
                return new(next, Joined(next.State, member.MemberId), member.MemberId);
            case GroupState.CompletingRebalance or GroupState.Stable:
                return Await(PrepareRebalance(next, now), member.MemberId, now);
            default:
                return Await(next, member.MemberId, now);
        }
    }

    /// <summary>Handles a static member that rejoins under a new id: it takes over its former assignment, and the old id is
    /// fenced.</summary>
    private static ClassicDecision<JoinGroupResult> ReplaceStatic(ClassicGroup group, JoinGroup request, ClassicMember before,
        string newMemberId, DateTimeOffset now, GroupOptions options)
    {
        var (state, round) = group;
        var wasLeader = state.Leader == before.MemberId;
        var isSubscriptionChanged = SubscriptionComparison.IsChanged(state, before, request);
        state = state with
        {
            Members = state.Members.Remove(before.MemberId),
            Leader = wasLeader ? newMemberId : state.Leader,
        };
        state = state.With(Describe(before with { MemberId = newMemberId }, request));
        round = round with { Joined = round.Joined.Remove(before.MemberId), AwaitingSync = round.AwaitingSync.Remove(before.MemberId) };
        group = new ClassicGroup(state, round);
        switch (state.State)
        {
            case GroupState.Stable when !isSubscriptionChanged && ChooseProtocol(state) == state.ProtocolName:
                state = state with { HasResumedLeader = state.HasResumedLeader || wasLeader };
                return new(group with { State = state }, Resumed(state, request, before.MemberId, newMemberId, wasLeader), newMemberId);
            case GroupState.Stable or GroupState.CompletingRebalance:
                return Await(PrepareRebalance(group, now), newMemberId, now);
            default:
                return Await(group, newMemberId, now);
        }
    }

    /// <summary>Prepares for a join. A restarted static member continues as before only if no partition waits for it; otherwise the group
    /// rebalances. A restarted member does not know what it owned, so it does not rejoin to hand over the partitions that a cooperative
    /// leader withheld until it revokes them. A restarted leader does not know the topics' partitions as of its assignment either, so it
    /// would never notice partitions added since.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">The join request.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    public static ClassicGroup BeforeJoin(ClassicGroup group, JoinGroup request, GroupTopics topics, DateTimeOffset now) =>
        request is { MemberId.Length: 0, GroupInstanceId: { } instance } && group.State.State == GroupState.Stable
            && group.State.FindStatic(instance) is { } before && LeavesPartitionsOut(group.State, before, topics)
            ? PrepareRebalance(group, now)
            : group;

    /// <summary>Handles a newer image of the topics. A leader watches the partitions itself from its assignment on. One that has resumed
    /// compares with those of its restart, which the coordinator may have learned of later, and one that cannot skip the assignment
    /// watches nothing: the group rebalances as soon as the coordinator sees a partition without a member.</summary>
    /// <param name="group">The group.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    public static ClassicGroup OnTopics(ClassicGroup group, GroupTopics topics, DateTimeOffset now) =>
        group.State is { State: GroupState.Stable, HasResumedLeader: true, Leader: { } leader } state
            && state.Members.TryGetValue(leader, out var resumed) && LeavesPartitionsOut(state, resumed, topics)
            ? PrepareRebalance(group, now)
            : group;

    /// <summary>Whether a subscribed partition is unassigned that a restarted member owned before the assignment; for the leader, any
    /// subscribed partition.</summary>
    private static bool LeavesPartitionsOut(ClassicGroupState state, ClassicMember restarted, GroupTopics topics)
    {
        if (state.ProtocolType != ConsumerProtocol.ProtocolType || state.ProtocolName is null)
            return false;
        var wanted = new HashSet<string>(StringComparer.Ordinal);
        var assigned = new HashSet<TopicPartition>();
        IReadOnlyList<TopicPartition> owned = [];
        foreach (var member in state.Members.Values)
        {
            if (!ConsumerProtocol.TryDecodeSubscription(member.MetadataOf(state.ProtocolName), out var subscription, out _)
                || !ConsumerProtocol.TryDecodeAssignment(member.Assignment, out var assignment, out _))
                return false; // Not consumers: their assignments cannot be decoded.
            wanted.UnionWith(subscription.Topics);
            assigned.UnionWith(assignment.Partitions);
            if (member.MemberId == restarted.MemberId)
                owned = subscription.OwnedPartitions;
        }
        if (owned.Any(partition => wanted.Contains(partition.Topic) && !assigned.Contains(partition)))
            return true;
        return state.Leader == restarted.MemberId && wanted.Any(name => topics.Find(name) is { } topic
            && Enumerable.Range(0, topic.Partitions).Any(partition => !assigned.Contains(new TopicPartition(name, partition))));
    }

    /// <summary>Returns the response to a static member that resumes. A leader whose client cannot skip the assignment (KIP-814) is told
    /// that its former member id still leads, so that it does not assign.</summary>
    private static JoinGroupResult Resumed(ClassicGroupState state, JoinGroup request, string oldMemberId, string newMemberId,
        bool wasLeader)
    {
        var answer = Joined(state, newMemberId);
        if (!wasLeader)
            return answer;
        return request.SupportsSkippingAssignment
            ? answer with { SkipAssignment = true }
            : answer with { Leader = oldMemberId, Members = [] };
    }

    /// <summary>Adds the member to the round being prepared, where it waits for the others.</summary>
    private static ClassicDecision<JoinGroupResult> Await(ClassicGroup group, string memberId, DateTimeOffset now)
    {
        group = group with { Round = group.Round with { Joined = group.Round.Joined.Add(memberId) } };
        return new(CompleteJoinIfAllAreThere(group, now), null, memberId);
    }

    private static JoinGroupResult Joined(ClassicGroupState state, string memberId) => new()
    {
        Error = ErrorCode.None,
        GenerationId = state.Generation,
        ProtocolType = state.ProtocolType,
        ProtocolName = state.ProtocolName,
        Leader = state.Leader ?? "",
        MemberId = memberId,
        Members = state.Leader == memberId
            ? [.. state.Members.Values.Select(member => new JoinedMember(member.MemberId, member.GroupInstanceId,
                member.MetadataOf(state.ProtocolName)))]
            : [],
    };

    private static ClassicGroup Update(ClassicGroup group, ClassicMember member, JoinGroup request)
    {
        if (HasSameProtocols(member, request) && member.SessionTimeout == request.SessionTimeout
            && member.RebalanceTimeout == RebalanceTimeoutOf(request)
            && member.ClientId == request.ClientId && member.ClientHost == request.ClientHost)
            return group;
        return group with { State = group.State.With(Describe(member, request)) };
    }

    private static ClassicMember Describe(ClassicMember member, JoinGroup request) => member with
    {
        ClientId = request.ClientId,
        ClientHost = request.ClientHost,
        SessionTimeout = request.SessionTimeout,
        RebalanceTimeout = RebalanceTimeoutOf(request),
        // Copied, since the request's bytes may be in a reused buffer.
        Protocols = HasSameProtocols(member, request)
            ? member.Protocols
            : [.. request.Protocols.Select(offered => new GroupProtocol(offered.Name, offered.Metadata.ToArray()))],
    };

    // The oldest clients have one timeout for both. The protocol cannot express more than the limit.
    private static TimeSpan RebalanceTimeoutOf(JoinGroup request) => request.RebalanceTimeout <= TimeSpan.Zero ? request.SessionTimeout
        : request.RebalanceTimeout > MaxRebalanceTimeout ? MaxRebalanceTimeout : request.RebalanceTimeout;

    private static bool HasSameProtocols(ClassicMember member, JoinGroup request)
    {
        if (member.Protocols.Length != request.Protocols.Count)
            return false;
        for (var at = 0; at < member.Protocols.Length; at++)
        {
            if (member.Protocols[at].Name != request.Protocols[at].Name
                || !member.Protocols[at].Metadata.Span.SequenceEqual(request.Protocols[at].Metadata.Span))
                return false;
        }
        return true;
    }

    private static JoinGroupResult Full(JoinGroup request, GroupOptions options) => JoinGroupResult.Failed(ErrorCode.GroupMaxSizeReached,
        $"The group has {options.MaxSize} members, and may have no more.", request.MemberId);

    private static ClassicDecision<JoinGroupResult> Refuse(ClassicGroup group, JoinGroupResult refusal) => new(group, refusal, "");
}
