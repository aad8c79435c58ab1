namespace OrleansMq.Queues;

/// <summary>Held records: what consumers and transitions do with them.</summary>
internal sealed partial class Cursor
{
    private readonly Dictionary<long, HeldRecord> _held = [];
    private readonly PriorityQueue<(long Offset, long LockNumber), long> _deadlines = new();
    private readonly PriorityQueue<(long Offset, long AvailableAt), long> _deferred = new();
    // The times of those whose stored time is too far ahead by this leader's clock.
    private readonly Dictionary<long, long> _bounded = [];
    // What a purge that is not in force settles.
    private readonly OffsetSet _purging = new();

    // All parts are handled, or none. Their records ascend: none is meant twice.
    private void On(IReadOnlyList<LockRequest> parts, CursorRequest request, CursorState state)
    {
        var held = new List<List<long>>(parts.Count);
        var next = long.MinValue;
        foreach (var part in parts)
        {
            if (part.Records.First < next || !_rules.IsCurrent(part.Lock, state.Incarnation, _term.Epoch)
                || Locked(part) is not { } records)
            {
                Reply(request, CursorOutcome.InvalidLock);
                return;
            }
            held.Add(records);
            next = part.Records.Last + 1;
        }
        if (parts.Any(static part => part is Renew) && !_rules.HasLease(_leaseUntil, _now))
        {
            Reply(request, CursorOutcome.NotReady);
            return;
        }
        var isSettling = false;
        for (var index = 0; index < parts.Count; index++)
        {
            Handle(parts[index], held[index], state);
            isSettling |= parts[index] is not Renew && held[index].Count > 0;
        }
        if (isSettling)
            _draft.Waiters.Add(request);
        else
            Reply(request, CursorOutcome.Done);
    }

    private void Handle(LockRequest request, List<long> records, CursorState state)
    {
        foreach (var offset in records)
        {
            if (request is Renew)
            {
                var held = _held[offset];
                Lock(offset, held with { IsWaiting = false, Since = held.IsWaiting ? _now : held.Since });
            }
            else if (request is Settle)
                Accept(offset);
            else if (request is Release release)
                Return(offset, state, release.IsFailure, release.DelayMs, release.Reason, release.IsUncounted);
            else
                Discard(offset, state, SettlementCause.Rejected, _held[offset].Counts, request.Reason);
        }
    }

    /// <summary>Returns the records that consumers have held for longest, in that order: those that they took before those that
    /// wait.</summary>
    public List<HeldFacts> HeldLongest(int most)
    {
        var longest = new PriorityQueue<long, (bool IsTaken, long Since, long Offset)>(Comparer<(bool IsTaken, long Since, long Offset)>
            .Create(static (one, other) => one.IsTaken != other.IsTaken ? one.IsTaken.CompareTo(other.IsTaken)
                : one.Since != other.Since ? other.Since.CompareTo(one.Since) : other.Offset.CompareTo(one.Offset)));
        foreach (var (offset, held) in _held)
        {
            if (held.State != HeldState.Acquired)
                continue;
            if (longest.Count < most)
                longest.Enqueue(offset, (!held.IsWaiting, held.Since, offset));
            else
                longest.EnqueueDequeue(offset, (!held.IsWaiting, held.Since, offset));
        }
        var facts = new List<HeldFacts>(longest.Count);
        while (longest.TryDequeue(out var offset, out _))
        {
            var held = _held[offset];
            facts.Add(new HeldFacts(offset, held.Attachment, held.Since, held.Counts, held.IsWaiting,
                held.Deadline == long.MaxValue ? null : Math.Max(0, held.Deadline - _locks.Time)));
        }
        facts.Reverse();
        return facts;
    }

    // The records of a request that its lock holds; null if it does not hold them all.
    private List<long>? Locked(LockRequest request)
    {
        var records = new List<long>();
        var (first, last) = (request.Records.First, request.Records.Last);
        if (first < 0 || last < first || last - first >= _held.Count + _naturals.Count)
            return null;
        for (var offset = request.Records.First; offset <= request.Records.Last; offset++)
        {
            if (_held.TryGetValue(offset, out var held) && _rules.Holds(held, request.Lock.Number)
                && (request.Attachment is null || request.Attachment == held.Attachment))
                records.Add(offset);
            else if (!_naturals.Contains(offset))
                return null;
            else
                offset = _naturals.NextNotIn(offset) - 1;
        }
        return records;
    }

    private void Lock(long offset, HeldRecord held)
    {
        var duration = _consumers.Find(held.Attachment)?.LockDurationMs ?? 0;
        var deadline = duration == 0 ? long.MaxValue : _locks.Time + duration;
        _held[offset] = held with { Deadline = deadline };
        if (deadline == long.MaxValue)
            return;
        _deadlines.Enqueue((offset, held.LockNumber), deadline);
        if (_deadlines.Count > MostIdleDeadlines + (2 * _held.Count))
            ForgetDeadlines();
    }

    // Those of locks that ended before their time.
    private void ForgetDeadlines()
    {
        _deadlines.Clear();
        _deadlines.EnqueueRange(_held.Where(held => held.Value is { State: HeldState.Acquired, Deadline: not long.MaxValue })
            .Select(held => ((held.Key, held.Value.LockNumber), held.Value.Deadline)));
    }

    private void EndLocks()
    {
        if (!IsActive)
            return;
        for (var left = MostLocksPerTurn; left > 0; left--)
        {
            if (!_deadlines.TryPeek(out var ended, out var deadline) || deadline > _locks.Time)
                return;
            _deadlines.Dequeue();
            // A renewed lock has a later entry.
            if (_held.TryGetValue(ended.Offset, out var held) && held.State == HeldState.Acquired && held.LockNumber == ended.LockNumber
                && held.Deadline == deadline)
                Return(ended.Offset, _state, _rules.IsFailed(held, isFailure: true), delayMs: null);
        }
    }

    private void On(Detach detach)
    {
        if (_consumers.Find(detach.Attachment) is { } consumer)
        {
            _consumers.Detach(consumer);
            // With the incarnation its locks end.
            if (_state is not null && !IsBeginning)
                ReturnAll(consumer, detach.IsFailure, _state);
        }
        if (detach.RequestId == CursorRequest.NoAnswer)
            return;
        if (_draft.Held.Exists(IsOfConsumer))
            _draft.Waiters.Add(detach);
        else if (_writing?.Held.Exists(IsOfConsumer) == true)
            _writing.Waiters.Add(detach);
        else
            Reply(detach, CursorOutcome.Done);

        bool IsOfConsumer(long offset) => _held.TryGetValue(offset, out var held) && held.Attachment == detach.Attachment;
    }

    private void ReturnAll(Consumer consumer, bool isFailure, CursorState state)
    {
        foreach (var offset in consumer.Held.Order().ToList())
            Return(offset, state, _rules.IsFailed(_held[offset], isFailure), delayMs: null);
    }

    private void Accept(long offset)
    {
        _draft.Settle(SettlementCause.Accepted, offset);
        HoldUntilInForce(offset);
        if (_rules.IsKeyFreeBeforeForce)
            _order.Remove(OffsetRange.Of(offset));
    }

    private void Return(long offset, CursorState state, bool isFailure, long? delayMs, string? reason = null, bool isUncounted = false)
    {
        var held = _held[offset];
        var counts = _rules.Returned(held, isFailure, isUncounted);
        if (_rules.IsAtLimit(counts, state.Configuration))
        {
            Discard(offset, state, SettlementCause.DeliveryLimit, counts, reason);
            return;
        }
        var delay = isFailure ? delayMs ?? state.Configuration.Backoff.DelayOf(offset, counts.Failures)
            : held.IsWaiting ? 0 : delayMs ?? 0;
        _draft.Return(delay > 0 ? new ReturnedRecord(offset, counts, _now + delay) { DelayMs = delay }
            : new ReturnedRecord(offset, counts, 0));
        HoldUntilInForce(offset);
    }

    private void Discard(long offset, CursorState state, SettlementCause cause, DeliveryCounts counts, string? reason = null)
    {
        if (state.Configuration.DeadLetterTarget is { } target)
        {
            var sequence = _rules.NextSequence(state.NextSequence, PendingIntents);
            _draft.Intend(new DeadLetterIntent(sequence, state.Incarnation, offset, target, cause, counts, _now)
            {
                Origin = _term.Origin,
                Reason = state.Intents.Count + PendingIntents < MostReasons ? reason : null,
            });
            _frontier = Math.Max(_frontier, offset);
        }
        else
            _draft.Settle(cause, offset);
        HoldUntilInForce(offset);
    }

    private int PendingIntents => _draft.Intents.Count + (_writing?.Intents.Count ?? 0);

    private void HoldUntilInForce(long offset)
    {
        if (!_held.TryGetValue(offset, out var held))
            held = held with { Bytes = Leave(offset, _state!) };
        else if (held.State == HeldState.Acquired && LetGo(offset) is { } consumer)
            GiveCredit(consumer, _rules.CreditReturned(consumer.IsWindow));
        _held[offset] = held with { State = HeldState.Settling };
        _draft.Held.Add(offset);
    }

    // Its consumer holds the record no more.
    private Consumer? LetGo(long offset)
    {
        if (!_held.Remove(offset, out var held) || _consumers.Find(held.Attachment) is not { } consumer)
            return null;
        consumer.Held.Remove(offset);
        return consumer;
    }

    private void GiveCredit(Consumer? consumer, int credit)
    {
        if (consumer is not null)
            _consumers.AddCredit(consumer, credit);
    }

    private void On(Purge purge, CursorState state)
    {
        var below = _rules.PurgedBelow(purge.Below, _readableEnd);
        _draft.Waiters.Add(purge);
        var purged = new OffsetSet();
        if (below > state.Floor)
            purged.Add(new OffsetRange(state.Floor, below - 1));
        foreach (var range in state.Settled.Concat(_purging))
            purged.Remove(range);
        foreach (var offset in _held.Keys)
            purged.Remove(offset);
        foreach (var intent in state.Intents.Values)
        {
            if (intent.Incarnation == state.Incarnation)
                purged.Remove(intent.Offset);
        }
        if (purged.IsEmpty)
        {
            // Its answer waits for what is being written, which may be an earlier purge of the same records.
            _draft.IsStatement = true;
            return;
        }
        var records = purged.Count;
        foreach (var range in _naturals)
            records -= Overlap(purged, range);
        _draft.Settle(SettlementCause.Purged, purged, records);
        foreach (var range in purged)
            _purging.Add(range);
        if (below >= _countedEnd)
            _bytes = 0;
        else if (CountsBytes(state))
            CountAnew();
        _order.SkipTo(below);
    }

    private static long Overlap(OffsetSet set, OffsetRange range)
    {
        var overlap = 0L;
        for (var first = set.NextIn(range.First); first <= range.Last; first = set.NextIn(first))
        {
            var end = Math.Min(set.NextNotIn(first), range.Last + 1);
            (overlap, first) = (overlap + end - first, end);
        }
        return overlap;
    }

    private void LearnReturns()
    {
        _deferred.Clear();
        foreach (var returned in _state?.Returns.Values ?? [])
        {
            _frontier = Math.Max(_frontier, returned.Offset);
            if (DueOf(returned) is var due && _rules.IsDeferred(due, _now))
                _deferred.Enqueue((returned.Offset, due), due);
        }
    }

    // A predecessor's clock may have been ahead of this one's. Those that this leader defers have its own times.
    private void BoundDelays()
    {
        foreach (var returned in _state?.Returns.Values ?? [])
        {
            if (returned.DelayMs > 0 && _rules.DueAtLatest(returned, _now) is var due && due < returned.AvailableAt)
                _bounded[returned.Offset] = due;
        }
    }

    private long DueOf(in ReturnedRecord returned) =>
        _bounded.Count > 0 && _bounded.TryGetValue(returned.Offset, out var due) ? due : returned.AvailableAt;

    private void ReturnDeferred()
    {
        while (_deferred.TryPeek(out var due, out _) && due.AvailableAt <= _now)
        {
            _deferred.Dequeue();
            if (_state is not null && _state.Returns.TryGetValue(due.Offset, out var returned) && DueOf(returned) == due.AvailableAt
                && !_held.ContainsKey(due.Offset) && !_purging.Contains(due.Offset) && IsUnsettled(due.Offset))
                _order.Return(due.Offset);
        }
    }

    // Not by a transition, and not by nature.
    private bool IsUnsettled(long offset) =>
        _state is not null && !_state.IsSettled(offset) && !_state.IsIntended(offset) && !_naturals.Contains(offset);

    private bool IsDeferred(long offset) =>
        _state!.Returns.TryGetValue(offset, out var returned) && _rules.IsDeferred(DueOf(returned), _now);

    private IEnumerable<long> HeldIn(OffsetRange range)
    {
        if (range.Count > _held.Count)
            return _held.Keys.Where(offset => offset >= range.First && offset <= range.Last).ToList();
        var held = new List<long>();
        for (var offset = range.First; offset <= range.Last; offset++)
        {
            if (_held.ContainsKey(offset))
                held.Add(offset);
        }
        return held;
    }
}
