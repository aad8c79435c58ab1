using OrleansMq.Api;
using OrleansMq.Compaction;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Replication;

// Leadership: how callers claim and end it, and what the partition asks of it.
internal sealed partial class Replica : IPartitionReplication
{
    private static readonly Task Ended = Task.CompletedTask;

    // Two brokers' clocks differ by less than a tenth within a lease.
    private const int ClockDriftShare = 10;

    // Under the append lock.
    private TaskCompletionSource<ClaimResult>? _claim;
    private PartitionState? _toldState;
    private LeaderStatus _toldStatus;
    private readonly Queue<(long End, long Bytes)> _rounds = new();
    private long _shown;
    private long _waiter;
    private int _bound;
    private TopicConfig? _followed;
    private volatile TaskCompletionSource? _ended;
    private volatile Leadership? _leadership;
    private long _handOutFrom;

    /// <summary>Completes when the current leadership ends; complete if it does not lead.</summary>
    public Task LeadershipEnded => _ended?.Task ?? Ended;

    /// <inheritdoc/>
    bool IPartitionReplication.KnowsLatest => _leader is { KnowsLatest: true };

    /// <inheritdoc/>
    Leadership? IPartitionReplication.Leadership => _leadership;

    /// <inheritdoc/>
    long IPartitionReplication.LeaseLeftMs => _leader is not { Status: LeaderStatus.Leading } leader ? 0
        : leader.LeaseUntil == long.MaxValue ? _ports.LeaseMs : Math.Clamp(leader.LeaseUntil - Now, 0, _ports.LeaseMs);

    /// <inheritdoc/>
    long IPartitionReplication.HandOutWaitMs => Volatile.Read(ref _handOutFrom) - Now;

    /// <inheritdoc/>
    // In this order: the lease is published after the ELR, and the leadership after the time.
    bool IPartitionReplication.IsSoleLeader => _leader is { } leader && leader.MayServeReads(Now) && !leader.HasElr
        && _leadership?.Epoch == leader.Epoch && Volatile.Read(ref _handOutFrom) <= Now;

    /// <summary>Whether it leads, and holds the lease.</summary>
    public bool HoldsLease => _leader is { Status: LeaderStatus.Leading } leader && leader.MayServeReads(Now);

    /// <summary>Claims leadership; completes when it leads or was refused. At once if it leads already.</summary>
    public async Task<ClaimResult> LeadAsync(ClaimRequest request, CancellationToken cancellationToken)
    {
        Task<ClaimResult>? claim = null;
        _refusal = null;
        Step(() => claim = Claim(request));
        if (claim is null)
            return new ClaimResult(ClaimOutcome.NotEligible, OfflineReason ?? $"{TopicPartition} is being removed from this broker.");
        using var registration = cancellationToken.UnsafeRegister(static replica => ((Replica)replica!).GiveUpClaim(), this);
        return await claim.ConfigureAwait(false);
    }

    /// <summary>Ends the leadership at once. Waiting appends fail with an unknown outcome.</summary>
    public void StopLeading(string reason) => Step(() => _leader?.Stop(reason));

    /// <summary>Hands leadership over: refuses appends, waits until the successor and the high watermark have reached the log end or the
    /// time is up, and stores its resignation. Completes when the leadership has ended; at once if it does not lead.</summary>
    /// <param name="successor">The next leader; null for any eligible replica.</param>
    /// <param name="deadline">The longest time to drain.</param>
    /// <returns>The stored state; null if it is not known.</returns>
    public async Task<StoredPartitionState?> ResignAsync(int? successor, TimeSpan deadline)
    {
        var (ended, leader) = (Ended, (LeaderReplica?)null);
        Step(() =>
        {
            (ended, leader) = (LeadershipEnded, _leader);
            leader?.Resign(successor, Now + (long)deadline.TotalMilliseconds, Now);
        });
        await ended.ConfigureAwait(false);
        return leader?.Resigned;
    }

    /// <summary>Changes the replica set: new replicas catch up and join the ISR, then those outside of the set leave. Completes when the
    /// write that begins the change is stored.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>, <see cref="ErrorCode.RequestTimedOut"/>.</exception>
    public async Task ReassignAsync(IReadOnlyList<int> replicas, CancellationToken cancellationToken)
    {
        Task<ErrorCode>? begun = null;
        Step(() => begun = Reassign(replicas));
        var error = begun is null ? ErrorCode.NotLeaderOrFollower : await begun.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (error != ErrorCode.None)
            throw new BrokerException(error, error switch
            {
                ErrorCode.InvalidReplicaAssignment =>
                    $"{string.Join(", ", replicas)} is not a set of replicas: name at least one broker, and none twice.",
                ErrorCode.ReassignmentInProgress => $"Another change of {TopicPartition}'s replicas is being stored. Retry.",
                ErrorCode.RequestTimedOut =>
                    $"It is unknown whether the change of {TopicPartition}'s replicas has begun: the leader changed. Check, and retry.",
                _ => DescribeNotLeading(),
            });
    }

    /// <summary>
    /// Whether only the lease needs ticks: all replicas are in sync and hold all records, no append waits, and the topic's configuration is
    /// followed. Read without the lock: a change it misses is noticed one tick later.
    /// </summary>
    internal bool IsQuiet => _leader is not { } leader || (leader.Status == LeaderStatus.Leading && !leader.IsResigning
        && Partition.HighWatermark == Partition.LogEndOffset && ReferenceEquals(_followed, Partition.KnownConfig)
        && leader.Committed is { Reassignment.IsEmpty: true } state && state.Isr.Length == state.Replicas.Length);

    /// <summary>Passes a tick of the timer to the leader.</summary>
    internal void Tick()
    {
        if (_leader is null)
            return;
        Step(() =>
        {
            if (_leader is not { } leader)
                return;
            if (Partition.KnownConfig is var config && !ReferenceEquals(_followed, config))
            {
                _followed = config;
                leader.Follow(_ports.LeaderOptions(_followed));
            }
            leader.Tick(Now);
        });
    }

    /// <summary>Ends the replica, since its directory is removed or the broker stops.</summary>
    internal void Drop(string reason)
    {
        StopLeading(reason);
        if (_log is null)
        {
            _dropped = true;
            return;
        }
        // Under the lock: a step under way ends first, and none begins afterwards.
        lock (_log.AppendLock)
            _dropped = true;
    }

    ErrorCode IPartitionReplication.RefuseEarly(Acks acks, out string message)
    {
        var leads = _leader is { Status: LeaderStatus.Leading };
        message = leads ? "" : DescribeNotLeading();
        return leads ? ErrorCode.None : ErrorCode.NotLeaderOrFollower;
    }

    ErrorCode IPartitionReplication.RefuseAppend(Acks acks, out string message)
    {
        var refused = _leader?.RefuseAppend(acks.WaitsForReplicas(), Now) ?? ErrorCode.NotLeaderOrFollower;
        // A leader that learns of a later epoch here refuses, and stops.
        if (refused != ErrorCode.None)
            NoteChanges();
        message = refused switch
        {
            ErrorCode.None => "",
            ErrorCode.NotEnoughReplicas =>
                $"Too few replicas of {TopicPartition} are in sync for acks={(acks == Acks.All ? "all" : "replicated")}; nothing was "
                + "appended. Retry.",
            _ => DescribeNotLeading(),
        };
        return refused;
    }

    ErrorCode IPartitionReplication.RefuseRead(out string message)
    {
        if (_leader is { } leader && leader.MayServeReads(Now))
        {
            message = "";
            return ErrorCode.None;
        }
        message = DescribeNotLeading();
        return ErrorCode.NotLeaderOrFollower;
    }

    void IPartitionReplication.Await(AppendOperation operation)
    {
        if (_leader is { } leader)
            Wait(operation, leader);
        else
            // Written, but no leader counts its copies: whether it stays is decided elsewhere.
            operation.Decide(ProduceResult.Failed(ErrorCode.RequestTimedOut, Describe(ErrorCode.RequestTimedOut)));
    }

    long IPartitionReplication.OnRoundWritten(long records, long bytes, long now)
    {
        if (records > 0)
            Partition.Flusher.AfterReplicatedWrite(Partition.Config, records, now);
        if (_leader is not { } leader)
            return 0;
        if (records > 0)
            _rounds.Enqueue((Partition.LogEndOffset, bytes));
        if (bytes > 0)
            _ports.Pace.NoteLive();
        leader.AfterAppends(Now);
        NoteChanges();
        // Readers wake when the high watermark has passed the round.
        return 0;
    }

    void IPartitionReplication.AfterRound(AppendRound round)
    {
        Pump();
        // Appends with acks=1 are completed with their round, which then includes the flush.
        if (Partition.Appends.FlushesBeside && !round.Operations.Exists(static operation => operation.IsWritten))
        {
            if (_log!.SecuredOffset < _log.LogEndOffset)
                Partition.FlushWork.Schedule();
        }
        else if (Partition.Flusher.FlushRound(round))
            Step(() => _leader?.OnFlushed(Now));
    }

    async Task<string?> IPartitionReplication.ReplicateLogStartAsync(long logStart)
    {
        Task<ErrorCode>? known = null;
        Step(() =>
        {
            if (_leader is not { } leader)
                return;
            (var waiter, known) = Promise();
            leader.OnDeleted(logStart, waiter, Now);
        });
        if (known is not null && await known.ConfigureAwait(false) == ErrorCode.None)
            return null;
        IReadOnlyList<int> without = [];
        Step(() => without = _leader?.BrokersWithRecordsBelow(logStart) ?? []);
        return without.Count == 0 ? "the leader changed. Retry."
            : $"broker {string.Join(", ", without)} may lead, and has not answered that it deleted them. Retry when it is back.";
    }

    long IErasure.EraseLimit
    {
        get
        {
            var limit = long.MaxValue;
            Step(() => limit = _leader?.EraseLimit(Now) ?? long.MaxValue);
            return limit;
        }
    }

    void IErasure.BeforeErasing() => Step(() => _leader?.BeforeErasing(Now));

    void IPartitionReplication.OnFlushed() => Step(() => _leader?.OnFlushed(Now));

    void IPartitionReplication.OnOffline(string reason) =>
        ThreadPool.UnsafeQueueUserWorkItem(static state => state.Replica.EndOffline(state.Reason), (Replica: this, Reason: reason),
            preferLocal: false);

    private void Wait(AppendOperation operation, LeaderReplica leader)
    {
        operation.IsWaiting = true;
        operation.Waiter = ++_waiter;
        lock (_pumpLock)
            WaitingOf(operation.Acks).Enqueue(operation);
        if (operation.IsDuplicate)
            leader.OnAppended(operation.OriginalEnd, operation.OriginalOffset, isDuplicate: true, operation.Waiter, operation.Acks);
        else
            leader.OnAppended(operation.Header.NextOffset, operation.Header.BaseOffset, isDuplicate: false, operation.Waiter,
                operation.Acks);
    }

    private Task<ClaimResult> Claim(ClaimRequest request)
    {
        if (_leader is { Status: LeaderStatus.Leading })
            return Task.FromResult(new ClaimResult(ClaimOutcome.Claim));
        if (_claim is { } underWay)
            return underWay.Task;
        _claim = new TaskCompletionSource<ClaimResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        _followed = Partition.KnownConfig;
        _leader = new LeaderReplica(ReplicationRules.Shipped, _ports.LeaderOptions(_followed), _view!, Identity, Key.TopicId,
            Guid.NewGuid(),
            new ClaimMembership(_ports.Host, request.LostMembers), _effects, request.Unclean);
        _leader.Start(request.Stored, Now);
        return _claim.Task;
    }

    private Task<ErrorCode>? Reassign(IReadOnlyList<int> replicas)
    {
        if (_leader is not { Status: LeaderStatus.Leading } leader)
            return null;
        var (waiter, begun) = Promise();
        leader.Reassign(replicas, waiter, Now);
        return begun;
    }

    private void GiveUpClaim() => Step(() =>
    {
        if (_leader is { Status: LeaderStatus.Reading or LeaderStatus.Claiming } claiming)
            claiming.Stop("the claim was given up");
    });

    // The storage failed: waiting appends fail, and this copy must not count as the member that it was.
    private void EndOffline(string reason)
    {
        try
        {
            _log!.ForgetIncarnation();
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            _ports.Warn(Key, $"The failure of {TopicPartition}'s storage could not be recorded: {fault.Message}");
        }
        lock (_log!.AppendLock)
        {
            _leader?.Stop(reason);
            NoteChanges();
        }
        Pump();
        _hasEnded = true;
    }

    /// <summary>Publishes what an input has changed: high watermark, leadership, ISR. After each input, under the append lock.</summary>
    private void NoteChanges()
    {
        ShowHighWatermark();
        if (_leader is not { } leader)
        {
            _bound = _effects.Count;
            return;
        }
        for (; _bound < _effects.Count; _bound++)
        {
            if (_effects[_bound] is FillPush or ReadState or WriteState)
                _effects[_bound] = new AskedBy(leader, _effects[_bound]);
        }
        if (leader.Status == _toldStatus && ReferenceEquals(leader.Committed, _toldState))
            return;
        if (leader.Status == LeaderStatus.Leading && _toldStatus != LeaderStatus.Leading)
            OnLeading(leader);
        var tells = leader.Status == LeaderStatus.Leading || _toldStatus == LeaderStatus.Leading;
        (_toldStatus, _toldState) = (leader.Status, leader.Committed);
        if (leader.Status == LeaderStatus.Stopped)
            OnStopped(leader);
        if (tells)
            _effects.Add(TellHost.Instance);
        _bound = _effects.Count;
    }

    private void OnLeading(LeaderReplica leader)
    {
        Partition.LeadIn(leader.Epoch);
        _rounds.Clear();
        _ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        // An earlier leader may not know yet that it was replaced. The first one has none before it.
        var wait = leader.Epoch <= 1 ? 0 : _ports.LeaseMs + (_ports.LeaseMs / ClockDriftShare);
        Volatile.Write(ref _handOutFrom, Now + wait);
        _leadership = new Leadership(leader.Epoch);
        Partition.NoteLeadership();
        _claim?.TrySetResult(new ClaimResult(ClaimOutcome.Claim));
        _claim = null;
        _ports.Log.Write(EngineLogLevel.Information,
            $"Became leader of {TopicPartition}: epoch {leader.Epoch} from offset {leader.EpochStart}, {leader.Committed}.");
    }

    private void OnStopped(LeaderReplica leader)
    {
        var refused = leader.Claim is ClaimOutcome.Unknown or ClaimOutcome.Claim ? ClaimOutcome.NotEligible : leader.Claim;
        _claim?.TrySetResult(new ClaimResult(refused, leader.StopReason));
        _claim = null;
        if (refused is ClaimOutcome.StoreInThePast)
            _refusal = $"{leader.StopReason}. This broker's disk has seen epoch {LeaderEpoch}: the store of the cluster was restored from "
                + "the past. Restore a later copy of it.";
        if (leader.Epoch >= 0)
            _ports.Log.Write(EngineLogLevel.Information,
                $"Lost leadership of {TopicPartition} in epoch {leader.Epoch}: {leader.StopReason}.");
        _leader = null;
        (_toldStatus, _toldState) = (LeaderStatus.Unknown, null);
        _leadership = null;
        Partition.NoteLeadership();
        _ended?.TrySetResult();
        _ended = null;
        Partition.Waiters.WakeAll();
    }

    // Counts the bytes of the rounds that the high watermark has passed, for the waiting readers; 1 if they are not known.
    private void ShowHighWatermark()
    {
        var highWatermark = Partition.HighWatermark;
        if (highWatermark == _shown)
            return;
        _shown = highWatermark;
        if (_leader is null)
            return;
        var (bytes, isKnown) = (0L, false);
        while (_rounds.TryPeek(out var round) && round.End <= highWatermark)
            (bytes, isKnown) = (bytes + _rounds.Dequeue().Bytes, true);
        if (bytes > 0 || !isKnown)
            Partition.Waiters.Advance(Math.Max(bytes, 1));
    }

    private string DescribeNotLeading() => Leader is var leader && leader >= 0 && leader != Identity.Broker
        ? $"Broker {Identity.Broker} does not lead {TopicPartition}; broker {leader} may. Retry there."
        : $"Broker {Identity.Broker} does not lead {TopicPartition}, or cannot prove that it still does. Retry.";
}
