using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Groups;

namespace OrleansMq.Client;

/// <summary>
/// A member of a group under the consumer protocol (KIP-848). One loop sends heartbeats without interruption; another reconciles the
/// current assignment with the target assignment. While there is nothing to reconcile, a heartbeat is a long poll, so that a new assignment
/// arrives at once.
/// </summary>
internal sealed partial class ConsumerProtocolMember : IMembership
{
    /// <summary>How long to wait for a response, beyond the requested wait. After that the connection counts as dead, and the request is
    /// sent again.</summary>
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BrokenPollGrace = new GroupOptions().BrokenPollGrace;

    private readonly IGroupCoordinator _groups;
    private readonly ConsumerOptions _options;
    private readonly ReaderOptions _reader;
    private readonly IAssignmentTarget _target;
    private readonly SessionLease _lease;
    private readonly TopicDirectory _topics;
    private readonly ILogger _logger;
    private readonly string _memberId = Guid.NewGuid().ToString();
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ITimer _leaseTimer;
    private CancellationTokenSource _wake = new();
    private Task _loop = Task.CompletedTask;

    // The member's state as the coordinator knows it, guarded by the gate.
    private Subscription _subscription;
    private int _epoch = ConsumerGroupHeartbeat.JoinEpoch;
    private int _joins;
    private long _sequence;
    private bool _sendAll = true;
    private bool _sendOwned;
    private IReadOnlyList<TopicPartitions> _owned = [];
    private TimeSpan _interval = TimeSpan.FromSeconds(5);
    private bool _wasMember;
    // Whether the last heartbeats broke off, so that the lease is shorter. For the reason of a loss only.
    private volatile bool _isPollBroken;
    private readonly RepeatedFailure _failure = new();

    public ConsumerProtocolMember(IBroker broker, ConsumerOptions options, ReaderOptions reader, IAssignmentTarget target,
        SessionLease lease, Subscription subscription, ILogger logger)
    {
        _groups = broker.Groups;
        _options = options;
        _reader = reader;
        _target = target;
        _lease = lease;
        _topics = new TopicDirectory(broker);
        _subscription = subscription;
        _logger = logger;
        _leaseTimer = reader.TimeProvider.CreateTimer(static member => ((ConsumerProtocolMember)member!).CheckLease(), this,
            Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public ConsumerGroupMetadata Metadata
    {
        get
        {
            lock (_gate)
                return new ConsumerGroupMetadata(_options.GroupId, _memberId, _epoch > 0 ? _epoch : -1, _options.GroupInstanceId);
        }
    }

    public void Start() => _loop = Task.Run(RunAsync);

    public void Change(Subscription subscription)
    {
        lock (_gate)
        {
            _subscription = subscription;
            _sendAll = true;
        }
        Wake();
    }

    public void SessionIsOver() => Rejoin(_isPollBroken
        ? $"no response from the group coordinator for {BrokenPollGrace.TotalSeconds:0.#} s after a heartbeat broke off: they may be "
            + "reassigned by now"
        : $"no response from the group coordinator for {_lease.Length.TotalSeconds:0.#} s: they may be reassigned by now");

    public async Task LeaveAsync(bool forGood, CancellationToken cancellationToken)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        Wake();
        await _loop.ConfigureAwait(false);
        await _leaseTimer.DisposeAsync().ConfigureAwait(false);
        await _reconciling.ConfigureAwait(false);
        int epoch;
        long sequence;
        lock (_gate)
            (epoch, _epoch, sequence) = (_epoch, ConsumerGroupHeartbeat.JoinEpoch, ++_sequence);
        if (epoch == ConsumerGroupHeartbeat.JoinEpoch)
            return;
        try
        {
            var isBack = _options.GroupInstanceId is not null && !forGood;
            await _groups.ConsumerGroupHeartbeatAsync(new ConsumerGroupHeartbeat
            {
                GroupId = _options.GroupId!,
                MemberId = _memberId,
                InstanceId = _options.GroupInstanceId,
                MemberEpoch = isBack ? ConsumerGroupHeartbeat.LeaveForNowEpoch : ConsumerGroupHeartbeat.LeaveEpoch,
                ClientId = _options.ClientId,
                Sequence = sequence,
            }, cancellationToken).ConfigureAwait(false);
            LogLeft(_options.GroupId!, _memberId);
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
            var attempt = 0;
            while (!_stop.IsCancellationRequested)
                attempt = await BeatAsync() ? 0 : await BackOffAsync(attempt + 1).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Leaving.
        }
        catch (Exception e)
        {
            _target.Fail(new ConsumerGroupException(ErrorCode.UnknownServerError, _options.GroupId, $"{e.GetType().Name}: {e.Message}", e));
        }

        async ValueTask<bool> BeatAsync()
        {
            var (request, joins, wake) = Prepare();
            var sentAt = _reader.TimeProvider.GetTimestamp();
            var result = await SendAsync(request, wake).ConfigureAwait(false);
            if (HeartbeatJudgement.MayHaveBrokenOff(result?.Error))
                OnPollBroken(request);
            if (result is null)
                return true; // Woken: there is something new to send.
            var verdict = HeartbeatJudgement.For(result.Error, _wasMember);
            if (verdict != HeartbeatVerdict.Retry && _failure.End() is > 1 and var failures)
                LogRetried(_options.GroupId!, failures);
            switch (verdict)
            {
                case HeartbeatVerdict.Accepted:
                    var hasNews = Accept(request, result, joins, sentAt);
                    await WaitForNextAsync(request, hasNews, sentAt, wake).ConfigureAwait(false);
                    return true;
                case HeartbeatVerdict.JoinAgain:
                    Rejoin($"the coordinator returned {result.Error}");
                    return request.MemberEpoch > 0;
                case HeartbeatVerdict.Retry:
                    if (_failure.IsNew(result.Error))
                        LogRetry(_options.GroupId!, result.Error, result.Message);
                    lock (_gate)
                        _sendAll = true;
                    return false;
                default:
                    _target.Fail(new ConsumerGroupException(result.Error, _options.GroupId, result.Message ?? result.Error.ToString()));
                    await _stop.CancelAsync().ConfigureAwait(false);
                    await _leaseTimer.DisposeAsync().ConfigureAwait(false);
                    return true;
            }
        }
    }

    private (ConsumerGroupHeartbeat Request, int Joins, CancellationToken Wake) Prepare()
    {
        lock (_gate)
        {
            if (_wake.IsCancellationRequested)
                _wake = new CancellationTokenSource();
            var isJoin = _epoch == ConsumerGroupHeartbeat.JoinEpoch;
            var all = _sendAll || isJoin;
            var request = new ConsumerGroupHeartbeat
            {
                GroupId = _options.GroupId!,
                MemberId = _memberId,
                MemberEpoch = _epoch,
                InstanceId = _options.GroupInstanceId,
                ClientId = _options.ClientId,
                RackId = all ? _options.Rack : null,
                RebalanceTimeout = all ? _options.RebalanceTimeout : null,
                SessionTimeout = all ? _options.SessionTimeout : null,
                // The first join of a process. Later ones must not fence a process that has taken this one's place.
                TakesOverInstance = isJoin && !_wasMember && _options.GroupInstanceId is not null,
                ServerAssignor = all ? _options.ServerAssignor : null,
                SubscribedTopicNames = all ? _subscription.Topics : null,
                SubscribedTopicRegex = all ? _subscription.Regex ?? "" : null,
                Sequence = ++_sequence,
                // Always sent: if it differs from the assignment that the coordinator sent, a response was lost or overtaken, and the
                // coordinator repeats it.
                OwnedPartitions = OwnedAndWanted(),
                // A heartbeat with news, or during a reconciliation, is answered at once.
                MaxWait = all || _sendOwned || !_reconciling.IsCompleted ? TimeSpan.Zero : _interval,
            };
            (_sendAll, _sendOwned) = (false, false);
            return (request, _joins, _wake.Token);
        }
    }

    /// <summary>Sends a heartbeat. Returns null if it was woken in the meantime.</summary>
    private async ValueTask<ConsumerGroupHeartbeatResult?> SendAsync(ConsumerGroupHeartbeat request, CancellationToken wake)
    {
        using var limit = new CancellationTokenSource(request.MaxWait + AnswerTimeout, _reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token, request.MaxWait > TimeSpan.Zero
            ? wake : CancellationToken.None);
        try
        {
            return await _groups.ConsumerGroupHeartbeatAsync(request, either.Token).ConfigureAwait(false);
        }
        catch (BrokerException e)
        {
            return ConsumerGroupHeartbeatResult.Failed(e.Code, e.Message);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            _stop.Token.ThrowIfCancellationRequested();
            lock (_gate)
                _sendAll = true; // The lost response may have contained a new epoch.
            return wake.IsCancellationRequested ? null
                : ConsumerGroupHeartbeatResult.Failed(ErrorCode.RequestTimedOut, $"no response within {request.MaxWait + AnswerTimeout}");
        }
    }

    // The coordinator ends the session of a dynamic member soon after its poll broke off, unless the next heartbeat arrives. A heartbeat
    // that does not wait leaves the session as it is.
    private void OnPollBroken(ConsumerGroupHeartbeat request)
    {
        if (request.MaxWait == TimeSpan.Zero || _options.GroupInstanceId is not null)
            return;
        _isPollBroken = true;
        _lease.Shorten(BrokenPollGrace);
        _leaseTimer.Change(BrokenPollGrace + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    /// <summary>Applies a response. Returns whether it contained anything new.</summary>
    private bool Accept(ConsumerGroupHeartbeat request, ConsumerGroupHeartbeatResult result, int joins, long sentAt)
    {
        lock (_gate)
        {
            if (joins != _joins)
                return true; // The session timed out before the response arrived: rejoin.
            if (request.MemberEpoch == ConsumerGroupHeartbeat.JoinEpoch)
                LogJoined(_options.GroupId!, _memberId, result.MemberEpoch);
            (_epoch, _wasMember, _isPollBroken) = (result.MemberEpoch, true, false);
            if (result.HeartbeatInterval > TimeSpan.Zero)
                _interval = result.HeartbeatInterval;
            _lease.Renew(sentAt);
            if (result.SessionTimeout > TimeSpan.Zero && _lease.Follow(result.SessionTimeout, _options.SessionTimeout))
                LogShorterSession(_options.GroupId!, _options.SessionTimeout!.Value, result.SessionTimeout);
            if (result.Assignment is { } assignment)
                Reconcile(assignment);
        }
        _leaseTimer.Change(_lease.Length + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
        return result.Assignment is not null || result.MemberEpoch != request.MemberEpoch;
    }

    private async ValueTask WaitForNextAsync(ConsumerGroupHeartbeat request, bool hasNews, long sentAt, CancellationToken wake)
    {
        var left = _interval - _reader.TimeProvider.GetElapsedTime(sentAt);
        var isReconciling = !_reconciling.IsCompleted;
        // Continue at once after news, or after a long poll that ran to its end. A coordinator that does not wait is not polled in a loop.
        if (left <= TimeSpan.Zero || (hasNews && !isReconciling) || (request.MaxWait == TimeSpan.Zero && !isReconciling))
            return;
        await DelayAsync(left, wake).ConfigureAwait(false);
    }

    private async Task<int> BackOffAsync(int attempt)
    {
        await DelayAsync(_reader.BackoffAfter(attempt), CancellationToken.None).ConfigureAwait(false);
        return attempt;
    }

    private async ValueTask DelayAsync(TimeSpan wait, CancellationToken wake)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, wake);
        try
        {
            await Task.Delay(wait, _reader.TimeProvider, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (wake.IsCancellationRequested)
        {
            // There is something to send.
        }
    }

    private void CheckLease()
    {
        if (_lease.IsOver)
            SessionIsOver();
    }

    /// <summary>Loses all partitions and rejoins: the coordinator has removed the member, or may have.</summary>
    private void Rejoin(string reason)
    {
        lock (_gate)
        {
            if (_epoch == ConsumerGroupHeartbeat.JoinEpoch && _owned.Count == 0 && _wanted is null && _reconciling.IsCompleted)
                return;
            _epoch = ConsumerGroupHeartbeat.JoinEpoch;
            _joins++;
            (_owned, _held, _wanted) = ([], [], null);
            _target.LoseAll(reason);
        }
        Wake();
    }

    private void Wake()
    {
        CancellationTokenSource wake;
        lock (_gate)
            wake = _wake;
        _ = wake.CancelAsync(); // Waiters continue on another thread, outside the gate.
    }

    [LoggerMessage(50, LogLevel.Information, "Group {Group}: joined as member {Member} in epoch {Epoch}.")]
    private partial void LogJoined(string group, string member, int epoch);

    [LoggerMessage(51, LogLevel.Information, "Group {Group}: member {Member} has left.")]
    private partial void LogLeft(string group, string member);

    [LoggerMessage(30, LogLevel.Warning, "Group {Group}: heartbeat failed: {Code}; retrying. Equal failures that follow are "
        + "counted. {Reason}")]
    private partial void LogRetry(string group, ErrorCode code, string? reason);

    [LoggerMessage(39, LogLevel.Information, "Group {Group}: heartbeats are answered again, after {Count} that failed.")]
    private partial void LogRetried(string group, int count);

    [LoggerMessage(37, LogLevel.Warning, "Group {Group}: ConsumerOptions.SessionTimeout is {Own}, but the coordinator removes members "
        + "after {Coordinators} (group.consumer.session.timeout.ms), since it is of an earlier version; the consumer uses the latter.")]
    private partial void LogShorterSession(string group, TimeSpan own, TimeSpan coordinators);

    [LoggerMessage(31, LogLevel.Warning, "Group {Group}: leaving failed; the member is removed when its session times out. {Reason}")]
    private partial void LogLeaveFailed(string group, string reason);
}
