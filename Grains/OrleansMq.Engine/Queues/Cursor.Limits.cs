namespace OrleansMq.Queues;

/// <summary>
/// The length limit. Records are counted below an end to which all offsets that settle by nature are known. Where the count is not exact
/// for the moment it is too low: nothing is dropped that the limit allows.
/// </summary>
internal sealed partial class Cursor
{
    // The others follow when the transitions that drop these are in the log.
    private const int MostDroppedPerTurn = 1_000;

    private long _countedEnd;
    private long _searchedEnd;
    private long _search = NoRead;
    private bool _isFull;

    /// <summary>The records that neither a consumer nor a transition holds, as far as they are counted. Only a cursor with a length limit
    /// counts.</summary>
    public long Length => _state is null || !IsLimited(_state) ? 0
        : Math.Max(0, Math.Max(_countedEnd - _state.Floor, 0) - _state.Settled.Count - _unlogged.Count - _naturalsInWriting
            - _held.Count - _state.Intended - _purging.Count);

    private static bool IsLimited(CursorState state) => state.Configuration.MaxLength > 0;

    private void FindNaturals()
    {
        if (!_serves || _state is null || !IsLimited(_state) || _search != NoRead || !MayRead || IsBeginning)
            return;
        var from = Math.Max(_countedEnd, _state.Floor);
        if (from >= _readableEnd)
            return;
        (_search, _searchedEnd) = (++_lastRead, _readableEnd);
        _effects.Add(new FindNaturals(_search, new OffsetRange(from, _readableEnd - 1)));
    }

    private void On(NaturalsFound found)
    {
        if (found.Number != _search)
            return;
        _search = NoRead;
        foreach (var range in found.Naturals)
            SettleByNature(range);
        _countedEnd = _searchedEnd;
    }

    // The first ones in the log, also where they are deferred.
    private void DropHead()
    {
        if (!IsActive || !IsLimited(_state) || _state.Configuration.Overflow != OverflowAction.DropHead)
            return;
        var (offset, needed) = (_state.Floor, NeededFrom(_state));
        for (var left = Math.Min(_rules.Excess(Length, _state.Configuration), MostDroppedPerTurn); left > 0 && offset < _countedEnd;)
        {
            var next = _purging.NextNotIn(_state.Settled.NextNotIn(_naturals.NextNotIn(offset)));
            if (next == offset && !_held.ContainsKey(offset) && !_state.IsIntended(offset))
            {
                if (!MayDiscard(offset, needed, _state))
                    return;
                _order.Take(offset);
                Discard(offset, _state, SettlementCause.LengthLimit, _state.CountsOf(offset));
                left--;
            }
            offset = next == offset ? offset + 1 : next;
        }
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
