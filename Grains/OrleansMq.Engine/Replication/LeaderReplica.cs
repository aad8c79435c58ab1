using OrleansMq.Producers;

namespace OrleansMq.Replication;

/// <summary>Where a leadership stands.</summary>
internal enum LeaderStatus
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Wants to lead: reads the state. Serves nothing.</summary>
    Reading = 1,
    /// <summary>Has sent its claim, or reads what became of it. Serves nothing.</summary>
    Claiming = 2,
    /// <summary>Leads <see cref="LeaderReplica.Epoch"/>.</summary>
    Leading = 3,
    /// <summary>Leads no more, or was not let: a new claim begins with a new object.</summary>
    Stopped = 4,
}

/// <summary>
/// A replica that leads, from its claim to its end. No I/O but its log, no clock, no random: inputs come as calls with the time in milliseconds, what is
/// to be done is added to the effects.
/// <code>
/// Reading  -- eligible --> Claiming (write epoch + 1)      -- not eligible --> Stopped
/// Claiming -- written, or found written --> Leading        -- another token is stored --> Stopped
/// Leading  -- a higher epoch is seen, another token is stored, Stop --> Stopped
/// </code>
/// </summary>
internal sealed partial class LeaderReplica
{
    private readonly ReplicationRules _rules;
    private readonly LeaderOptions _options;
    private readonly IReplicaLog _log;
    private readonly ReplicaIdentity _self;
    private readonly Guid _topicId;
    private readonly Guid _token;
    private readonly IMembership _membership;
    private readonly List<ReplicationEffect> _effects;
    private readonly Queue<(long End, long Waiter, long BaseOffset, bool IsDuplicate)> _waiters = [];
    private FollowerProgress[] _followers = [];

    /// <summary>Prepares a claim; <see cref="Start"/> begins it.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="options">Times and bounds.</param>
    /// <param name="log">This replica's log; no other leadership uses it.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic its directory belongs to.</param>
    /// <param name="token">Random, new with every object.</param>
    /// <param name="membership">Who lives.</param>
    /// <param name="effects">Where effects are added.</param>
    public LeaderReplica(ReplicationRules rules, LeaderOptions options, IReplicaLog log, ReplicaIdentity self, Guid topicId, Guid token,
        IMembership membership, List<ReplicationEffect> effects) =>
        (_rules, _options, _log, _self, _topicId, _token, _membership, _effects) = (rules, options, log, self, topicId, token, membership, effects);

    /// <summary>Where it stands.</summary>
    public LeaderStatus Status { get; private set; } = LeaderStatus.Reading;
    /// <summary>The epoch it leads, once it leads.</summary>
    public int Epoch { get; private set; } = -1;
    /// <summary>The log end when the epoch began.</summary>
    public long EpochStart { get; private set; }
    /// <summary>Readers see nothing at or above it.</summary>
    public long HighWatermark => _log.HighWatermark;

    /// <summary>
    /// Appends a producer's batch. Answered by <see cref="CompleteAppend"/>: at once where it is refused or <paramref name="waitForAll"/> is false, else
    /// when the high watermark has passed it.
    /// </summary>
    public void Append(ReadOnlyMemory<byte> batch, bool waitForAll, long waiter, long now)
    {
        var refusal = !LeadsStill() || (!waitForAll && !HoldsLease(now)) ? ErrorCode.NotLeaderOrFollower
            : waitForAll && !HasEnoughReplicas() ? ErrorCode.NotEnoughReplicas
            : ErrorCode.None;
        if (refusal != ErrorCode.None)
        {
            Complete(waiter, refusal);
            return;
        }
        var decision = _log.CheckProducer(batch);
        if (decision.ErrorCode != ErrorCode.None)
        {
            Complete(waiter, decision.ErrorCode);
            return;
        }
        var isDuplicate = decision.Outcome == ProducerOutcome.Duplicate;
        var (baseOffset, end) = (decision.BaseOffset, decision.LastOffset + 1);
        if (!isDuplicate)
        {
            var written = _log.Append(batch, Epoch);
            (baseOffset, end) = (written.BaseOffset, written.NextOffset);
        }
        if (waitForAll)
            _waiters.Enqueue((end, waiter, baseOffset, isDuplicate));
        else
            Complete(waiter, ErrorCode.None, baseOffset);
        PushToAll(now, heartbeat: false);
        Advance();
    }

    /// <summary>Time went by: sends again, proves the lease, takes members out of the ISR and lets them in.</summary>
    public void Tick(long now)
    {
        if (!LeadsStill())
        {
            if (Status is LeaderStatus.Reading or LeaderStatus.Claiming)
                ContinueStore();
            return;
        }
        ContinueStore();
        ProposeIsr(now);
        if (!HasEnoughReplicas())
            FailWaiters(ErrorCode.NotEnoughReplicasAfterAppend);
        PushToAll(now, heartbeat: true);
        Advance();
    }

    /// <summary>What was written is on stable storage now: under <c>sync</c> the leader's own end counts only then.</summary>
    public void OnFlushed()
    {
        if (LeadsStill())
            Advance();
    }

    /// <summary>The latest offset a reader may be told, by its own view of the epoch (KIP-207, KIP-320).</summary>
    public ErrorCode TryReadLatest(int clientEpoch, long now, out long latest)
    {
        latest = -1;
        if (!LeadsStill() || !HoldsLease(now))
            return ErrorCode.NotLeaderOrFollower;
        if (clientEpoch != Epoch)
            return clientEpoch < Epoch ? ErrorCode.FencedLeaderEpoch : ErrorCode.UnknownLeaderEpoch;
        if (!_rules.KnowsLatest(HighWatermark, EpochStart))
            return ErrorCode.OffsetNotAvailable;
        latest = HighWatermark;
        return ErrorCode.None;
    }

    /// <summary>Leads no more: who waits is told that the outcome is unknown.</summary>
    public void Stop()
    {
        Status = LeaderStatus.Stopped;
        FailWaiters(ErrorCode.RequestTimedOut);
    }

    /// <summary>Leads, and no later epoch has come by on this broker.</summary>
    private bool LeadsStill()
    {
        if (Status == LeaderStatus.Leading && _rules.Fence(Epoch, _log.Fence) == FenceOutcome.Refuse)
            Stop();
        return Status == LeaderStatus.Leading;
    }

    private bool HoldsLease(long now) => _rules.HoldsLease(
        _rules.Union(_committed!, _unsettled).Where(m => m.Broker != _self.Broker).Select(AcknowledgedSentAt), now, _options.LeaseMs);

    // A renewed replica on the member's broker may have forgotten its fence with its log: it proves nothing.
    private long AcknowledgedSentAt(ReplicaIdentity member) =>
        ProgressOf(member.Broker) is { Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress.AcknowledgedSentAt
            : FollowerProgress.Never;

    private bool HasEnoughReplicas() =>
        HighWatermarkDecision.HasEnoughReplicas(_rules.CountInsync(_committed!, _unsettled), _options.MinInsyncReplicas);

    private FollowerProgress? ProgressOf(int broker) => Array.Find(_followers, f => f.Broker == broker);

    /// <summary>Moves the high watermark as far as it may go, and answers who waited for it.</summary>
    private void Advance()
    {
        var hasElr = _committed!.Elr.Length > 0 || _unsettled.Exists(p => p.Elr.Length > 0);
        var next = _rules.NextHighWatermark(_log.HighWatermark, _rules.Union(_committed, _unsettled).Select(CountedEnd), HasEnoughReplicas(), hasElr);
        _log.HighWatermark = Math.Max(_log.HighWatermark, next);
        while (_waiters.TryPeek(out var first) && (first.IsDuplicate
            ? _rules.IsDuplicateReplicated(first.End, _log.HighWatermark)
            : _rules.IsReplicated(first.End, _log.HighWatermark)))
        {
            _waiters.Dequeue();
            Complete(first.Waiter, HasEnoughReplicas() ? ErrorCode.None : ErrorCode.NotEnoughReplicasAfterAppend, first.BaseOffset);
        }
    }

    private long? CountedEnd(ReplicaIdentity member)
    {
        if (member.Broker == _self.Broker)
            return _rules.SameMember(member, _self) ? _log.CountedEndOffset : null;
        return ProgressOf(member.Broker) is { IsAligned: true, Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress.CountedEnd
            : null;
    }

    private void FailWaiters(ErrorCode error)
    {
        while (_waiters.TryDequeue(out var waiter))
            Complete(waiter.Waiter, error);
    }

    private void Complete(long waiter, ErrorCode error, long baseOffset = -1) =>
        _effects.Add(new CompleteAppend(waiter, error, error == ErrorCode.None ? baseOffset : -1));
}
