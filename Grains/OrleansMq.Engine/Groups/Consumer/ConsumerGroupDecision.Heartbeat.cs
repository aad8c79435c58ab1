using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Groups.Consumer;

internal static partial class ConsumerGroupDecision
{
    // For a member that does not specify its rebalance timeout: the default of Kafka's consumers.
    private static readonly TimeSpan DefaultRebalanceTimeout = TimeSpan.FromMinutes(5);

    /// <summary>Handles a heartbeat: a member joins, keeps its session alive, reports its partitions, or leaves.</summary>
    /// <param name="group">The group.</param>
    /// <param name="request">The request.</param>
    /// <param name="newMemberId">A new unique id, for a member without one.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    /// <param name="options">Limits and timeouts.</param>
    public static ConsumerDecision<ConsumerGroupHeartbeatResult> Heartbeat(ConsumerGroup group, ConsumerGroupHeartbeat request,
        string newMemberId, GroupTopics topics, DateTimeOffset now, GroupOptions options)
    {
        var refusal = Validate(request, topics, options);
        if (refusal.Error != ErrorCode.None)
            return Refuse(group, refusal);
        var latest = request.Sequence > 0 ? group.LatestOf(request.MemberId) : 0;
        if (request.Sequence < latest)
            return Refuse(group, new GroupReply(ErrorCode.StaleMemberEpoch, $"Heartbeat {request.Sequence} of the member comes after its "
                + $"heartbeat {latest}: what it says is over."));
        if (request.MemberEpoch < 0)
            return Leave(group, request, topics, now, options);
        var isJoin = request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch;
        var memberId = request.MemberId.Length > 0 ? request.MemberId : newMemberId;
        var before = isJoin ? FindToJoin(group.State, request, memberId, options, out refusal)
            : FindToGoOn(group.State, request, out refusal);
        if (before is null)
            return Refuse(group, refusal);
        var member = WithRequest(before, request, memberId);
        var state = group.State;
        var isBumped = MustBump(state, before, member);
        group = Hear(group, before, member, request, topics, ref isBumped);
        var epoch = state.GroupEpoch + (isBumped ? 1 : 0);
        if (epoch > state.TargetEpoch && !topics.IsKnown)
            return Refuse(group,
                new GroupReply(ErrorCode.CoordinatorLoadInProgress, "The coordinator does not know the topics yet: retry."));
        state = epoch == state.GroupEpoch && ReferenceEquals(member, before)
            ? state : TakeIn(state, member, before.MemberId) with { GroupEpoch = epoch };
        if (before.MemberId != member.MemberId)
            group = group.Without([before.MemberId]).With(state);
        group = TargetAssignment.Renew(group, state, topics);
        if (request.Sequence > latest)
            group = group with { Heard = group.Heard.SetItem(member.MemberId, request.Sequence) };
        // A repeated heartbeat may lack what its first response assigned, so its owned partitions are ignored.
        var owned = request.Sequence > 0 && request.Sequence == latest ? null
            : request.OwnedPartitions is { } listed ? PartitionSet.Of(listed) : isJoin ? PartitionSet.Empty : null;
        group = Reconcile(group, group.State.Members[member.MemberId], owned, request.MemberEpoch, new PartitionHolders(group.State), now)
            .Stamp(member.MemberId, before);
        return new(group, AnswerIfNews(before, group.State.Members[member.MemberId], request, options), member.MemberId);
    }

    private static ConsumerGroupHeartbeatResult? AnswerIfNews(ConsumerMember before, ConsumerMember after, ConsumerGroupHeartbeat request,
        GroupOptions options)
    {
        var isFull = request.OwnedPartitions is not null
            && (request.SubscribedTopicNames is not null || request.SubscribedTopicRegex is not null);
        // With another epoch than the member's, it missed the last response.
        var isToBeTold = isFull || request.IsRepeated || request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch
            || request.MemberEpoch != before.Epoch
            || !after.Assigned.Equals(before.Assigned)
            // If it owns other partitions than assigned, it may have missed an earlier response.
            || (request.OwnedPartitions is { } owned && !PartitionSet.Of(owned).Equals(after.Assigned));
        return isToBeTold || after.Epoch != request.MemberEpoch || request.MaxWait == TimeSpan.Zero ? Answer(after, isToBeTold, options)
            : null;
    }

    private static GroupReply Validate(ConsumerGroupHeartbeat request, GroupTopics topics, GroupOptions options)
    {
        var isJoin = request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch;
        var problem = request switch
        {
            { MemberEpoch: < ConsumerGroupHeartbeat.LeaveForNowEpoch } =>
                "MemberEpoch is 0 to join, -1 to leave, -2 to leave for now, or the epoch of the last answer.",
            { MemberId.Length: 0 } when !isJoin => "MemberId is empty: give the id of the first answer.",
            { MemberEpoch: ConsumerGroupHeartbeat.LeaveForNowEpoch, InstanceId: null } =>
                "Only a static member leaves for now: give its InstanceId, or leave with MemberEpoch -1.",
            { InstanceId.Length: 0 } => "InstanceId is empty: leave it out for a dynamic member.",
            { RackId.Length: 0 } => "RackId is empty: leave it out.",
            { OwnedPartitions.Count: > 0 } when isJoin => "OwnedPartitions is not empty: who joins gives all partitions up first.",
            { SubscribedTopicNames: null } when isJoin && string.IsNullOrEmpty(request.SubscribedTopicRegex) =>
                "SubscribedTopicNames or SubscribedTopicRegex says what a member that joins wants to read.",
            { Sequence: < 0 } => "Sequence is the number of the heartbeat among those of its member, from 1 on; or 0.",
            { RebalanceTimeout: { } timeout } when timeout <= TimeSpan.Zero || timeout.TotalMilliseconds > int.MaxValue =>
                "RebalanceTimeout is 1 ms to 2,147,483,647 ms.",
            _ => MemberBounds.FindProblem(request.MemberId, request.InstanceId, request.RackId, request.SubscribedTopicNames, topics),
        };
        if (problem is not null)
            return new GroupReply(ErrorCode.InvalidRequest, problem);
        if (request.SessionTimeout is { } session && (session < options.MinSessionTimeout || session > options.MaxSessionTimeout))
            return InvalidSession(session, options);
        if (request.ServerAssignor is { } assignor && !ServerAssignors.TryGet(assignor, out _))
            return new GroupReply(ErrorCode.UnsupportedAssignor,
                $"ServerAssignor is '{assignor}'; this broker has "
                + $"{string.Join(", ", ServerAssignors.All.Select(known => $"'{known.Name}'"))}.");
        return request.SubscribedTopicRegex is { Length: > 0 } regex && !TopicPattern.TryParse(regex, out _, out var error)
            ? new GroupReply(ErrorCode.InvalidRegularExpression, error)
            : default;
    }

    /// <summary>Returns the member before it joins: a new one, its former state without partitions, or the static member that it
    /// replaces.</summary>
    private static ConsumerMember? FindToJoin(ConsumerGroupState state, ConsumerGroupHeartbeat request, string memberId,
        GroupOptions options, out GroupReply refusal)
    {
        refusal = default;
        if (request.InstanceId is { } instance && state.FindStatic(instance) is { } former && former.MemberId != memberId)
        {
            // That process had joined, and missed the answer: its join is older than the one that replaced it.
            if (request.TakesOverInstance && former.Status != ConsumerMemberStatus.Away && former.HasReplaced(memberId))
            {
                refusal = new GroupReply(ErrorCode.FencedInstanceId,
                    $"Another process has joined with the instance id '{instance}' since: give every running instance an id of its own.");
                return null;
            }
            // A classic member never leaves temporarily: there a new instance fences the old one.
            if (former.Status == ConsumerMemberStatus.Away || former.IsClassic || request.TakesOverInstance)
                return former;
            refusal = new GroupReply(ErrorCode.UnreleasedInstanceId,
                $"The member with the instance id '{instance}' has not left: wait for its session to end, or give this one an instance id "
                + "of its own.");
            return null;
        }
        if (state.Members.TryGetValue(memberId, out var known))
            return known;
        if (state.Members.Count < options.MaxSize)
            return new ConsumerMember { MemberId = memberId, InstanceId = request.InstanceId, RebalanceTimeout = DefaultRebalanceTimeout };
        refusal = new GroupReply(ErrorCode.GroupMaxSizeReached,
            $"The group has {options.MaxSize} members, which is the most: use another group, or raise group.max.size.");
        return null;
    }

    /// <summary>Returns the member that continues. Its epoch is the last one sent, or the previous one if it missed the response, in which
    /// case it cannot own anything that it should not.</summary>
    private static ConsumerMember? FindToGoOn(ConsumerGroupState state, ConsumerGroupHeartbeat request, out GroupReply refusal)
    {
        refusal = CheckMember(state, request.MemberId, request.InstanceId, out var member);
        if (member is null || (request.MemberEpoch == member.Epoch && !member.IsClassic))
            return member;
        var didNotHear = !member.IsClassic && request.MemberEpoch == member.PreviousEpoch && request.MemberEpoch < member.Epoch
            && request.OwnedPartitions is { } owned && PartitionSet.Of(owned).IsSubsetOf(member.Assigned.Union(member.Revoking));
        if (didNotHear)
            return member;
        refusal = new GroupReply(ErrorCode.FencedMemberEpoch,
            $"The member is at epoch {member.Epoch}, not {request.MemberEpoch}: give all partitions up and join again.");
        return null;
    }

    /// <summary>Returns the member updated with the request; the same instance if nothing changed.</summary>
    private static ConsumerMember WithRequest(ConsumerMember member, ConsumerGroupHeartbeat request, string memberId)
    {
        var isJoin = request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch;
        var next = member with
        {
            RackId = request.RackId ?? (isJoin ? null : member.RackId),
            ClientId = request.ClientId,
            ClientHost = request.ClientHost,
            RebalanceTimeout = request.RebalanceTimeout ?? member.RebalanceTimeout,
            SessionTimeout = request.SessionTimeout ?? (isJoin ? null : member.SessionTimeout),
            TopicNames = request.SubscribedTopicNames is { } names ? InOrder(names, member.TopicNames) : isJoin ? [] : member.TopicNames,
            TopicRegex = request.SubscribedTopicRegex is { } regex ? (regex.Length > 0 ? regex : null) : isJoin ? null : member.TopicRegex,
            ServerAssignor = request.ServerAssignor ?? (isJoin ? null : member.ServerAssignor),
            Classic = null,
        };
        if (isJoin && !IsRepeatedJoin(member, memberId))
            next = JoinsAnew(next, request.InstanceId, memberId) with { Replaced = ReplacedBy(member, memberId) };
        return next == member ? member : next;
    }

    /// <summary>Returns the group with the caller of a member's heartbeat, for which its regular expression is resolved. Most heartbeats
    /// come from the same caller, and resolve nothing.</summary>
    /// <param name="group">The group.</param>
    /// <param name="before">The member before the heartbeat.</param>
    /// <param name="member">The member.</param>
    /// <param name="request">The heartbeat.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="isBumped">Whether the group gets a new target. Set where the caller may describe other topics than the member
    /// has.</param>
    private static ConsumerGroup Hear(ConsumerGroup group, ConsumerMember before, ConsumerMember member, ConsumerGroupHeartbeat request,
        GroupTopics topics, ref bool isBumped)
    {
        if (member.TopicRegex is not { } pattern
            || (request.Subscriber ?? (request.SubscribedTopicRegex is null ? null : Subscriber.Broker)) is not { } subscriber)
            return group;
        subscriber = topics.Sight?.Reduce(subscriber) ?? subscriber;
        var known = group.Resolved.GetValueOrDefault(before.MemberId);
        if (known is not null && known.Subscriber == subscriber && before.MemberId == member.MemberId)
            return group;
        group = group with
        {
            Resolved = group.Resolved.SetItem(member.MemberId, new ResolvedRegex(subscriber, known?.Names)),
        };
        if (isBumped || !topics.IsKnown)
            return group;
        var subscriptions = new ConsumerSubscriptions(topics, group);
        isBumped = subscriptions.IsChanged(member);
        return isBumped ? group : subscriptions.Record(member.MemberId, pattern);
    }

    // The member joined and missed the response.
    private static bool IsRepeatedJoin(ConsumerMember member, string memberId) => member.MemberId == memberId
        && member is { PreviousEpoch: ConsumerGroupHeartbeat.JoinEpoch, Status: not ConsumerMemberStatus.Away, IsClassic: false };

    /// <summary>Returns a joining member. It owns nothing, so its former partitions are free. A static member takes over the partitions
    /// reserved for it, or those of the member that it replaces. What that one had to revoke is free: as after a session that ended, it may
    /// still read, but commits nothing.</summary>
    private static ConsumerMember JoinsAnew(ConsumerMember member, string? instanceId, string memberId)
    {
        var takesOver = member.Status == ConsumerMemberStatus.Away || member.MemberId != memberId;
        return member.Enter(ConsumerMemberStatus.Stable) with
        {
            MemberId = memberId,
            InstanceId = instanceId,
            Epoch = ConsumerGroupHeartbeat.JoinEpoch,
            PreviousEpoch = ConsumerGroupHeartbeat.JoinEpoch,
            Assigned = takesOver ? member.Assigned : PartitionSet.Empty,
            Revoking = PartitionSet.Empty,
            Sequence = member.MemberId == memberId ? member.Sequence : 0, // Another process numbers anew.
        };
    }

    // The coordinator makes the ids of classic members, one for each join that has none: they never come again as ids of this protocol.
    private static ImmutableArray<string> ReplacedBy(ConsumerMember former, string memberId) =>
        former.MemberId == memberId || former.InstanceId is null || former.IsClassic ? former.Replaced
            : former.Replaced.IsDefault ? [former.MemberId]
            : [.. former.Replaced.TakeLast(ConsumerMember.MostReplaced - 1), former.MemberId];

    /// <summary>Whether the group needs a new target. Also the case if a member that has not left joins anew: it may have done so because
    /// another process with its id was fenced, whose epoch must not become valid again.</summary>
    private static bool MustBump(ConsumerGroupState state, ConsumerMember before, ConsumerMember after) =>
        !state.Members.ContainsKey(before.MemberId)
        || before.IsClassic != after.IsClassic
        || (before.Epoch > 0 && after.Epoch == ConsumerGroupHeartbeat.JoinEpoch)
        || !before.TopicNames.AsSpan().SequenceEqual(after.TopicNames.AsSpan())
        || before.TopicRegex != after.TopicRegex
        || before.RackId != after.RackId
        || before.ServerAssignor != after.ServerAssignor;

    private static ConsumerGroupState TakeIn(ConsumerGroupState state, ConsumerMember member, string formerId)
    {
        if (formerId != member.MemberId)
            state = state with { Members = state.Members.Remove(formerId) };
        return state.With(member) with { EmptySince = null };
    }

    private static ConsumerDecision<ConsumerGroupHeartbeatResult> Leave(ConsumerGroup group, ConsumerGroupHeartbeat request,
        GroupTopics topics, DateTimeOffset now, GroupOptions options)
    {
        var refusal = CheckMember(group.State, request.MemberId, request.InstanceId, out var member);
        if (member is null)
            return Refuse(group, refusal);
        var isForNow = request.MemberEpoch == ConsumerGroupHeartbeat.LeaveForNowEpoch;
        if (!isForNow)
            group = Remove(group, member.MemberId, topics, now);
        else if (member.Status != ConsumerMemberStatus.Away)
            group = group.Relax(member.MemberId).With(group.State.With(member.Enter(ConsumerMemberStatus.Away) with
            {
                PreviousEpoch = member.Epoch,
                Epoch = ConsumerGroupHeartbeat.LeaveForNowEpoch,
                Revoking = PartitionSet.Empty, // It has stopped reading.
            }));
        return new(group, new ConsumerGroupHeartbeatResult
        {
            Error = ErrorCode.None,
            MemberId = member.MemberId,
            MemberEpoch = request.MemberEpoch,
            HeartbeatInterval = options.ConsumerHeartbeatInterval,
        }, isForNow ? member.MemberId : "");
    }

    /// <summary>Returns the distinct topics in ordinal order; the same instance if nothing changed.</summary>
    private static ImmutableArray<string> InOrder(IEnumerable<string> names, ImmutableArray<string> before)
    {
        ImmutableArray<string> next = [.. names.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        return next.AsSpan().SequenceEqual(before.AsSpan()) ? before : next;
    }

    private static ConsumerDecision<ConsumerGroupHeartbeatResult> Refuse(ConsumerGroup group, GroupReply refusal) =>
        new(group, ConsumerGroupHeartbeatResult.Failed(refusal.Error, refusal.Message!), "");
}
