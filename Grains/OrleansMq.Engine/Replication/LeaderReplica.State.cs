using OrleansMq.Diagnostics;

namespace OrleansMq.Replication;

// The claim and the ISR: everything that goes through the store, with one operation in flight.
internal sealed partial class LeaderReplica
{
    private PartitionState? _committed;
    private string? _etag;
    // The ETag of the state by which it was chosen, if the claim must compare it with the stored one.
    private string? _chosenBy;
    // The fence when the latest read began; -1 before the first.
    private int _fenceAtRead = -1;
    private PartitionState? _writing;
    // Writes with an unknown outcome: until a later write succeeds, each of them may still be stored.
    private readonly List<PartitionState> _unsettled = [];
    private long _operation;
    private bool _inFlight;
    private bool _mustRead;

    /// <summary>The state that this leader follows; null before it leads.</summary>
    public PartitionState? Committed => _committed;
    /// <summary>The outcome of the claim; unknown before the state was read.</summary>
    public ClaimOutcome Claim { get; private set; }

    /// <summary>The state that its resignation stored; null if it did not resign, or if that is not known.</summary>
    public StoredPartitionState? Resigned { get; private set; }

    /// <summary>Begins the claim.</summary>
    /// <param name="known">The state by which it was chosen; null to read the stored one. If another state is stored by now, the claim is
    /// refused.</param>
    /// <param name="now">The time, in milliseconds.</param>
    public void Start(StoredPartitionState? known, long now)
    {
        if (known is null)
        {
            Read();
            return;
        }
        Note(now);
        Begin(known.State, known.ETag);
    }

    /// <summary>Processes the stored state.</summary>
    public void OnStateRead(long operation, PartitionState state, string etag, long now)
    {
        if (!Ends(operation))
            return;
        Note(now);
        _mustRead = false;
        if (Status == LeaderStatus.Reading)
            Begin(state, etag);
        else if (_rules.AfterFailedWrite(state, _token) == StoreOutcome.StepDown)
            Stop($"another leadership is stored: {state}");
        else if (Status == LeaderStatus.Claiming)
            Lead(state, etag, now);
        else
        {
            // A new ETag means that writes with an older one can no longer succeed.
            if (etag != _etag)
                _unsettled.Clear();
            Commit(state, etag, now);
        }
    }

    private void Begin(PartitionState state, string etag)
    {
        if (_chosenBy is { } chosenBy && chosenBy != etag)
        {
            Claim = ClaimOutcome.NotEligible;
            Stop($"another leadership is stored: {state}");
            return;
        }
        var claim = _rules.Claim(state, _self, _topicId, _log.Fence, _token, _membership, _unclean);
        if (claim.Outcome == ClaimOutcome.StoreInThePast && !_rules.ProvesRestore(state.LeaderEpoch, _fenceAtRead))
        {
            // Another epoch has begun since the choice or during the read, or the store is older than the disk. A new read tells which.
            _chosenBy = etag;
            Read();
            return;
        }
        Claim = claim.Outcome;
        if (claim.Outcome != ClaimOutcome.Claim)
        {
            Stop($"the claim was refused: {claim.Outcome}; stored is {state}");
            return;
        }
        Status = LeaderStatus.Claiming;
        _etag = etag;
        Write(claim.Next!);
    }

    /// <summary>Processes a successful write.</summary>
    public void OnStateWritten(long operation, string etag, long now)
    {
        if (!Ends(operation))
            return;
        Note(now);
        var written = _writing!;
        if (Status == LeaderStatus.Claiming)
            Lead(written, etag, now);
        else if (Status == LeaderStatus.Leading)
        {
            _unsettled.Clear();
            if (written.LeaderToken != _token)
            {
                Resigned = new StoredPartitionState(written, etag);
                Stop($"it resigned{(written.Successor < 0 ? "" : $" in favour of broker {written.Successor}")}");
            }
            else if (LeadsAt(now))
                Commit(written, etag, now);
        }
    }

    private void Commit(PartitionState state, string etag, long now)
    {
        (_committed, _etag) = (state, etag);
        FollowReplicas(now);
        Propose(now);
        Advance();
    }

    /// <summary>Processes a failed operation. Its outcome may be unclear: the write may still be stored.</summary>
    public void OnStateFailed(long operation)
    {
        if (Ends(operation))
            _mustRead = true;
    }

    private bool Ends(long operation)
    {
        if (!_inFlight || operation != _operation || Status == LeaderStatus.Stopped)
            return false;
        _inFlight = false;
        return true;
    }

    private void Lead(PartitionState state, string etag, long now)
    {
        if (_rules.Fence(state.LeaderEpoch, _log.Fence) == FenceOutcome.Refuse)
        {
            Stop($"epoch {_log.Fence} has begun meanwhile");
            return;
        }
        (_committed, _etag, Epoch) = (state, etag, state.LeaderEpoch);
        EpochStart = _log.LogEndOffset;
        // The claimant of the unclean epoch may never have led it. So the first leader whose fence is below that epoch
        // reports it.
        if (_log.Fence < state.UncleanEpoch)
            _effects.Add(new ReportUncleanElection(state.UncleanEpoch, [.. _log.Epochs], _log.LogStartOffset, EpochStart));
        _log.RaiseFence(Epoch);
        _log.AssignEpoch(Epoch, EpochStart);
        Invariant.Check(_log.HighWatermark <= EpochStart, "a replica knows no high watermark above its own end");
        Status = LeaderStatus.Leading;
        FollowReplicas(now);
        Advance();
    }

    private void ContinueStore()
    {
        if (_mustRead && !_inFlight)
            Read();
    }

    private void Propose(long now)
    {
        if (_inFlight || _mustRead)
            return;
        if (_views.Length != _followers.Length)
            _views = new FollowerView[_followers.Length];
        for (var i = 0; i < _views.Length; i++)
            _views[i] = _followers[i].View(_membership.IsAlive(_followers[i].Broker), now);
        var next = _rules.ProposeIsr(_committed!, _self, _views, _log.LogStartOffset, _log.HighWatermark, _replicated, EpochStart,
            _options.MaxLagMs, MinInsync)
            ?? ProposeReplicas(now);
        if (_inFlight || (next is null && _unsettled.Count == 0))
            return;
        // There is no change, but an unclear write to settle: writing the same state with a new ETag does it.
        Write(next ?? _committed!);
        _unsettled.Add(_writing!);
    }

    private void Read()
    {
        _inFlight = true;
        _fenceAtRead = _log.Fence;
        _effects.Add(new ReadState(++_operation));
    }

    private void Write(PartitionState state)
    {
        _inFlight = true;
        _writing = state;
        _effects.Add(new WriteState(++_operation, state, _etag));
    }
}
