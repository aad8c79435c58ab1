using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Client;

/// <summary>
/// A member of a group under the classic protocol. It joins, receives its assignment (or, as the leader, computes all assignments), and
/// sends heartbeats until the group rebalances. If all its assignors are cooperative it continues reading during a rebalance; otherwise it
/// revokes all partitions before it rejoins.
/// </summary>
internal sealed partial class ClassicProtocolMember : IMembership
{
    /// <summary>How long to wait for a response, beyond the wait that the protocol allows.</summary>
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    private readonly RepeatedFailure _failure = new();
    private readonly IBroker _broker;
    private readonly IGroupCoordinator _groups;
    private readonly ConsumerOptions _options;
    private readonly ReaderOptions _reader;
    private readonly IAssignmentTarget _target;
    private readonly SessionLease _lease;
    private readonly ILogger _logger;
    private readonly IClientAssignor[] _assignors;
    private readonly bool _isCooperative;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _changed = new(0);
    private readonly ITimer _leaseTimer;
    private Task _loop = Task.CompletedTask;

    // Guarded by the gate.
    private Subscription _subscription;
    private string _memberId = "";
    private int _generation = -1;
    private int _losses;

    // Used by the loop only. A later loss ends what was held after an earlier one: see Held.
    private HashSet<ClaimedPartition> _held = [];
    private int _heldAfter;
    private int _joinedAfter;
    private ConsumerAssignment? _incomplete;
    private IReadOnlyList<TopicListing> _topics = [];
    private HashSet<string> _watched = [];
    private bool _isLeader;

    public ClassicProtocolMember(IBroker broker, ConsumerOptions options, ReaderOptions reader, IAssignmentTarget target,
        SessionLease lease, Subscription subscription, ILogger logger)
    {
        _broker = broker;
        _groups = broker.Groups;
        _options = options;
        _reader = reader;
        _target = target;
        _lease = lease;
        _subscription = subscription;
        _logger = logger;
        _assignors = [.. options.Assignors.Select(static name => ClientAssignors.TryGet(name, out var assignor)
            ? assignor : throw new ArgumentException($"ConsumerOptions.Assignors: there is no '{name}'."))];
        _isCooperative = _assignors.All(static assignor => assignor.IsCooperative);
        _leaseTimer = reader.TimeProvider.CreateTimer(static member => ((ClassicProtocolMember)member!).CheckLease(), this,
            Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public ConsumerGroupMetadata Metadata
    {
        get
        {
            lock (_gate)
                return new ConsumerGroupMetadata(_options.GroupId, _memberId, _generation, _options.GroupInstanceId);
        }
    }

    /// <summary>The partitions that the member holds: none after a loss.</summary>
    private HashSet<ClaimedPartition> Held => _heldAfter == Losses() ? _held : [];

    public void Start() => _loop = Task.Run(RunAsync);

    public void Change(Subscription subscription)
    {
        lock (_gate)
            _subscription = subscription;
        _changed.Release();
    }

    public void SessionIsOver() =>
        Lose($"no response from the group coordinator for {_options.SessionTimeoutOrDefault.TotalSeconds:0.#} s: "
            + "they may be reassigned by now");

    public async Task LeaveAsync(bool forGood, CancellationToken cancellationToken)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        await _leaseTimer.DisposeAsync().ConfigureAwait(false);
        string memberId;
        lock (_gate)
            (memberId, _memberId, _generation) = (_memberId, "", -1);
        // A static member that returns in time gets its partitions back, so it does not announce its departure.
        if (memberId.Length == 0 || (_options.GroupInstanceId is not null && !forGood))
            return;
        try
        {
            await _groups.LeaveGroupAsync(
                new LeaveGroup(_options.GroupId!, [new LeavingMember(memberId, _options.GroupInstanceId, "the consumer is closing")]),
                cancellationToken).ConfigureAwait(false);
            LogLeft(_options.GroupId!, memberId);
        }
        catch (Exception e) when (e is BrokerException or OperationCanceledException)
        {
            LogLeaveFailed(_options.GroupId!, e.Message);
        }
    }

    private async Task RunAsync()
    {
        try
        {
            for (var attempt = 0; !_stop.IsCancellationRequested;)
            {
                GroupReply error;
                try
                {
                    error = await TakePartAsync().ConfigureAwait(false);
                }
                catch (BrokerException e)
                {
                    error = new GroupReply(e.Code, e.Message);
                }
                if (error.Error == ErrorCode.None)
                {
                    attempt = 0;
                    if (_failure.End() is > 1 and var failures)
                        LogRetried(_options.GroupId!, failures);
                    continue;
                }
                switch (HeartbeatJudgement.For(error.Error, wasMember: true))
                {
                    case HeartbeatVerdict.JoinAgain:
                        Forget(error.Error);
                        break;
                    case HeartbeatVerdict.Fail when error.Error != ErrorCode.IllegalGeneration:
                        _target.Fail(new ConsumerGroupException(error.Error, _options.GroupId, error.Message ?? error.Error.ToString()));
                        await _leaseTimer.DisposeAsync().ConfigureAwait(false);
                        return;
                    case HeartbeatVerdict.Fail:
                        Lose("the coordinator returned IllegalGeneration");
                        break;
                    default:
                        if (_failure.IsNew(error.Error))
                            LogRetry(_options.GroupId!, error.Error, error.Message);
                        break;
                }
                await WaitAsync(_reader.BackoffAfter(++attempt)).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Leaving.
        }
        catch (Exception e)
        {
            _target.Fail(new ConsumerGroupException(ErrorCode.UnknownServerError, _options.GroupId, $"{e.GetType().Name}: {e.Message}", e));
        }
    }

    /// <summary>Takes part in one generation: joins, applies the assignment, and stays until the group rebalances or the member has to
    /// rejoin. Returns the error that prevented it, if any.</summary>
    private async Task<GroupReply> TakePartAsync()
    {
        if (!_isCooperative)
        {
            await WhileBeatingAsync(_target.RevokeAsync([.. Held.Select(static item => item.Partition)])).ConfigureAwait(false);
            _held = [];
        }
        _topics = await _broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false);
        var joined = await JoinAsync().ConfigureAwait(false);
        if (joined.Error != ErrorCode.None)
            return joined.Error == ErrorCode.MemberIdRequired ? new GroupReply(ErrorCode.None)
                : new GroupReply(joined.Error, joined.Message);
        var synced = await SyncAsync(joined).ConfigureAwait(false);
        if (synced.Error != ErrorCode.None)
            return synced.Error == ErrorCode.RebalanceInProgress ? new GroupReply(ErrorCode.None)
                : new GroupReply(synced.Error, synced.Message);
        if (!ConsumerProtocol.TryDecodeAssignment(synced.Assignment, out var assignment, out var problem))
            return new GroupReply(ErrorCode.InconsistentGroupProtocol, $"the leader's assignment cannot be decoded: {problem}");
        LogJoined(_options.GroupId!, Metadata.MemberId, Metadata.GenerationIdOrMemberEpoch);
        return await TryApplyAsync(assignment).ConfigureAwait(false) ? await StayAsync().ConfigureAwait(false)
            : new GroupReply(ErrorCode.None);
    }

    private async Task<JoinGroupResult> JoinAsync()
    {
        Subscription subscription;
        lock (_gate)
            subscription = _subscription;
        while (await _changed.WaitAsync(TimeSpan.Zero).ConfigureAwait(false))
        {
            // The changed subscription is part of this join.
        }
        var who = Metadata;
        string[] topics = subscription.Regex is null ? [.. subscription.Topics]
            : [.. SubscribedTopics.Of(subscription, _topics).Select(static topic => topic.Name)];
        TopicPartition[] owned = [.. Held.Select(static item => item.Partition)];
        using var limit = new CancellationTokenSource(_options.RebalanceTimeout + AnswerTimeout, _reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token);
        var join = _groups.JoinGroupAsync(new JoinGroup
        {
            GroupId = _options.GroupId!,
            MemberId = who.MemberId,
            GroupInstanceId = _options.GroupInstanceId,
            ClientId = _options.ClientId,
            SessionTimeout = _options.SessionTimeoutOrDefault,
            RebalanceTimeout = _options.RebalanceTimeout,
            ProtocolType = ConsumerProtocol.ProtocolType,
            Protocols =
                [.. _assignors.Select(assignor => ClientAssignors.Offer(assignor,
                    assignor.Subscribe(topics, owned, who.GenerationIdOrMemberEpoch, _options.Rack)))],
        }, either.Token).AsTask();
        var askedAt = _reader.TimeProvider.GetTimestamp();
        JoinGroupResult result;
        try
        {
            await WhileBeatingAsync(join).ConfigureAwait(false);
            result = await join.ConfigureAwait(false);
        }
        catch (BrokerException e)
        {
            return JoinGroupResult.Failed(e.Code, e.Message);
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            return JoinGroupResult.Failed(ErrorCode.RequestTimedOut, "the group did not complete its rebalance in time");
        }
        lock (_gate)
        {
            if (result.Error == ErrorCode.MemberIdRequired)
                _memberId = result.MemberId;
            if (result.Error != ErrorCode.None)
                return result;
            (_memberId, _generation) = (result.MemberId, result.GenerationId);
            _joinedAfter = _losses;
        }
        _isLeader = result.Leader == result.MemberId;
        // With partitions held, the lease counts from the sending of the request. Without any, the wait for the other members must not
        // shorten it, so it counts from the response.
        Renew(Held.Count == 0 ? _reader.TimeProvider.GetTimestamp() : askedAt);
        return result;
    }

    private async Task<SyncGroupResult> SyncAsync(JoinGroupResult joined)
    {
        var assignments = _isLeader && !joined.SkipAssignment ? await AssignAsync(joined).ConfigureAwait(false) : [];
        var sync = _groups.SyncGroupAsync(new SyncGroup
        {
            GroupId = _options.GroupId!,
            GenerationId = joined.GenerationId,
            MemberId = joined.MemberId,
            GroupInstanceId = _options.GroupInstanceId,
            ProtocolType = joined.ProtocolType,
            ProtocolName = joined.ProtocolName,
            Assignments = assignments,
        }, _stop.Token).AsTask();
        try
        {
            await WhileBeatingAsync(sync).ConfigureAwait(false);
            return await sync.ConfigureAwait(false);
        }
        catch (BrokerException e)
        {
            return new SyncGroupResult(e.Code, e.Message);
        }
    }

    /// <summary>Computes the assignments of all members, as the leader.</summary>
    private async Task<IReadOnlyList<MemberAssignment>> AssignAsync(JoinGroupResult joined)
    {
        var assignor = Array.Find(_assignors, candidate => candidate.Name == joined.ProtocolName)
            ?? throw new InvalidOperationException($"The group chose '{joined.ProtocolName}', which this member did not offer.");
        var subscriptions = ClientAssignors.Read(assignor, joined.Members);
        foreach (var (memberId, error) in subscriptions.Unreadable)
            LogUnreadable(_options.GroupId!, memberId, error);
        _watched = [.. subscriptions.Topics];
        _topics = await _broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false);
        return ClientAssignors.Assign(assignor, subscriptions,
            [.. _topics.Where(topic => _watched.Contains(topic.Name))
                .Select(static topic => new AssignmentTopic(topic.Name, topic.Partitions))]);
    }

    /// <summary>Applies the assignment. Returns whether the member stays in the generation; if not, it rejoins.</summary>
    private async Task<bool> TryApplyAsync(ConsumerAssignment assignment)
    {
        var hasGivenUp = await ReconcileAsync(assignment).ConfigureAwait(false);
        // Partitions that it revoked are assigned to others in a further generation: rejoin at once.
        if (_joinedAfter == Losses())
            return !hasGivenUp;
        _target.LoseAll("the session timed out while they were being assigned");
        return false;
    }

    /// <summary>Revokes partitions that are not assigned again and adds the new ones. Partitions of unknown topics wait, since a
    /// partition is identified by the id of its topic. Returns whether any was revoked.</summary>
    private async Task<bool> ReconcileAsync(ConsumerAssignment assignment)
    {
        var ids = await FindTopicsAsync(assignment).ConfigureAwait(false);
        var holds = assignment.Partitions.Where(partition => ids.ContainsKey(partition.Topic))
            .Select(partition => new ClaimedPartition(partition, ids[partition.Topic])).ToHashSet();
        _incomplete = assignment.Partitions.All(partition => ids.ContainsKey(partition.Topic)) ? null : assignment;
        var held = Held;
        TopicPartition[] revoked = [.. held.Except(holds).Select(static item => item.Partition)];
        await WhileBeatingAsync(_target.RevokeAsync(revoked)).ConfigureAwait(false);
        if (_joinedAfter != Losses())
            return true; // Nothing is added without a session.
        ClaimedPartition[] added = [.. holds.Except(held)];
        (_held, _heldAfter) = (holds, _joinedAfter);
        await WhileBeatingAsync(_target.AddAsync(added)).ConfigureAwait(false);
        return revoked.Length > 0;
    }

    /// <summary>Returns the ids of the assigned topics, as far as the broker knows them. The leader may know a topic earlier.</summary>
    private async Task<Dictionary<string, Guid>> FindTopicsAsync(ConsumerAssignment assignment)
    {
        var ids = _topics.ToDictionary(static topic => topic.Name, static topic => topic.TopicId);
        if (assignment.Partitions.All(partition => ids.ContainsKey(partition.Topic)))
            return ids;
        try
        {
            var look = _broker.ListTopicsAsync(_stop.Token).AsTask();
            await WhileBeatingAsync(look).ConfigureAwait(false);
            foreach (var topic in await look.ConfigureAwait(false))
                ids[topic.Name] = topic.TopicId;
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            LogTopicsUnknown(_options.GroupId!, e.Message);
        }
        return ids;
    }

    [LoggerMessage(50, LogLevel.Information, "Group {Group}: joined as member {Member} in generation {Generation}.")]
    private partial void LogJoined(string group, string member, int generation);

    [LoggerMessage(51, LogLevel.Information, "Group {Group}: member {Member} has left.")]
    private partial void LogLeft(string group, string member);

    [LoggerMessage(38, LogLevel.Warning, "Group {Group}: assigned topics cannot be looked up yet; retrying. {Reason}")]
    private partial void LogTopicsUnknown(string group, string reason);

    [LoggerMessage(34, LogLevel.Warning, "Group {Group}: {Code}, retrying. Equal failures that follow are counted. {Reason}")]
    private partial void LogRetry(string group, ErrorCode code, string? reason);

    [LoggerMessage(39, LogLevel.Information, "Group {Group}: the coordinator answers again, after {Count} requests that failed.")]
    private partial void LogRetried(string group, int count);

    [LoggerMessage(35, LogLevel.Warning, "Group {Group}: leaving failed; the member is removed when its session times out. {Reason}")]
    private partial void LogLeaveFailed(string group, string reason);

    [LoggerMessage(36, LogLevel.Warning, "Group {Group}: the subscription of member {Member} cannot be read, so that it gets no "
        + "partitions. {Reason}")]
    private partial void LogUnreadable(string group, string member, string reason);
}
