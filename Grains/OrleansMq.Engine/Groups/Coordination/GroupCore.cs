using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

/// <summary>
/// One group's coordinator without tasks, I/O and clock. It dispatches requests to its parts, and holds their answers until the documents
/// that they reveal are stored. Each part has its own state:
/// <list type="bullet">
/// <item><see cref="WorkingMembership"/>: the group, formed by one of the protocols; stored as a document</item>
/// <item><see cref="WorkingShareGroup"/>: the group, if it is a share group, and its configuration; in the same document</item>
/// <item><see cref="WorkingOffsets"/>: the committed offsets, those of open transactions, and which have ended; stored as a
/// document</item>
/// <item><see cref="MemberSessions"/>: when each member times out; in memory only</item>
/// <item><see cref="TransactionsInTheWay"/>: since when open transactions are in the way of requests; in memory only</item>
/// <item><see cref="JoinsAndSyncs"/> and <see cref="LongPolls"/>: requests that wait for other members; in memory only</item>
/// </list>
/// </summary>
internal sealed partial class GroupCore : CoordinatorCore
{
    // A group without members and offsets has nothing to keep. It stays for a while, so that an operator finds it after the last member
    // has left.
    internal static readonly TimeSpan KeptWithoutOffsets = TimeSpan.FromMinutes(10);

    // The pause between two deletions of an expired group, of which the first was not stored.
    internal static readonly TimeSpan ExpiryPause = TimeSpan.FromMinutes(1);

    private readonly string _groupId;
    private readonly int _brokerId;
    private readonly WorkingMembership _membership;
    private readonly WorkingShareGroup _share;
    private readonly WorkingOffsets _offsets;
    private readonly MemberSessions _sessions;
    private readonly JoinsAndSyncs _joinsAndSyncs;
    private readonly LongPolls _polls;
    private readonly TransactionsInTheWay _inTheWay = new();
    private GroupTopics _topics;
    private DateTimeOffset _nextExpiry;

    /// <summary>Takes a group over.</summary>
    /// <param name="groupId">The group's id.</param>
    /// <param name="brokerId">The broker that coordinates it, for descriptions.</param>
    /// <param name="options">Limits and timeouts.</param>
    /// <param name="topics">The topics known now.</param>
    /// <param name="token">Random, never used before.</param>
    /// <param name="stored">The group's documents. Stored ones are claimed before any request is answered.</param>
    /// <param name="now">The current time.</param>
    public GroupCore(string groupId, int brokerId, GroupOptions options, GroupTopics topics, Guid token, StoredGroup stored,
        DateTimeOffset now)
        : this(groupId, brokerId, options, topics, token, stored, now, GroupRules.Shipped)
    {
    }

    internal GroupCore(string groupId, int brokerId, GroupOptions options, GroupTopics topics, Guid token, StoredGroup stored,
        DateTimeOffset now, GroupRules rules)
        : base(GroupDocuments.Kind, groupId, token, now, rules)
    {
        (_groupId, _brokerId, _topics) = (groupId, brokerId, topics);
        _membership = new WorkingMembership(rules, options, () => Changed(GroupDocuments.Group));
        _share = new WorkingShareGroup(options, () => Changed(GroupDocuments.Group));
        _offsets = new WorkingOffsets(rules, options, () => Changed(GroupDocuments.Offsets));
        _sessions = new MemberSessions(rules, memberId => _share.SessionTimeoutOf(memberId) ?? _membership.SessionTimeoutOf(memberId),
            options.BrokenPollGrace);
        _joinsAndSyncs = new JoinsAndSyncs(rules);
        _polls = new LongPolls(options);
        Begin(stored);
    }

    /// <inheritdoc/>
    public override bool IsVacant => base.IsVacant && !_membership.HasPendingIds;

    /// <summary>The working state, for checkers; null: no group of the classic protocol.</summary>
    internal ClassicGroup? Classic => _membership.Classic;

    /// <summary>The working state, for checkers; null: no group of the consumer protocol.</summary>
    internal ConsumerGroup? Consumer => _membership.Consumer;

    private bool HasMembers => _membership.HasMembers || _share.HasMembers;

    private GroupDocument DocumentOfGroup => _share.AddTo(_membership.ToDocument(Claim));

    // Neither members, nor offsets, nor a former generation.
    private bool IsBare => Exists && _share.State is null && !IsOfConsumers;

    // What belongs to the id, and has documents also where there is no group.
    private bool HasRemains => !_share.Configs.IsEmpty || _offsets.HasFences;

    private bool IsGroup => Exists && (!IsBare || !HasRemains);

    private string NotFound => $"There is no group '{_groupId}'.";

    /// <inheritdoc/>
    protected override void Handle(CoordinatorRequest request)
    {
        Expire();
        if (HandleShare(request))
            return;
        switch (request.Body)
        {
            case JoinGroup join:
                Join(request, join);
                break;
            case SyncGroup sync:
                Sync(request, sync);
                break;
            case Heartbeat heartbeat:
                Answer(request, _membership.Heartbeat(heartbeat, Now));
                break;
            case LeaveGroup leave:
                Answer(request, _membership.Leave(leave, _topics, Now));
                break;
            case ConsumerGroupHeartbeat heartbeat:
                ConsumerHeartbeat(request, heartbeat);
                break;
            case OffsetCommit commit:
                Commit(request, commit);
                break;
            case TransactionOffsetCommit commit:
                Commit(request, commit);
                break;
            case EndTransactionOffsets end:
                Hold(request, _offsets.End(end, Now));
                break;
            case OffsetFetch fetch:
                Fetch(request, fetch);
                break;
            case DescribeGroup or ListGroup when !IsGroup:
                HoldRefusal(request, new GroupReply(ErrorCode.GroupIdNotFound, NotFound));
                break;
            case OffsetDelete or DeleteGroup when !IsGroup:
                HoldConfirmed(request, request.Body.Refuse(ErrorCode.GroupIdNotFound, NotFound));
                break;
            case OffsetDelete delete:
                DeleteOffsets(request, delete);
                break;
            case DescribeGroup:
                HoldFor(GroupDocuments.Group, request, _membership.Describe(_groupId, _brokerId, _topics));
                break;
            case ListGroup:
                HoldFor(GroupDocuments.Group, request, DocumentOfGroup.ToListing(_groupId));
                break;
            case DeleteGroup:
                Delete(request);
                break;
            default:
                throw new ArgumentException($"No request of a group: {request.Body}.", nameof(request));
        }
    }

    /// <inheritdoc/>
    protected override void OnCommand(CoordinatorCommand command)
    {
        switch (command)
        {
            case TopicsChanged changed:
                OnTopics(changed.Topics);
                break;
            case TransactionTold told:
                EndIfItHangs(told);
                break;
            default:
                base.OnCommand(command);
                break;
        }
    }

    // --- Members ---

    private void Join(CoordinatorRequest request, JoinGroup join)
    {
        var outcome = _membership.Join(join, request.FreshId, _topics, Now);
        Answer(request, outcome);
        if (outcome.Reply is null)
            RefuseEarlier(_joinsAndSyncs.AddJoin(outcome.MemberId, request, join), ErrorCode.RebalanceInProgress);
    }

    private void Sync(CoordinatorRequest request, SyncGroup sync)
    {
        var outcome = _membership.Sync(sync, Now);
        Answer(request, outcome);
        if (outcome.Reply is null)
            RefuseEarlier(_joinsAndSyncs.AddSync(outcome.MemberId, request, sync), ErrorCode.RebalanceInProgress);
    }

    private void ConsumerHeartbeat(CoordinatorRequest request, ConsumerGroupHeartbeat heartbeat)
    {
        var outcome = _membership.Heartbeat(heartbeat, request.FreshId, _topics, Now);
        RefuseEarlier(_polls.Remove(outcome.MemberId), ErrorCode.CoordinatorNotAvailable);
        Answer(request, outcome);
        if (outcome.Reply is null)
            Want(_polls.Add(outcome.MemberId, request, heartbeat, _membership.Consumer!, Now));
    }

    /// <summary>Restarts the member's session, and holds the answer if there is one already.</summary>
    private void Answer(CoordinatorRequest request, MemberOutcome outcome)
    {
        Touch(outcome.MemberId);
        if (outcome.Reply is { } reply)
            HoldFor(GroupDocuments.Group, request, reply, outcome.MemberId);
    }

    private void RefuseEarlier(CoordinatorRequest? earlier, ErrorCode error)
    {
        if (earlier is not null)
            AnswerNow(earlier, error, "The member asked again: this is the answer to the earlier request.");
    }

    private void Touch(string memberId) => Want(_sessions.Touch(memberId, Now));

    /// <summary>Refuses a request for a reason that the membership reveals.</summary>
    private void HoldRefusal(CoordinatorRequest request, GroupReply refusal) =>
        HoldFor(GroupDocuments.Group, request, request.Body.Refuse(refusal.Error, refusal.Message!));

    // --- The whole group ---

    private void Delete(CoordinatorRequest request)
    {
        if (HasMembers)
        {
            HoldConfirmed(request, new GroupReply(ErrorCode.NonEmptyGroup, $"Group '{_groupId}' has members: stop them first."));
            return;
        }
        ForgetGroup();
        Hold(request, default(GroupReply));
    }

    /// <summary>Removes the expired offsets of a group without members, and deletes the group with its last offset. Runs before each
    /// request, so that idle groups with offsets need no timer, and when a group without any, or what remains of one, is to go.</summary>
    private void Expire()
    {
        _offsets.ForgetFences(Now);
        if (!IsGroup || HasMembers)
            return;
        _offsets.Expire(_membership.EmptySince, Now);
        if (EndOfEmptiness > Now || EndOfEmptiness is null)
            return;
        _nextExpiry = Now + ExpiryPause;
        ForgetGroup();
    }

    // The configuration of its id stays, and what is to be remembered of transactions.
    private void ForgetGroup()
    {
        if (!HasRemains)
        {
            Forget();
            return;
        }
        ForgetState();
        Changed(GroupDocuments.Group);
        Changed(GroupDocuments.Offsets);
    }

    /// <summary>When the group goes unless it is used; null while it has something to keep.</summary>
    private DateTimeOffset? EndOfEmptiness => IsGroup && !HasMembers && _offsets.IsEmpty && !_membership.HasPendingIds
        && _share.State is null && _membership.EmptySince + KeptWithoutOffsets is var end
        ? end > _nextExpiry ? end : _nextExpiry
        : null;

    /// <summary>When the documents of an id without group go; null if there is a group, or a configuration.</summary>
    private DateTimeOffset? EndOfRemains => !IsGroup && _share.Configs.IsEmpty && _offsets.EndOfFences is { } end
        ? end > _nextExpiry ? end : _nextExpiry
        : null;

    // --- Requests that wait for other members ---

    /// <inheritdoc/>
    /// <remarks>Requests of a protocol that no longer forms the group are refused.</remarks>
    protected override void AnswerWaiting()
    {
        if (_membership.Consumer is { } consumer)
        {
            Refuse(_joinsAndSyncs.TakeAll(), ErrorCode.RebalanceInProgress, "The group rebalances: join again.");
            AnswerPolls(consumer);
            return;
        }
        if (_polls.Count > 0)
            Refuse(_polls.TakeAll(), ErrorCode.UnknownMemberId,
                "The group has no such member (any more): give all partitions up and join again.");
        if (_membership.Classic is { } classic)
            HoldEach(_joinsAndSyncs.TakeAnswered(classic));
    }

    private void AnswerPolls(ConsumerGroup group)
    {
        if (!_polls.MayHaveNews(group))
            return;
        _membership.Advance(_polls.MemberIds, Now);
        HoldEach(_polls.TakeNews(_membership.Consumer!));
    }

    /// <inheritdoc/>
    protected override void FailWaiting(ErrorCode error, string message)
    {
        Refuse(_polls.TakeAll(), error, message);
        Refuse(_joinsAndSyncs.TakeAll(), error, message);
    }

    /// <inheritdoc/>
    /// <remarks>The member stays in the group until its session ends. A broken long poll is no proof of its death, since its connection
    /// alone may have failed, but then it polls again at once: its session is shortened to a grace. The session of one that joins or syncs
    /// restarts, and so does that of a static member, which has it to come back after a crash.</remarks>
    protected override void Abandon(long requestId)
    {
        if (_polls.Abandon(requestId) is { } polling)
            Want(_membership.IsStatic(polling) ? _sessions.Touch(polling, Now) : _sessions.Shorten(polling, Now));
        else if (_joinsAndSyncs.Abandon(requestId) is { } joining)
            Touch(joining);
    }

    private void HoldEach(IReadOnlyList<WaitingAnswer> answers)
    {
        foreach (var (request, result, memberId) in answers)
            HoldFor(GroupDocuments.Group, request, result, memberId);
    }

    private void Refuse(IReadOnlyList<CoordinatorRequest> requests, ErrorCode error, string message)
    {
        foreach (var request in requests)
            AnswerNow(request, error, message);
    }

    // --- Time and topics ---

    /// <inheritdoc/>
    protected override void OnReleased(string waiter) => Touch(waiter);

    /// <inheritdoc/>
    protected override void OnTime(bool wasStalled)
    {
        if (wasStalled)
            ExtendAfterStall();
        EndSessions();
        Expire();
        _membership.OnTime(_topics, Now);
        if (_membership.Consumer is { } consumer)
            HoldEach(_polls.TakeEnded(consumer, Now));
        Want(_sessions.NextEnd);
        Want(_polls.NextEnd);
    }

    private void ExtendAfterStall()
    {
        Log(EngineLogLevel.Warning, "its coordinator stood still, and may have missed heartbeats: all members get a full session again.");
        BeginSessions();
        _membership.AfterStall(Now);
    }

    private void BeginSessions()
    {
        _sessions.BeginAll(_membership.MemberIds.Concat(_share.MemberIds), Now);
        Want(_sessions.NextEnd);
    }

    private void EndSessions()
    {
        var held = HeldWaiters.ToHashSet(StringComparer.Ordinal);
        foreach (var memberId in _sessions.TakeEnded(Now, IsWaiting))
        {
            Log(EngineLogLevel.Information, $"member '{memberId}' was not heard of for its session timeout, and is out.");
            RemoveMember(memberId);
        }

        bool IsWaiting(string memberId) =>
            _joinsAndSyncs.Contains(memberId) || _polls.Contains(memberId) || held.Contains(memberId);
    }

    /// <inheritdoc/>
    protected override void WantNext()
    {
        Want(_membership.NextTime);
        // A time in the past would look as if the coordinator had stood still.
        if ((EndOfEmptiness ?? EndOfRemains) is { } end)
            Want(end > Now ? end : Now);
    }

    private void OnTopics(GroupTopics topics)
    {
        _topics = topics;
        if (IsDeposed || IsRecovering)
            return;
        _membership.FollowTopics(topics, Now);
        _offsets.FollowTopics(topics);
    }

    // --- The documents ---

    /// <inheritdoc/>
    protected override IOwnedDocument ContentOf(int document) =>
        document == GroupDocuments.Group ? DocumentOfGroup : _offsets.ToContent(Claim);

    /// <inheritdoc/>
    /// <remarks>All members get a full session.</remarks>
    protected override void AdoptState(StoredDocuments documents)
    {
        var stored = (StoredGroup)documents;
        _membership.Adopt(stored.Group, Now);
        _share.Adopt(stored.Group);
        _offsets.Adopt(stored.Offsets);
        BeginSessions();
        // Topics may have changed since the group was stored.
        _membership.FollowTopics(_topics, Now);
        _offsets.FollowTopics(_topics);
    }

    /// <inheritdoc/>
    protected override void ForgetState()
    {
        _membership.Forget();
        _share.Forget();
        _offsets.Forget();
    }

    /// <inheritdoc/>
    /// <remarks>If only the stored offsets are uncertain, a heartbeat that changes nothing is answered, so that members continue although a
    /// commit failed. The answer reveals only what is stored.</remarks>
    protected override object? FindAnswerWhileRecovering(ICoordinatorRequest body) =>
        IsFirstCertain ? _membership.FindAnswerWithoutChange(body, _topics, Now) : null;
}
