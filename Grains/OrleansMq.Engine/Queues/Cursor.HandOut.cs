namespace OrleansMq.Queues;

/// <summary>Records to consumers.</summary>
internal sealed partial class Cursor
{
    private DispatchOrder _order;
    private long _redeliveredBelow;
    private long _lastLock;
    private long _unreserved = -1;
    // The highest record that was handed out, or is settled or dead-lettered: another one below it frees memory sooner than it takes some.
    private long _frontier = -1;
    // The last hand-out ended before its records did.
    private bool _isHandOutCut;

    private DispatchOrder NewOrder()
    {
        var floor = _state?.Floor ?? 0;
        return _state?.Configuration switch
        {
            { IsOrderedByKey: true, LookAhead: var lookAhead } => new KeyOrder(floor, lookAhead),
            { PriorityLevels: > 1 and var levels } => new PriorityOrder(floor, levels, NextAvailable, _rules.ReturnedFirst),
            _ => new LogOrder(floor, NextAvailable, _rules.ReturnedFirst),
        };
    }

    // Another incarnation, or none: all locks have ended.
    private void BeginAnew()
    {
        foreach (var offset in _held.Keys.ToList())
        {
            var wasAcquired = _held[offset].State == HeldState.Acquired;
            if (LetGo(offset) is { } consumer && wasAcquired)
                GiveCredit(consumer, _rules.CreditReturned(consumer.IsWindow));
        }
        _deadlines.Clear();
        _naturals.RemoveBelow(long.MaxValue);
        _unlogged.RemoveBelow(long.MaxValue);
        _purging.RemoveBelow(long.MaxValue);
        (_keysRead, _headsRead, _levelsRead, _search) = (NoRead, NoRead, NoRead, NoRead);
        (_unreadKey, _retryUnreadAt) = (-1, 0);
        (_countedEnd, _bytes, _dropFrom) = (0, 0, 0);
        (_frontier, _unreserved) = (-1, -1);
        _bounded.Clear();
        // A reset goes on with the sequence of its dead letters; a creation begins at 0.
        if (_state is null)
            _finishedBelow = 0;
        _heads.Clear();
        _redeliveredBelow = _state?.DeliveredUpTo ?? 0;
        _order = NewOrder();
        LearnReturns();
    }

    private void HandOut()
    {
        (_unreserved, _isHandOutCut) = (-1, false);
        // The keys of what a purge skips are not known, so its later records wait until it is in force.
        if (!IsActive || (_state.Configuration.IsOrderedByKey && !_purging.IsEmpty))
            return;
        var needed = NeededFrom(_state);
        Dictionary<Consumer, (Deliver Delivery, int Most)>? deliveries = null;
        while (NextConsumer(_state) is { } consumer && TryChoose(needed, _state, out var offset))
        {
            if (!_rules.IsReserved(offset, _state.DeliveredUpTo))
            {
                _unreserved = offset;
                break;
            }
            if (_state.CountsOf(offset) is { Deliveries: > 0 } counts && _rules.IsAtLimit(counts, _state.Configuration))
            {
                if (!KnowsSize(offset, _state))
                    break;
                // The limit was lowered after the record came back.
                _order.Take(offset);
                Discard(offset, _state, SettlementCause.DeliveryLimit, counts);
                continue;
            }
            var verdict = Judge(offset, _state);
            if (verdict == HeadVerdict.Waits)
                break;
            if (verdict == HeadVerdict.IsGone)
                continue;
            var together = consumer.IsWindow ? int.MaxValue : _rules.MostTogether(_state.CountsOf(offset), _state.Configuration);
            if (!(deliveries ??= []).TryGetValue(consumer, out var handed))
            {
                var token = new LockToken(_state.Incarnation, _term.Epoch, ++_lastLock);
                handed = (new Deliver(consumer.Attachment, token, []), int.MaxValue);
            }
            handed.Most = Math.Min(handed.Most, together);
            if (handed.Delivery.Records.Count >= handed.Most)
            {
                // The rest is handed out after the consumer took this, or to another.
                _isHandOutCut = true;
                break;
            }
            deliveries[consumer] = handed;
            handed.Delivery.Records.Add(Acquire(offset, consumer, handed.Delivery.Lock.Number, _state));
        }
        // After all keys that are free have a record on its way.
        if (deliveries is not null && _order is KeyOrder order)
            ExtendRuns(order, deliveries, needed, _state);
        if (deliveries is not null)
            _effects.AddRange(deliveries.Values.Select(static handed => handed.Delivery));
        WantKeys(_state);
        WantLevels(_state);
    }

    private void On(Widen widen)
    {
        if (!IsActive || _state.Configuration.IsOrderedByKey || _consumers.Find(widen.Attachment) is not { IsWindow: false } consumer
            || !Holds(widen.Lock, widen.From - 1))
            return;
        var (needed, next, credit) = (NeededFrom(_state), widen.From, consumer.Credit);
        var records = new List<DeliveredRecord>();
        _consumers.AddCredit(consumer, 1);
        while (next <= widen.Through && NextConsumer(_state) == consumer && TryChoose(needed, _state, out var offset) && offset == next
            && _rules.IsReserved(offset, _state.DeliveredUpTo) && _state.CountsOf(offset).Deliveries == 0
            && Judge(offset, _state) == HeadVerdict.GoesOut)
        {
            records.Add(Acquire(offset, consumer, widen.Lock.Number, _state));
            _consumers.AddCredit(consumer, 1);
            next++;
        }
        _consumers.AddCredit(consumer, credit - consumer.Credit);
        if (records.Count > 0)
            _effects.Add(new Deliver(widen.Attachment, widen.Lock, records));
    }

    // A lock is never older than what it holds: of two deliveries of a record, or of a key, the later one has the higher number.
    private void On(Join join)
    {
        if (_state is null)
            return;
        var joined = new LockToken(_state.Incarnation, _term.Epoch, _rules.JoinedLock(join.Deliveries[0].Lock.Number, ++_lastLock));
        var records = new List<DeliveredRecord>();
        foreach (var delivery in join.Deliveries)
        {
            foreach (var record in delivery.Records.Where(record => Holds(delivery.Lock, record.Offset)))
            {
                Lock(record.Offset, _held[record.Offset] with { LockNumber = joined.Number });
                records.Add(record);
            }
        }
        _effects.Add(new Deliver(join.Attachment, joined, records));
    }

    // The later records of a key go with its first one. Their order is kept by the consumer: none of the key follows before all of them are
    // settled in force, whatever becomes of each. A record that failed goes alone: it may be what ends its consumer.
    private void ExtendRuns(KeyOrder order, Dictionary<Consumer, (Deliver Delivery, int Most)> deliveries, long needed, CursorState state)
    {
        if (HasHeads(state))
            return;
        foreach (var (consumer, (delivery, most)) in deliveries)
        {
            var firsts = consumer.KeyRun > 1 && most == int.MaxValue ? delivery.Records.Count : 0;
            for (var first = 0; first < firsts; first++)
            {
                if (delivery.Records[first].Counts.Failures > 0)
                    continue;
                var last = delivery.Records[first].Offset;
                for (var length = 1; length < consumer.KeyRun && consumer.Credit > consumer.KeyRunReserve; length++)
                {
                    if (!order.TryPeekNext(last, _readableEnd, out var next) || !MayFollow(next, consumer, needed, state))
                        break;
                    delivery.Records.Add(Acquire(next, consumer, delivery.Lock.Number, state));
                    last = next;
                }
            }
            if (delivery.Records.Count > firsts && firsts > 0)
                delivery.Records.Sort(static (one, other) => one.Offset.CompareTo(other.Offset));
        }
    }

    private bool MayFollow(long offset, Consumer consumer, long needed, CursorState state) => _rules.IsReserved(offset, state.DeliveredUpTo)
        && (consumer.IsWindow || _rules.MostTogether(state.CountsOf(offset), state.Configuration) == int.MaxValue)
        && (!TakesRoom(offset, needed, state) || HasRoom(needed, state))
        && !(state.CountsOf(offset) is { Deliveries: > 0 } counts
            && (counts.Failures > 0 || _rules.IsAtLimit(counts, state.Configuration)));

    // With a single active consumer, what it or the one before gives back comes first. What is deferred lets others go on.
    private Consumer? NextConsumer(CursorState state)
    {
        if (!_rules.IsSingleActive(state.Configuration))
            return _consumers.Peek();
        var isReturning = _draft.HasUndeferredReturns || _writing?.HasUndeferredReturns == true;
        return isReturning ? null : _consumers.PeekBeside() ?? (_consumers.Active is { Credit: > 0 } active ? active : null);
    }

    private DeliveredRecord Acquire(long offset, Consumer consumer, long lockNumber, CursorState state)
    {
        _order.Take(offset);
        _frontier = Math.Max(_frontier, offset);
        var before = state.CountsOf(offset);
        var counts = before with { Deliveries = before.Deliveries + 1 };
        Lock(offset, new HeldRecord(HeldState.Acquired, consumer.Attachment, lockNumber, long.MaxValue, counts, consumer.IsBuffered)
        {
            Since = _now,
            Bytes = Leave(offset, state),
        });
        consumer.Held.Add(offset);
        _consumers.Took(consumer, state.Configuration.RecordsPerTurn);
        var isRedelivered = offset < _redeliveredBelow || before.Deliveries > 0;
        Redelivered += isRedelivered ? 1 : 0;
        return new DeliveredRecord(offset, counts, isRedelivered);
    }

    private long NextAvailable(long from, long end)
    {
        var offset = from;
        while (offset < end)
        {
            var next = _state!.Settled.NextNotIn(_naturals.NextNotIn(Math.Max(offset, _state.Floor)));
            if (next == offset && !_held.ContainsKey(offset) && !_state.IsIntended(offset) && !IsDeferred(offset))
                return offset;
            offset = next == offset ? offset + 1 : next;
        }
        return Math.Max(end, from);
    }

    // Only where a record may follow: a reservation is no reason for the next one.
    private void Reserve()
    {
        if (!IsActive || _consumers.Peek() is null)
            return;
        var reserved = Math.Max(_state.DeliveredUpTo, Math.Max(_draft.DeliveredUpTo, _writing?.DeliveredUpTo ?? 0));
        // Keys are read far ahead of what is handed out.
        var next = _order is KeyOrder ? Math.Max(_state.Floor, _frontier + 1) : _order.Next;
        var isNear = next < _readableEnd && next + (ReservationAhead / 2) >= reserved;
        if (isNear || _unreserved >= reserved)
            _draft.DeliveredUpTo = Math.Max(_unreserved, next) + ReservationAhead;
    }
}
