namespace OrleansMq.Queues;

/// <summary>
/// Times of records, their sizes, and what the filter says, judged at the head: the record that would be handed out next. None is handed
/// out of which that is not known, and some records ahead are read at once. One that the filter does not match is settled by nature. One
/// whose time to live has passed is dropped. One whose time has not come is deferred, as a returned record is, and later ones go on.
/// </summary>
internal sealed partial class Cursor
{
    private const int MostHeadsPerRead = 500;
    // A filter may match few: what it does not match is done with.
    private const int MostFilteredPerRead = 4_000;
    // Those of some places side by side: a returned record, the highest level, and the log's order.
    private const int MostHeadsKept = 4 * MostFilteredPerRead;
    private const int MostExpiredPerTurn = 1_000;

    private readonly Dictionary<long, RecordHead> _heads = [];
    private long _headsFrom;
    private long _headsRead = NoRead;
    private long _headExpiresAt = long.MaxValue;

    /// <summary>The heads that were read ahead.</summary>
    public int HeadsKept => _heads.Count;

    private enum HeadVerdict
    {
        Waits,
        GoesOut,
        // It expired, or is deferred.
        IsGone,
    }

    private long TimeOfExpiry => Math.Min(_now, ClockTime);

    private static bool HasTimeToLive(CursorState state) => state.Configuration.HasTimeToLive;

    // Also without a consumer.
    private void ExpireHead()
    {
        _headExpiresAt = long.MaxValue;
        if (!IsActive || !HasTimeToLive(_state) || (_state.Configuration.IsOrderedByKey && !_purging.IsEmpty))
            return;
        for (var left = MostExpiredPerTurn; _order.TryPeek(_readableEnd, out var offset); left--)
        {
            if (left == 0)
            {
                // The others take their turn at once.
                _headExpiresAt = _now;
                return;
            }
            if (!_heads.TryGetValue(offset, out var head))
            {
                ReadHeads(offset);
                return;
            }
            if (!_rules.IsExpired(head.ExpiresAt, TimeOfExpiry))
            {
                _headExpiresAt = head.ExpiresAt == long.MaxValue ? long.MaxValue : _now + (head.ExpiresAt - TimeOfExpiry);
                return;
            }
            if (!MayDiscard(offset, NeededFrom(_state), _state))
                return;
            Expire(offset, _state);
        }
    }

    private void Expire(long offset, CursorState state)
    {
        _order.Take(offset);
        Discard(offset, state, SettlementCause.Expired, state.CountsOf(offset));
    }

    // One that the filter does not match is for this cursor as an offset without a record: it costs no transition of its own, and holds no
    // other one of its key back. One that a consumer holds, since its batch could not be read before, comes to its end.
    private bool TryLeaveOut(in RecordHead head)
    {
        if (!_rules.IsFiltered(head))
            return false;
        if (IsUnsettled(head.Offset) && !_held.ContainsKey(head.Offset))
        {
            Filtered++;
            SettleByNature(OffsetRange.Of(head.Offset));
        }
        return true;
    }

    // Whether a record's headers say whether it is handed out, or its size is needed.
    private static bool HasHeads(CursorState state) =>
        HasTimeToLive(state) || state.Configuration.HasSchedules || state.Configuration.Filter is not null || CountsBytes(state);

    private HeadVerdict Judge(long offset, CursorState state)
    {
        if (!HasHeads(state))
            return HeadVerdict.GoesOut;
        if (!_heads.TryGetValue(offset, out var head))
        {
            ReadHeads(offset);
            return HeadVerdict.Waits;
        }
        var isExpired = HasTimeToLive(state) && _rules.IsExpired(head.ExpiresAt, TimeOfExpiry);
        if (isExpired && !MayDiscard(offset, NeededFrom(state), state))
            return HeadVerdict.Waits;
        if (isExpired)
        {
            Expire(offset, state);
            return HeadVerdict.IsGone;
        }
        if (!state.Configuration.HasSchedules || !_rules.IsScheduled(head.DeliverAt, _now))
            return HeadVerdict.GoesOut;
        // Its batch can be read by now. One that is postponed holds none back, but needs its key when its time comes.
        if (_order is KeyOrder order && order.TryForgetUnread(offset))
        {
            _heads.Remove(offset);
            return HeadVerdict.Waits;
        }
        _order.Postpone(offset);
        _frontier = Math.Max(_frontier, offset);
        _draft.Return(new ReturnedRecord(offset, state.CountsOf(offset), head.DeliverAt));
        HoldUntilInForce(offset);
        return HeadVerdict.IsGone;
    }

    // Another configuration may give records other times.
    private void ForgetHeads()
    {
        _heads.Clear();
        _headsRead = NoRead;
    }

    private void ReadHeads(long offset)
    {
        if (_headsRead != NoRead || !MayRead)
            return;
        (_headsRead, _headsFrom) = (++_lastRead, offset);
        _effects.Add(new ReadHeads(_headsRead, offset, _state?.Configuration.Filter is null ? MostHeadsPerRead : MostFilteredPerRead));
    }

    private void On(HeadsRead read)
    {
        if (read.Number == _levelsRead)
            OnLevels(read);
        if (read.Number != _headsRead || _state is null)
            return;
        _headsRead = NoRead;
        // What was known and is not the head any more is read again when it is.
        if (_heads.Count > MostHeadsKept)
            _heads.Clear();
        var next = _headsFrom;
        foreach (var head in read.Heads)
        {
            SettleByNature(new OffsetRange(next, head.Offset - 1));
            next = head.Offset + 1;
            if (!TryLeaveOut(head))
                _heads[head.Offset] = head;
        }
        SettleByNature(new OffsetRange(next, read.End - 1));
    }
}
