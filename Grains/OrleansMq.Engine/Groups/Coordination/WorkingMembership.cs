using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>The outcome of a member's request.</summary>
/// <param name="Reply">The response; null while the request waits for other members.</param>
/// <param name="MemberId">The member that sent it, with its new id; empty for none, or if its session does not restart.</param>
internal readonly record struct MemberOutcome(object? Reply, string MemberId);

/// <summary>
/// The working state of a group's membership, ahead of its <see cref="GroupDocument"/>. At most one protocol forms the group:
/// <code>
/// none              -> classic    a member of the classic protocol joins, or asks for its id
/// none, classic     -> consumer   the first member of the consumer protocol joins (upgrade)
/// consumer          -> classic    the last member of the consumer protocol leaves (downgrade)
/// consumer, empty   -> classic    a member of the classic protocol joins
/// any               -> none       the group is deleted
/// any               -> any        the stored state is adopted
/// </code>
/// A group with committed offsets alone is formed by no protocol.
/// </summary>
/// <param name="rules">The decisions.</param>
/// <param name="options">Limits and timeouts.</param>
/// <param name="changed">Called after each change of the stored part, except when the state is adopted or forgotten.</param>
internal sealed class WorkingMembership(GroupRules rules, GroupOptions options, Action changed)
{
    private static readonly HashSet<string> NoTopics = [];

    /// <summary>The group of the classic protocol; null if that does not form the group.</summary>
    public ClassicGroup? Classic { get; private set; }

    /// <summary>The group of the consumer protocol; null if that does not form the group.</summary>
    public ConsumerGroup? Consumer { get; private set; }

    /// <summary>Whether the group has members.</summary>
    public bool HasMembers =>
        Consumer is not null ? !Consumer.State.Members.IsEmpty : Classic is not null && !Classic.State.Members.IsEmpty;

    /// <summary>Whether ids were given out that no member has joined with so far.</summary>
    public bool HasPendingIds => Classic is { Round.Pending.IsEmpty: false };

    /// <summary>The members' ids.</summary>
    public IEnumerable<string> MemberIds => Consumer?.State.Members.Keys ?? Classic?.State.Members.Keys ?? [];

    /// <summary>Since when a group without members has none.</summary>
    public DateTimeOffset EmptySince => Consumer?.State.EmptySince ?? Classic?.State.EmptySince ?? DateTimeOffset.UnixEpoch;

    /// <summary>When <see cref="OnTime"/> is due; null for never.</summary>
    public DateTimeOffset? NextTime => Classic is { } classic ? classic.Round.NextTime : Consumer?.NextTime;

    // A group without generations and members is remembered for the ids that it gave out, and not stored.
    private bool IsOfPendingIdsOnly => Classic is { State: { Generation: 0, State: GroupState.Empty } };

    /// <summary>Whether a member has an instance id, by which it comes back after a crash.</summary>
    public bool IsStatic(string memberId) => Consumer is { } consumer
        ? consumer.State.Members.TryGetValue(memberId, out var member) && member.InstanceId is not null
        : Classic is not null && Classic.State.Members.TryGetValue(memberId, out var classic) && classic.GroupInstanceId is not null;

    /// <summary>Returns the session timeout of a member; null if there is no such member.</summary>
    public TimeSpan? SessionTimeoutOf(string memberId) =>
        Consumer is { } consumer ? ConsumerGroupDecision.SessionTimeout(consumer, memberId, options)
            : Classic is not null && Classic.State.Members.TryGetValue(memberId, out var member) ? member.SessionTimeout : null;

    // --- The document ---

    /// <summary>Takes up what is stored. Ids that were given out stay valid.</summary>
    public void Adopt(GroupDocument? stored, DateTimeOffset now)
    {
        var pending = Classic?.Round.Pending;
        Classic = stored?.Classic is { } classic ? rules.TakeOver(classic, now) : null;
        if (Classic is not null && pending is not null)
            Classic = Classic with { Round = Classic.Round with { Pending = pending } };
        Consumer = stored?.Consumer is { } consumer ? rules.TakeOver(consumer, now) : null;
    }

    /// <summary>Empties the state, since the group is deleted.</summary>
    public void Forget() => (Classic, Consumer) = (null, null);

    /// <summary>Returns the document.</summary>
    public GroupDocument ToDocument(CoordinatorClaim claim) => new()
    {
        Coordinator = claim,
        Type = Consumer is not null ? GroupType.Consumer : Classic is null || IsOfPendingIdsOnly ? GroupType.Unknown : GroupType.Classic,
        Consumer = Consumer?.State,
        Classic = IsOfPendingIdsOnly ? null : Classic?.State,
    };

    // --- Requests of members ---

    /// <summary>Handles the join of a classic member.</summary>
    /// <param name="request">The request.</param>
    /// <param name="freshId">An id never used before.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    public MemberOutcome Join(JoinGroup request, Guid freshId, GroupTopics topics, DateTimeOffset now)
    {
        var newMemberId = $"{request.GroupInstanceId ?? (request.ClientId.Length > 0 ? request.ClientId : "member")}-{freshId}";
        if (Consumer is { State.Members.IsEmpty: false } consumer)
            return Apply(ConsumerGroupDecision.Join(consumer, request, newMemberId, topics, now, options), now);
        var classic = ClassicOrNew(now);
        var prepared = rules.BeforeJoin(classic, request, topics, now);
        // A join that is refused prepares nothing.
        if (!ReferenceEquals(prepared, classic) && !ClassicGroupDecision.Refuses(classic.State, request, options))
            classic = prepared;
        return Apply(rules.Join(classic, request, newMemberId, now, options));
    }

    /// <summary>Handles the request of a classic member for its assignment.</summary>
    public MemberOutcome Sync(SyncGroup request, DateTimeOffset now) => Consumer is { } consumer
        ? Apply(ConsumerGroupDecision.Sync(consumer, request, now), now)
        : Apply(rules.Sync(ClassicOrNew(now), request, now));

    /// <summary>Handles the heartbeat of a classic member.</summary>
    public MemberOutcome Heartbeat(Heartbeat request, DateTimeOffset now)
    {
        if (Consumer is { } consumer)
        {
            var decision = ConsumerGroupDecision.Heartbeat(consumer, request, now);
            Apply(decision.Next, now);
            return new MemberOutcome(decision.Reply!.Reply, decision.MemberId);
        }
        var reply = rules.Heartbeat(ClassicOrNew(now), request);
        return new MemberOutcome(reply, reply.Error is ErrorCode.None or ErrorCode.RebalanceInProgress ? request.MemberId : "");
    }

    /// <summary>Handles leaving classic members, and static ones that an operator removes.</summary>
    public MemberOutcome Leave(LeaveGroup request, GroupTopics topics, DateTimeOffset now) => Consumer is { } consumer
        ? Apply(ConsumerGroupDecision.Leave(consumer, request, topics, now), now)
        : Apply(rules.Leave(ClassicOrNew(now), request, now));

    /// <summary>Handles a heartbeat of the consumer protocol. The first join makes the group one of that protocol.</summary>
    /// <param name="request">The request.</param>
    /// <param name="freshId">An id never used before.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="now">The current time.</param>
    public MemberOutcome Heartbeat(ConsumerGroupHeartbeat request, Guid freshId, GroupTopics topics, DateTimeOffset now)
    {
        var group = Consumer;
        if (group is null)
        {
            var refusal = request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch
                ? rules.TryUpgrade(ClassicOrNew(now), topics, now, out group)
                : new GroupReply(ErrorCode.UnknownMemberId,
                    $"The group has no member '{request.MemberId}' (any more): give all partitions up and join again.");
            if (refusal.Error != ErrorCode.None)
                return new MemberOutcome(ConsumerGroupHeartbeatResult.Failed(refusal.Error, refusal.Message!), "");
        }
        var decision = rules.Heartbeat(group!, request, freshId.ToString(), topics, now, options);
        if (decision.Reply is null or { Error: ErrorCode.None })
            Apply(decision.Next, now);
        return new MemberOutcome(decision.Reply, decision.MemberId);
    }

    /// <summary>Returns the successful answer to a heartbeat that changes nothing; null for any other request.</summary>
    public object? FindAnswerWithoutChange(ICoordinatorRequest request, GroupTopics topics, DateTimeOffset now)
    {
        switch (request)
        {
            case Heartbeat heartbeat when Classic is { } classic:
                var reply = rules.Heartbeat(classic, heartbeat);
                return reply.Error == ErrorCode.None ? reply : null;
            case ConsumerGroupHeartbeat heartbeat when Consumer is { } consumer:
                var decision = rules.Heartbeat(consumer, heartbeat, "", topics, now, options);
                if (!ReferenceEquals(decision.Next.State, consumer.State))
                    return null;
                // Not worth a long poll: the member waits its interval by itself.
                var answer = decision.Reply ?? ConsumerGroupDecision.AnswerNoNews(consumer, heartbeat, decision.MemberId, options);
                return answer.Error == ErrorCode.None ? answer : null;
            default:
                return null;
        }
    }

    // --- Other events ---

    /// <summary>Removes a member whose session timed out.</summary>
    public void Remove(string memberId, GroupTopics topics, DateTimeOffset now)
    {
        if (Classic is { } classic)
            Apply(rules.Remove(classic, memberId, now));
        else if (Consumer is { } consumer)
            Apply(rules.Remove(consumer, memberId, topics, now), now);
    }

    /// <summary>Handles deadlines.</summary>
    public void OnTime(GroupTopics topics, DateTimeOffset now)
    {
        if (Classic is { } classic)
            Apply(rules.OnTime(classic, now));
        else if (Consumer is { } consumer)
            Apply(rules.OnTime(consumer, topics, now), now);
    }

    /// <summary>Restarts all deadlines, after a stall in which the coordinator may have missed requests.</summary>
    public void AfterStall(DateTimeOffset now)
    {
        if (Classic is { } classic)
            Classic = ClassicGroupDecision.AfterStall(classic, now);
        Consumer = Consumer?.AfterStall(now);
    }

    /// <summary>Handles a newer image of the topics.</summary>
    public void FollowTopics(GroupTopics topics, DateTimeOffset now)
    {
        if (Classic is { } classic)
            Apply(rules.OnTopics(classic, topics, now));
        else if (Consumer is { } consumer)
            Apply(rules.OnTopics(consumer, topics), now);
    }

    /// <summary>Lets members in long polls advance to their target.</summary>
    public void Advance(IEnumerable<string> memberIds, DateTimeOffset now)
    {
        if (Consumer is { } consumer)
            Apply(rules.Advance(consumer, memberIds, now), now);
    }

    // --- Checks and descriptions ---

    /// <summary>Checks whether offsets may be committed.</summary>
    public GroupReply CheckCommit(OffsetCommit request) =>
        Consumer is { } consumer ? rules.CheckCommit(consumer.State, request) : rules.CheckCommit(Classic?.State, request);

    /// <summary>Checks whether offsets may be committed within a transaction.</summary>
    public GroupReply CheckCommit(TransactionOffsetCommit request)
    {
        if (TransactionOffsetDecision.NamesNoMember(request))
            return default;
        var refusal = CheckCommit(TransactionOffsetDecision.AsCommit(request));
        return refusal with { Error = TransactionOffsetDecision.ErrorWithin(refusal.Error) };
    }

    /// <summary>Returns the check of each partition of a commit within a transaction; null where all are accepted.</summary>
    public Func<PartitionOffset, GroupTopic, ErrorCode>? PartitionCheckOf(TransactionOffsetCommit request, GroupTopics topics) =>
        PartitionCheckOf(TransactionOffsetDecision.AsCommit(request), topics) is { } check
            ? (wanted, topic) => TransactionOffsetDecision.ErrorWithin(check(wanted, topic))
            : null;

    /// <summary>Returns the check of each partition of a commit; null where all are accepted. Members of a classic group assign by name:
    /// its coordinator does not know which topics they mean.</summary>
    /// <param name="request">The commit.</param>
    /// <param name="topics">The topics.</param>
    public Func<PartitionOffset, GroupTopic, ErrorCode>? PartitionCheckOf(OffsetCommit request, GroupTopics topics) =>
        Consumer is { } consumer && consumer.State.Members.TryGetValue(request.MemberId, out var member)
            ? (wanted, topic) => rules.CheckPartition(member, wanted, topic, topics)
            : null;

    /// <summary>Checks whether offsets may be fetched.</summary>
    public GroupReply CheckFetch(OffsetFetch request) => Consumer is { } consumer
        ? ConsumerGroupDecision.CheckFetch(consumer.State, request)
        : ClassicGroupDecision.CheckFetch(Classic?.State, request);

    /// <summary>Returns the topics that members subscribe to; null if the members are not consumers, so that their subscriptions cannot be
    /// read.</summary>
    public IReadOnlySet<string>? SubscribedTopics() => Consumer is not null ? ConsumerGroupDescription.SubscribedTopics(Consumer.State)
        : Classic is null ? NoTopics : ClassicGroupDescription.SubscribedTopics(Classic.State);

    /// <summary>Describes the group for operators.</summary>
    public GroupDescription Describe(string groupId, int brokerId, GroupTopics topics)
    {
        if (Consumer is { } consumer)
            return ConsumerGroupDescription.Describe(groupId, consumer.State, topics, brokerId);
        return Classic is { } classic && !IsOfPendingIdsOnly
            ? ClassicGroupDescription.Describe(groupId, classic.State, brokerId)
            : new GroupDescription(groupId, GroupType.Classic, GroupState.Empty, "", "", 0, 0, brokerId, []);
    }

    // --- Transitions ---

    // The group as the classic protocol sees it: without one, a group without members.
    private ClassicGroup ClassicOrNew(DateTimeOffset now) =>
        Classic ?? (Consumer is { } emptied ? GroupMigration.DowngradeEmpty(emptied.State) : ClassicGroup.Create(now));

    private MemberOutcome Apply<TReply>(ClassicDecision<TReply> decision) where TReply : class
    {
        Apply(decision.Next);
        return new MemberOutcome(decision.Reply, decision.MemberId);
    }

    private MemberOutcome Apply<TReply>(ConsumerDecision<TReply> decision, DateTimeOffset now) where TReply : class
    {
        Apply(decision.Next, now);
        return new MemberOutcome(decision.Reply, decision.MemberId);
    }

    private void Apply(ClassicGroup next)
    {
        var before = Classic;
        if (before is null && next.State.State == GroupState.Empty && next.Round.Pending.IsEmpty)
            return; // A request to a group without members left it so.
        (Classic, Consumer) = (next, null);
        var isChanged = before is null ? next.State.State != GroupState.Empty : !ReferenceEquals(before.State, next.State);
        if (isChanged)
            changed();
    }

    private void Apply(ConsumerGroup next, DateTimeOffset now)
    {
        var isChanged = !ReferenceEquals(Consumer?.State, next.State);
        (Classic, Consumer) = (null, next);
        if (!isChanged)
            return;
        if (rules.TryDowngrade(next, now) is { } classic)
            (Classic, Consumer) = (classic, null);
        changed();
    }
}
