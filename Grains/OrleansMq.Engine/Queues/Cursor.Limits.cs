namespace OrleansMq.Queues;

/// <summary>
/// The length limit. Records are counted below an end to which all offsets that settle by nature are known. Where the count is not exact
/// for the moment it is too low: nothing is dropped that the limit allows. The log is searched for such offsets in steps, and only once all
/// offsets together come near the limit.
/// </summary>
internal sealed partial class Cursor
{
    // The others follow when the transitions that drop these are in the log.
    private const int MostDroppedPerTurn = 1_000;
    // The search begins before the limit is reached, at this part below it: it takes a while where many records wait.
    private const int PartBelowLimit = 8;

    private long _countedEnd;
    // No record below it may be dropped: each is over, held, or being dead-lettered.
    private long _dropFrom;
    private long _search = NoRead;
    private bool _isFull;

    /// <summary>The records that neither a consumer nor a transition holds, as far as they are counted. Only a cursor with a length limit
    /// counts.</summary>
    public long Length => _state is null || !IsLimited(_state) ? 0 : LengthBelow(_countedEnd, _state);

    /// <summary>The offsets that the length limit has looked at to find the records that it drops.</summary>
    public long DropSteps { get; private set; }

    private long LengthBelow(long end, CursorState state) => Math.Max(0, Math.Max(end - state.Floor, 0) - state.Settled.Count
        - _unlogged.Count - _naturalsInWriting - _held.Count - state.Intended - _purging.Count);

    private static bool IsLimited(CursorState state) => state.Configuration.MaxLength > 0;

    private void FindNaturals()
    {
        if (!_serves || _state is null || !IsLimited(_state) || _search != NoRead || !MayRead || IsBeginning)
            return;
        var (from, limit) = (Math.Max(_countedEnd, _state.Floor), _state.Configuration.MaxLength);
        if (from >= _readableEnd || LengthBelow(_readableEnd, _state) < limit - (limit / PartBelowLimit))
            return;
        _search = ++_lastRead;
        _effects.Add(new FindNaturals(_search, new OffsetRange(from, _readableEnd - 1)));
    }

    private void On(NaturalsFound found)
    {
        if (found.Number != _search)
            return;
        _search = NoRead;
        foreach (var range in found.Naturals)
            SettleByNature(range);
        _countedEnd = Math.Max(_countedEnd, found.End);
    }

    // The first ones in the log, also where they are deferred.
    private void DropHead()
    {
        if (!IsActive || !IsLimited(_state) || _state.Configuration.Overflow != OverflowAction.DropHead)
            return;
        var (offset, needed) = (Math.Max(_dropFrom, _state.Floor), NeededFrom(_state));
        for (var left = Math.Min(_rules.Excess(Length, _state.Configuration), MostDroppedPerTurn); left > 0 && offset < _countedEnd;)
        {
            DropSteps++;
            var next = _purging.NextNotIn(_state.Settled.NextNotIn(_naturals.NextNotIn(offset)));
            if (next == offset && !_held.ContainsKey(offset) && !_state.IsIntended(offset))
            {
                if (!MayDiscard(offset, needed, _state))
                    break;
                _order.Take(offset);
                Discard(offset, _state, SettlementCause.LengthLimit, _state.CountsOf(offset));
                left--;
            }
            offset = next == offset ? offset + 1 : next;
        }
        _dropFrom = offset;
    }

    private void TellFull()
    {
        if (!_serves || _state is null || IsBeginning)
            return;
        var isFull = IsLimited(_state) && _state.Configuration.Overflow == OverflowAction.RefusePublish
            && _rules.IsFull(Length, _state.Configuration);
        if (isFull == _isFull)
            return;
        _isFull = isFull;
        _effects.Add(new AcceptPublishes(!isFull));
    }
}
