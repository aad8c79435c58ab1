using OrleansMq.Diagnostics;

namespace OrleansMq.Replication;

// The claim, and the ISR: all that goes through the store, one operation in flight.
internal sealed partial class LeaderReplica
{
    private PartitionState? _committed;
    private string? _etag;
    // What was stored when it was chosen, where that is to be compared with what is.
    private string? _chosenBy;
    private PartitionState? _writing;
    // Written, but nobody knows whether or when it will be stored: until a later write succeeds each of them may come true.
    private readonly List<PartitionState> _unsettled = [];
    private long _operation;
    private bool _inFlight;
    private bool _mustRead;

    /// <summary>The state this leader goes by; null before it leads.</summary>
    public PartitionState? Committed => _committed;
    /// <summary>What the claim was decided to be; unknown before the state was read.</summary>
    public ClaimOutcome Claim { get; private set; }

    /// <summary>What was stored when it resigned; null where it did not, or where that is not known.</summary>
    public StoredPartitionState? Resigned { get; private set; }

    /// <summary>Begins the claim.</summary>
    /// <param name="known">By what it was chosen to lead; null: what is stored is read. Where something else is stored by now, the claim is
    /// refused.</param>
    /// <param name="now">The time, milliseconds.</param>
    public void Start(StoredPartitionState? known, long now)
    {
        if (known is null)
        {
            Read();
            return;
        }
        Note(now);
        Begin(known.State, known.ETag, isRead: false);
    }

    /// <summary>The state as stored.</summary>
    public void OnStateRead(long operation, PartitionState state, string etag, long now)
    {
        if (!Ends(operation))
            return;
        Note(now);
        _mustRead = false;
        if (Status == LeaderStatus.Reading)
            Begin(state, etag, isRead: true);
        else if (_rules.AfterFailedWrite(state, _token) == StoreOutcome.StepDown)
            Stop($"another leadership is stored: {state}");
        else if (Status == LeaderStatus.Claiming)
            Lead(state, etag, now);
        else
        {
            // A new etag ends all writes that expected an older one.
            if (etag != _etag)
                _unsettled.Clear();
            Commit(state, etag, now);
        }
    }

    private void Begin(PartitionState state, string etag, bool isRead)
    {
        if (_chosenBy is { } chosenBy && chosenBy != etag)
        {
            Claim = ClaimOutcome.NotEligible;
            Stop($"another leadership is stored: {state}");
            return;
        }
        var claim = _rules.Claim(state, _self, _topicId, _log.Fence, _token, _membership, _unclean);
        if (claim.Outcome == ClaimOutcome.StoreInThePast && !isRead)
        {
            // An epoch has begun since it was chosen, or the store is in the past: what is stored now says which.
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

    /// <summary>A write was stored.</summary>
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

    /// <summary>An operation failed, or its outcome is unclear: it may yet come true.</summary>
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
        // Whoever claimed the unclean epoch may never have led it: the first that leads since then reports it, by the fence it has not been
        // through.
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
        var next = _rules.ProposeIsr(_committed!, _self, _views, _log.HighWatermark, EpochStart, _options.MaxLagMs,
            _options.MinInsyncReplicas)
            ?? ProposeReplicas(now);
        if (_inFlight || (next is null && _unsettled.Count == 0))
            return;
        // Nothing to change, but an unclear write to settle: the same state under a new etag does it.
        Write(next ?? _committed!);
        _unsettled.Add(_writing!);
    }

    private void Read()
    {
        _inFlight = true;
        _effects.Add(new ReadState(++_operation));
    }

    private void Write(PartitionState state)
    {
        _inFlight = true;
        _writing = state;
        _effects.Add(new WriteState(++_operation, state, _etag));
    }
}
