using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>The status of a leadership.</summary>
internal enum LeaderStatus
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Reads the state before its claim. Serves nothing.</summary>
    Reading = 1,
    /// <summary>Writes its claim, or reads its outcome. Serves nothing.</summary>
    Claiming = 2,
    /// <summary>Leads <see cref="LeaderReplica.Epoch"/>.</summary>
    Leading = 3,
    /// <summary>Lost leadership, or was refused. A new claim begins with a new object.</summary>
    Stopped = 4,
}

/// <summary>
/// A replica in the leader role, from its claim to its end. No I/O except its log, no clock, no random: inputs arrive as calls with the
/// time in milliseconds, and actions are added to the effects.
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
    // Inputs of the decisions. Reused, since a thousand leaders decide many times a second.
    private FollowerView[] _views = [];
    private long[] _sentAt = [];
    private long?[] _ends = [];
    // The number of the latest session. Never reused in an epoch, even for a replica that left the set and returned.
    private int _sessions;
    private long _now = long.MinValue;
    private long _leaseUntil = long.MinValue;
    private bool _hasElr;
    // Appends that need no flush are acknowledged up to here. It moves only while some wait; the high watermark may overtake it.
    private long _replicated;

    /// <summary>Prepares a claim; <see cref="Start"/> begins it.</summary>
    /// <param name="rules">The protocol.</param>
    /// <param name="options">Times and bounds.</param>
    /// <param name="log">This replica's log; no other leadership uses it.</param>
    /// <param name="self">This replica.</param>
    /// <param name="topicId">The topic of its directory.</param>
    /// <param name="token">Random, new with every object.</param>
    /// <param name="membership">The live brokers.</param>
    /// <param name="effects">Collects the effects.</param>
    /// <param name="unclean">Whether to claim although acknowledged records may be lost.</param>
    public LeaderReplica(ReplicationRules rules, LeaderOptions options, IReplicaLog log, ReplicaIdentity self, Guid topicId, Guid token,
        IMembership membership, List<ReplicationEffect> effects, bool unclean = false) =>
        (_rules, _options, _log, _self, _topicId, _token, _membership, _effects, _unclean) =
        (rules, options, log, self, topicId, token, membership, effects, unclean);

    /// <summary>The current status.</summary>
    public LeaderStatus Status { get; private set; } = LeaderStatus.Reading;
    /// <summary>The epoch it leads, once it leads.</summary>
    public int Epoch { get; private set; } = -1;
    /// <summary>The log end when the epoch began.</summary>
    public long EpochStart { get; private set; }
    /// <summary>The first offset that readers do not see.</summary>
    public long HighWatermark => _log.HighWatermark;

    /// <summary>Why it stopped; null before.</summary>
    public string? StopReason { get; private set; }
    /// <summary>The end of the lease, until which reads and <c>acks=0/1</c> are served, in milliseconds of the leader's clock.
    /// <see cref="long.MaxValue"/> if no other replica counts, <see cref="long.MinValue"/> if it does not lead. May be read without the
    /// lock: it is published after the epoch and its start.</summary>
    public long LeaseUntil => Volatile.Read(ref _leaseUntil);

    /// <summary>Whether an ELR is committed or proposed, whose members may lead without ending this lease. May be read without the lock:
    /// before a lease that an ELR makes endless, it is true.</summary>
    public bool HasElr => Volatile.Read(ref _hasElr);

    /// <summary>Processes the passing of time: resends, renews the lease, changes the ISR, and fails appends that waited too
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
        FailOverdueDeletions();
        foreach (var follower in _followers)
            Beat(follower, now);
        Advance();
    }

    /// <summary>Applies other times and bounds, after the topic's configuration changed.</summary>
    public void Follow(LeaderOptions options) => _options = options;

    /// <summary>Processes a flush of the leader's own log: under <c>sync</c> only its flushed end counts.</summary>
    public void OnFlushed(long now)
    {
        if (LeadsAt(now))
            Advance();
    }

    /// <summary>Stops if its own replica has seen a later epoch.</summary>
    public void StopIfReplaced(long now) => LeadsAt(now);

    /// <summary>Whether its lease proves that it leads, so that it may serve reads. On any thread, without the lock.</summary>
    public bool MayServeReads(long now) => now <= LeaseUntil;

    /// <summary>Whether latest and time lookups may be answered (KIP-207). On any thread, for a reader that may be served.</summary>
    public bool KnowsLatest => _rules.KnowsLatest(HighWatermark, EpochStart);

    /// <summary>Ends the leadership. Waiting appends fail with an unknown outcome.</summary>
    public void Stop(string reason)
    {
        if (Status == LeaderStatus.Stopped)
            return;
        (Status, StopReason) = (LeaderStatus.Stopped, reason);
        Volatile.Write(ref _leaseUntil, long.MinValue);
        FailWaiters(ErrorCode.RequestTimedOut);
        FailDeletions();
        EndReassignment(ErrorCode.RequestTimedOut);
    }

    /// <summary>Whether it leads. Stops if its own replica has seen a later epoch.</summary>
    private bool LeadsAt(long now)
    {
        Note(now);
        if (Status == LeaderStatus.Leading && !_rules.LeadsStill(Epoch, _log.Fence))
            Stop($"epoch {_log.Fence} has begun");
        return Status == LeaderStatus.Leading;
    }

    private void Note(long now) => _now = Math.Max(_now, now);

    // A renewed replica on the member's broker may have lost its fence with its log, so its acknowledgement proves nothing.
    private long AcknowledgedSentAt(ReplicaIdentity member) =>
        ProgressOf(member.Broker) is { Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress.AcknowledgedSentAt
            : FollowerProgress.Never;

    private int MinInsync => _rules.MinInsync(_options.MinInsyncReplicas);

    private bool HasEnoughReplicas() => HighWatermarkDecision.HasEnoughReplicas(_rules.CountInsync(_committed!, _unsettled), MinInsync);

    private FollowerProgress? ProgressOf(int broker)
    {
        foreach (var follower in _followers)
        {
            if (follower.Broker == broker)
                return follower;
        }
        return null;
    }

    /// <summary>Advances lease and high watermark as far as allowed, and completes appends below the latter.</summary>
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
        var hasElr = _committed!.Elr.Length > 0 || _unsettled.Exists(p => p.Elr.Length > 0);
        Volatile.Write(ref _hasElr, hasElr);
        Volatile.Write(ref _leaseUntil, _rules.LeaseUntil(_sentAt.AsSpan(0, others), _options.LeaseMs));
        var next = _rules.NextHighWatermark(_log.HighWatermark, _ends.AsSpan(0, union.Length), HasEnoughReplicas(), hasElr);
        if (next > _log.HighWatermark)
            _log.SetHighWatermark(next, Epoch);
        if (_unflushed.Count > 0)
            AdvanceReplicated(union, hasElr);
        CompleteReplicated();
        CompleteDeletions();
        ContinueHandover();
    }

    // Only while appends wait for it, so that it costs the others nothing.
    private void AdvanceReplicated(ImmutableArray<ReplicaIdentity> union, bool hasElr)
    {
        for (var i = 0; i < union.Length; i++)
            _ends[i] = LogEnd(union[i]);
        _replicated = _rules.NextReplicated(_replicated, _ends.AsSpan(0, union.Length), _log.HighWatermark, HasEnoughReplicas(), hasElr);
    }

    private long? CountedEnd(ReplicaIdentity member) => member.Broker == _self.Broker
        ? _rules.SameMember(member, _self) ? _log.CountedEndOffset : null
        : AlignedProgressOf(member)?.CountedEnd;

    private long? LogEnd(ReplicaIdentity member) => member.Broker == _self.Broker
        ? _rules.SameMember(member, _self) ? _log.LogEndOffset : null
        : AlignedProgressOf(member)?.StatedEnd;

    private FollowerProgress? AlignedProgressOf(ReplicaIdentity member) =>
        ProgressOf(member.Broker) is { IsAligned: true, Identity: { } identity } progress && _rules.SameMember(member, identity)
            ? progress
            : null;
}
