using System.Diagnostics.CodeAnalysis;
using OrleansMq.Diagnostics;

namespace OrleansMq.Queues;

/// <summary>
/// A cursor at its partition's leader, for one leader epoch: consumption of a log record by record. Commands come in with the time, effects
/// go out; no I/O, no clock, no thread.
/// </summary>
/// <remarks>
/// <code>
/// available -- credit                         --> acquired    the counts rise; only below the reservation in force
/// available -- purge, expiry, limit           --> settling
/// acquired  -- Settle, Reject, Release        --> settling    with its lock; the consumer's credit returns at once
/// acquired  -- lock ends, Detach              --> settling    as a return
/// acquired  -- the record settles by nature   --> settled
/// settling  -- its transition is in force     --> settled, being dead-lettered, deferred or available again
/// deferred  -- its time comes                 --> available
/// </code>
/// "Settling" stands for every record that a transition above the high watermark decides. At most one append of this cursor is above it;
/// the
/// next gathers meanwhile. <see cref="CursorState"/> is the state in force, so a failover finds all that was ever answered. What only the
/// leader knows (locks, consumers, the order) is lost with it: its records are available again, and told as redelivered.
/// </remarks>
internal sealed partial class Cursor
{
    /// <summary>How far ahead a reservation reaches. After a failover as many records may be told as redelivered in vain.</summary>
    internal const int ReservationAhead = 4_096;
    // Offsets that settle by nature are remembered so far ahead of delivery, to bound their memory.
    private const int NaturalsAhead = 65_536;
    // Those below the floor may begin the range that a consumer settles.
    private const int NaturalsBehind = 4_096;
    private const long AppendRetryMs = 100;
    private const long PublishRetryMs = 1_000;
    // How long a removal waits for dead letters: less than its caller.
    private const long RemovalWaitMs = 20_000;
    // One publication's size: it fits a batch, and an unclear one is repeated cheaply.
    private const int MostDeadLettersAtOnce = 32;
    // Intents wait in memory while their target is away: those beyond say the cause alone.
    private const int MostReasons = 1_000;
    private const int MostIdleDeadlines = 1_024;
    // Locks that end at once take several turns, so that other commands are served between them.
    private const int MostLocksPerTurn = 1_000;
    // The log behind a statement costs a replay; a statement costs its bytes, some for each exception.
    private const int OffsetsPerStatement = 10_000;
    private const int OffsetsPerException = 4;

    private readonly int _id;
    private readonly LeaderTerm _term;
    private readonly CursorRules _rules;
    private readonly LockClock _locks = new();
    private readonly ConsumerRing _consumers = new();
    private readonly OffsetSet _naturals = new();
    // Those that no transition has settled.
    private readonly OffsetSet _unlogged = new();
    private readonly PacedCount _deferredNow = new();

    private CursorState? _state;
    private List<CursorEffect> _effects = [];
    private long _now;
    private long _highWatermark = -1;
    private long _readableEnd;
    private long _leaseUntil;
    private long _startMovedTo = -1;
    private long _wakeAt = long.MaxValue;
    private bool _serves;
    private bool _isResigned;

    /// <summary>Begins an epoch.</summary>
    /// <param name="id">The cursor's number in its partition.</param>
    /// <param name="state">A copy of its state at the epoch's start, of its own; null: there is no cursor yet.</param>
    /// <param name="term">The leadership.</param>
    /// <param name="rules">The decisions.</param>
    public Cursor(int id, CursorState? state, LeaderTerm term, CursorRules rules)
    {
        (_id, _state, _term, _rules) = (id, state, term, rules);
        _order = NewOrder();
        _redeliveredBelow = state?.DeliveredUpTo ?? 0;
    }

    /// <summary>The most bytes of changes in one append. A statement is not divided: it has the state's size.</summary>
    public int MostPartBytes { get; init; } = 512 * 1024;

    /// <summary>What the clock says, in milliseconds since 1970; by default the time of the commands. Those never go back, so they stay
    /// ahead of a clock that was set back: no record expires before the clock says so.</summary>
    public long ClockTime { get; set; } = long.MaxValue;

    /// <summary>The state in force; null: there is no cursor.</summary>
    public CursorState? State => _state;

    /// <summary>The records that consumers hold, or transitions that are not in force.</summary>
    public int Held => _held.Count;

    /// <summary>The offsets that are known to have no record, and are not settled yet.</summary>
    public long KnownNaturals => _unlogged.Count + _naturalsInWriting;

    /// <summary>The records that the filter did not match since it serves, also those that an earlier leader had left out and that were not
    /// settled yet.</summary>
    public long Filtered { get; private set; }

    /// <summary>Whether it hands records out, as far as there are any and credit.</summary>
    public bool IsHandingOut => IsActive;

    /// <summary>Whether records may be handed out as soon as what it reads or writes is there: heads, keys, or a reservation.</summary>
    public bool IsPreparing => IsActive && (_keysRead != NoRead || _headsRead != NoRead || _levelsRead != NoRead
        || Math.Max(_draft.DeliveredUpTo, _writing?.DeliveredUpTo ?? 0) > _state.DeliveredUpTo);

    /// <summary>Whether there is no cursor, and none is begun.</summary>
    public bool IsAbsent => _state is null && _writing is null && _draft.IsEmpty;

    /// <summary>Whether a lock holds a record.</summary>
    public bool Holds(LockToken token, long offset) => _state is not null && _rules.IsCurrent(token, _state.Incarnation, _term.Epoch)
        && _held.TryGetValue(offset, out var held) && _rules.Holds(held, token.Number);

    /// <summary>Returns how many more records a consumer takes.</summary>
    public int CreditOf(long attachment) => _consumers.Find(attachment)?.Credit ?? 0;

    /// <summary>The entries of deferred records, with those that are over.</summary>
    public int Deferred => _deferred.Count;

    /// <summary>Returns the records that came back, or are scheduled, and whose time has not come. Of more than a thousand that came back,
    /// the number is as it was a moment ago; see <see cref="PacedCount"/>.</summary>
    public long CountDeferred(long now) => _deferred.Count == 0 || _state is null ? 0 : _deferredNow.Of(now, _state.Returns.Count,
        () => _state.Returns.Values.LongCount(returned => _rules.IsDeferred(DueOf(returned), now)
            && !_held.ContainsKey(returned.Offset)));

    /// <summary>The deliveries by this leader of records that may have been delivered before.</summary>
    public long Redelivered { get; private set; }

    /// <summary>Whether it serves, and nothing that it decided is on its way into force.</summary>
    public bool IsIdle => IsActive && _writing is null && _draft.IsEmpty;

    /// <summary>Handles a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="effects">Receives the effects.</param>
    /// <param name="isMore">Whether another command follows at the same time: what the cursor decides on its own, hand-out and transitions
    /// among it, waits for the last one.</param>
    public void Handle(CursorCommand command, long now, List<CursorEffect> effects, bool isMore = false)
    {
        _effects = effects;
        if (_isResigned)
        {
            if (command is CursorRequest request)
                Reply(request, CursorOutcome.NotLeader);
            return;
        }
        _now = Math.Max(now, _now);
        _locks.MoveTo(_now, _leaseUntil);
        CarryOut(command);
        if (_isResigned || isMore)
            return;
        ServeIfAllowed();
        ContinueRemoval();
        EndLocks();
        ReturnDeferred();
        if (_state is not null)
            _frontier = Math.Max(_frontier, _state.HighestException);
        ExpireHead();
        HandOut();
        MoveCountedEnd();
        DropHead();
        Reserve();
        Write();
        Publish();
        MoveStart();
        FindNaturals();
        TellFull();
        _locks.Set(_rules.LocksStand(IsActive));
        AskForWake();
    }

    private bool IsBeginning => IsExclusive(_draft) || (_writing is not null && IsExclusive(_writing));

    /// <summary>Whether records are handed out and locks end. Otherwise the clock of locks stands still.</summary>
    [MemberNotNullWhen(true, nameof(_state))]
    private bool IsActive => _serves && _state is not null && !_isStalled && _rules.HasLease(_leaseUntil, _now) && !IsBeginning
        && !IsRemoving;

    private static bool IsExclusive(TransitionDraft draft) => draft.Begin is not null || draft.IsRemoval;

    private void CarryOut(CursorCommand command)
    {
        switch (command)
        {
            case Advance advance: On(advance); break;
            case ExtendLease extend: _leaseUntil = Math.Max(_leaseUntil, extend.Until); break;
            case TransitionsAppended appended: On(appended); break;
            case TransitionsRefused refused: On(refused); break;
            case TransitionsUnanswered unanswered: On(unanswered); break;
            case Restate restate: On(restate); break;
            case Tick: break;
            case Resign: Stop(); break;
            case KeysRead read: On(read); break;
            case NaturalsFound found: On(found); break;
            case HeadsRead read: On(read); break;
            case ReadFailed failed: On(failed); break;
            case DeadLettersPublished published:
                EndPublication(published.Number, isConfirmed: true, published: published);
                break;
            case DeadLettersFailed failed: EndPublication(failed.Number, isConfirmed: false); break;
            case DeadLetterTargetGone gone: EndPublication(gone.Number, isConfirmed: false, isTargetGone: true); break;
            case Attach attach: _consumers.Attach(new Consumer(attach, _rules.PriorityOf(attach))); break;
            case Detach detach: On(detach); break;
            case GrantCredit grant when _consumers.Find(grant.Attachment) is { } consumer:
                _consumers.AddCredit(consumer, grant.Credit);
                break;
            case GrantCredit: break;
            case Yield yield when _consumers.Find(yield.Attachment) is { } consumer && _rules.EndsTurn:
                _consumers.Yield(consumer);
                break;
            case Yield: break;
            case SetLockDuration set when _consumers.Find(set.Attachment) is { } consumer:
                consumer.LockDurationMs = set.LockDurationMs;
                break;
            case SetLockDuration: break;
            case Widen widen: On(widen); break;
            case Join join: On(join); break;
            case CursorRequest request: On(request); break;
            default: Invariant.Check(false, "A cursor's command has a handler."); break;
        }
    }

    private void On(CursorRequest request)
    {
        if (!_serves || (IsBeginning && request is not Begin) || (IsRemoving && request is not (Begin or Remove)))
            Reply(request, CursorOutcome.NotReady);
        else if (request is Begin begin)
            On(begin);
        else if (_state is null)
            Reply(request, CursorOutcome.NoCursor);
        else if (request is LockRequest lockRequest)
            On([lockRequest], lockRequest, _state);
        else if (request is Acknowledge acknowledge)
            On(acknowledge.Parts, acknowledge, _state);
        else if (request is Purge purge)
            On(purge, _state);
        else if (request is Configure configure)
            On(configure, _state);
        else
            On((Remove)request, _state);
    }

    private void On(Advance advance)
    {
        _highWatermark = Math.Max(_highWatermark, advance.HighWatermark);
        // It goes back where the cursor no longer reads the records of open transactions.
        _readableEnd = _rules.ReadableEnd(_highWatermark, advance.ReadableEnd);
        if (_writing is not null && _writtenAt >= 0 && _rules.IsInForce(_writtenAt, _highWatermark))
            PutInForce(_writing);
        // After a reset that just came into force, so that its own batch is among them.
        foreach (var range in advance.Naturals)
            SettleByNature(range);
    }

    private void SettleByNature(OffsetRange range)
    {
        if (_state is null)
            return;
        range = range with { First = Math.Max(range.First, _state.Floor) };
        if (range.Last < range.First || (range.First > _order.KnownUpTo + NaturalsAhead && !IsLimited(_state)))
            return;
        NoteLost(range, _state);
        _naturals.Add(range);
        for (var first = _state.Settled.NextNotIn(range.First); first <= range.Last; first = _state.Settled.NextNotIn(first))
        {
            var end = Math.Min(_state.Settled.NextIn(first), range.Last + 1);
            _unlogged.Add(new OffsetRange(first, end - 1));
            first = end;
        }
        _order.Remove(range);
        foreach (var offset in HeldIn(range))
        {
            // A consumer without window takes only what it asked for.
            if (_held[offset].State == HeldState.Acquired && LetGo(offset) is { } consumer)
                GiveCredit(consumer, _rules.CreditReturned(consumer.IsWindow));
        }
    }

    private void ServeIfAllowed()
    {
        if (_serves || !_rules.MayServe(_term, _highWatermark, _now))
            return;
        _serves = true;
        BoundDelays();
        LearnReturns();
    }

    private void Stop()
    {
        _isResigned = true;
        if (_writing is not null)
            ReplyAll(_writing, CursorOutcome.Unknown);
        ReplyAll(_draft, CursorOutcome.NotLeader);
        ReplyAllRemovals(CursorOutcome.NotLeader);
    }

    private void MoveStart()
    {
        if (!_serves || _state is null)
            return;
        var needed = Needed;
        var start = _rules.StartMayMoveTo(needed, _state.StatementOffset, _order.Next);
        var spacing = OffsetsPerStatement + (OffsetsPerException * _state.Exceptions);
        if (needed - _state.StatementOffset > spacing && _writing is null && !IsBeginning)
            _draft.IsStatement = true;
        if (start == _startMovedTo)
            return;
        _startMovedTo = start;
        _effects.Add(new StartMayMove(start));
    }

    /// <summary>The lowest record that it needs, as far as is in force; 0 as long as it does not serve.</summary>
    public long Needed
    {
        get
        {
            if (!_serves || _state is null)
                return 0;
            var needed = Math.Min(NeededFrom(_state), _state.EarlierDeadLettersFrom);
            // A reset that is on its way was promised the records from its floor on.
            return (_draft.Begin ?? _writing?.Begin) is { Floor: >= 0 and var floor } ? _rules.NeededByReset(needed, floor) : needed;
        }
    }

    // The floor, over what settles by nature.
    private long NeededFrom(CursorState state)
    {
        for (var needed = state.Floor; ;)
        {
            var next = state.Settled.NextNotIn(_naturals.NextNotIn(needed));
            if (next == needed)
                return needed;
            needed = next;
        }
    }

    private void AskForWake()
    {
        var other = long.MaxValue;
        if (!_serves && _highWatermark >= _term.EpochStart)
            other = _term.HandOutFrom;
        if (_isHandOutCut)
            other = _now;
        if (_retryAppendAt != long.MaxValue)
            other = Math.Min(other, _retryAppendAt);
        if (_retryPublishAt > _now)
            other = Math.Min(other, _retryPublishAt);
        if (_retryReadsAt > _now)
            other = Math.Min(other, _retryReadsAt);
        if (_retryUnreadAt > _now)
            other = Math.Min(other, _retryUnreadAt);
        other = Math.Min(other, Math.Min(_headExpiresAt, _removesUntil));
        var lockEnds = _deadlines.TryPeek(out _, out var deadline) ? _locks.WhenAt(deadline) : long.MaxValue;
        var deferredUntil = _deferred.TryPeek(out _, out var availableAt) ? availableAt : long.MaxValue;
        var time = _rules.WakeAt(lockEnds, deferredUntil, other);
        if (time == _wakeAt && time > _now)
            return;
        _wakeAt = time;
        _effects.Add(new WakeAt(time));
    }

    private void Reply(CursorRequest request, CursorOutcome outcome, long offset = -1)
    {
        if (request.RequestId != CursorRequest.NoAnswer)
            _effects.Add(new Answer(request.RequestId, outcome, offset));
    }
}
