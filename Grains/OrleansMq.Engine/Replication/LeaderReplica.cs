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
/// A replica that leads, from its claim to its end. No I/O but its log, no clock, no random: inputs come as calls with the time in
/// milliseconds, what is to be done is added to the effects.
/// <code>
/// Reading  -- eligible --> Claiming (write epoch + 1)      -- not eligible --> Stopped
/// Claiming -- written, or found written --> Leading        -- another token is stored --> Stopped
/// Leading  -- a higher epoch is seen, another token is stored, it resigned, Stop --> Stopped
/// </code>
/// </summary>
internal sealed partial class LeaderReplica
{
    private readonly ReplicationRules _rules;
    private LeaderOptions _options;
    private readonly IReplicaLog _log;
    private readonly ReplicaIdentity _self;
    private readonly Guid _topicId;
    private readonly Guid _token;
    private readonly IMembership _membership;
    private readonly List<ReplicationEffect> _effects;
    private readonly bool _unclean;
    private FollowerProgress[] _followers = [];
    // What decisions are given: made once, since a thousand leaders decide many times a second.
    private FollowerView[] _views = [];
    private long[] _sentAt = [];
    private long?[] _ends = [];
    // The number of the latest session: never used twice in an epoch, also not for a replica that left the set and came back.
    private int _sessions;
    private long _now = long.MinValue;
    private long _leaseUntil = long.MinValue;

    /// <summary>Prepares a claim; <see cref="Start"/> begins it.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="options">Times and bounds.</param>
    /// <param name="log">This replica's log; no other leadership uses it.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic its directory belongs to.</param>
    /// <param name="token">Random, new with every object.</param>
    /// <param name="membership">Who lives.</param>
    /// <param name="effects">Where effects are added.</param>
    /// <param name="unclean">Claim also where acknowledged records may be lost by it.</param>
    public LeaderReplica(ReplicationRules rules, LeaderOptions options, IReplicaLog log, ReplicaIdentity self, Guid topicId, Guid token,
        IMembership membership, List<ReplicationEffect> effects, bool unclean = false) =>
        (_rules, _options, _log, _self, _topicId, _token, _membership, _effects, _unclean) =
        (rules, options, log, self, topicId, token, membership, effects, unclean);

    /// <summary>Where it stands.</summary>
    public LeaderStatus Status { get; private set; } = LeaderStatus.Reading;
    /// <summary>The epoch it leads, once it leads.</summary>
    public int Epoch { get; private set; } = -1;
    /// <summary>The log end when the epoch began.</summary>
    public long EpochStart { get; private set; }
    /// <summary>Readers see nothing at or above it.</summary>
    public long HighWatermark => _log.HighWatermark;

    /// <summary>Why it stopped; null before.</summary>
    public string? StopReason { get; private set; }
    /// <summary>Until when reads and <c>acks=0/1</c> are served, milliseconds of the leader's clock: <see cref="long.MaxValue"/> where
    /// no other replica counts, <see cref="long.MinValue"/> where it does not lead. May be read without the lock: it is published after the
    /// epoch and its start.</summary>
    public long LeaseUntil => Volatile.Read(ref _leaseUntil);

    /// <summary>Time went by: sends again, proves the lease, takes members out of the ISR and lets them in, gives up what waited too
    /// long.</summary>
    public void Tick(long now)
    {
        if (!LeadsAt(now))
        {
            if (Status is LeaderStatus.Reading or LeaderStatus.Claiming)
                ContinueStore();
            return;
        }
        ContinueStore();
        Propose(now);
        if (!HasEnoughReplicas())
            FailWaiters(ErrorCode.NotEnoughReplicasAfterAppend);
        FailOverdue();
        foreach (var follower in _followers)
            Beat(follower, now);
        Advance();
    }

    /// <summary>Goes by other times and bounds from now on: the topic's configuration changed.</summary>
    public void Follow(LeaderOptions options) => _options = options;

    /// <summary>What was written is on stable storage now: under <c>sync</c> the leader's own end counts only then.</summary>
    public void OnFlushed(long now)
    {
        if (LeadsAt(now))
            Advance();
    }

    /// <summary>Stops if its own replica has seen a later epoch.</summary>
    public void StopIfReplaced(long now) => LeadsAt(now);

    /// <summary>Whether it can prove that it leads, so that it may serve reads. On any thread, without the lock.</summary>
    public bool MayServeReads(long now) => now <= LeaseUntil;

    /// <summary>Whether latest and time lookups may be answered (KIP-207). On any thread, for a reader that it may serve.</summary>
    public bool KnowsLatest => _rules.KnowsLatest(HighWatermark, EpochStart);

    /// <summary>Leads no more: who waits is told that the outcome is unknown.</summary>
    public void Stop(string reason)
    {
        if (Status == LeaderStatus.Stopped)
            return;
        (Status, StopReason) = (LeaderStatus.Stopped, reason);
        Volatile.Write(ref _leaseUntil, long.MinValue);
        FailWaiters(ErrorCode.RequestTimedOut);
        EndReassignment(ErrorCode.RequestTimedOut);
    }

    /// <summary>Leads, and no later epoch has come by on this broker.</summary>
    private bool LeadsAt(long now)
    {
        Note(now);
        if (Status == LeaderStatus.Leading && !_rules.LeadsStill(Epoch, _log.Fence))
            Stop($"epoch {_log.Fence} has begun");
        return Status == LeaderStatus.Leading;
    }

    private void Note(long now) => _now = Math.Max(_now, now);

    // A renewed replica on the member's broker may have forgotten its fence with its log: it proves nothing.
    private long AcknowledgedSentAt(ReplicaIdentity member) =>
        ProgressOf(member.Broker) is { Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress.AcknowledgedSentAt
            : FollowerProgress.Never;

    private bool HasEnoughReplicas() =>
        HighWatermarkDecision.HasEnoughReplicas(_rules.CountInsync(_committed!, _unsettled), _options.MinInsyncReplicas);

    private FollowerProgress? ProgressOf(int broker)
    {
        foreach (var follower in _followers)
        {
            if (follower.Broker == broker)
                return follower;
        }
        return null;
    }

    /// <summary>Moves lease and high watermark as far as they may go, and answers who waited for it.</summary>
    private void Advance()
    {
        var union = _rules.Union(_committed!, _unsettled);
        if (_ends.Length < union.Length)
            (_sentAt, _ends) = (new long[union.Length], new long?[union.Length]);
        var others = 0;
        for (var i = 0; i < union.Length; i++)
        {
            if (union[i].Broker != _self.Broker)
                _sentAt[others++] = AcknowledgedSentAt(union[i]);
            _ends[i] = CountedEnd(union[i]);
        }
        Volatile.Write(ref _leaseUntil, _rules.LeaseUntil(_sentAt.AsSpan(0, others), _options.LeaseMs));
        var hasElr = _committed!.Elr.Length > 0 || _unsettled.Exists(p => p.Elr.Length > 0);
        var next = _rules.NextHighWatermark(_log.HighWatermark, _ends.AsSpan(0, union.Length), HasEnoughReplicas(), hasElr);
        if (next > _log.HighWatermark)
            _log.SetHighWatermark(next, Epoch);
        CompleteReplicated();
        ContinueHandover();
    }

    private long? CountedEnd(ReplicaIdentity member)
    {
        if (member.Broker == _self.Broker)
            return _rules.SameMember(member, _self) ? _log.CountedEndOffset : null;
        return ProgressOf(member.Broker) is { IsAligned: true, Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress.CountedEnd
            : null;
    }
}
