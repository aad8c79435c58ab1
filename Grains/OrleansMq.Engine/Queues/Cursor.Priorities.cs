namespace OrleansMq.Queues;

/// <summary>Reads the levels of records, all up to the readable end: only then the highest is known.</summary>
internal sealed partial class Cursor
{
    private const int MostLevelsPerRead = 10_000;

    private long _levelsRead = NoRead;

    /// <summary>The levels of the records below it are known. Only a cursor with priorities reads them.</summary>
    public long LevelsKnownBelow => _order is PriorityOrder order ? order.ReadEnd : 0;

    private void WantLevels(CursorState state)
    {
        if (_levelsRead != NoRead || !MayRead || _order is not PriorityOrder order || order.ReadEnd >= _readableEnd
            || (NextConsumer(state) is null && !HasTimeToLive(state)))
            return;
        _levelsRead = ++_lastRead;
        _effects.Add(new ReadHeads(_levelsRead, order.ReadEnd, MostLevelsPerRead));
    }

    private void OnLevels(HeadsRead read)
    {
        _levelsRead = NoRead;
        if (_order is not PriorityOrder order)
            return;
        var next = order.ReadEnd;
        foreach (var head in read.Heads)
        {
            var offset = head.Offset;
            if (offset < next)
                continue;
            SettleByNature(new OffsetRange(next, offset - 1));
            next = offset + 1;
            if (!TryLeaveOut(head) && IsUnsettled(offset) && !_purging.Contains(offset))
                order.Add(offset, _rules.LevelOf(head), isAvailable: !_held.ContainsKey(offset) && !IsDeferred(offset));
        }
        SettleByNature(new OffsetRange(next, read.End - 1));
        order.ReadUpTo(read.End);
    }

    // Records that were handed out, or stand below one that was, take no more room in log order: the settled ones between them become one
    // run. By priority only the first record in the log does, or one that came back.
    private bool TakesRoom(long offset, long needed, CursorState state) =>
        _order is PriorityOrder ? offset != needed && !state.Returns.ContainsKey(offset) : offset > _frontier;

    private bool HasRoom(long needed, CursorState state) =>
        _rules.HasRoom(_held.Count + state.Exceptions, needed > _frontier, state.Configuration);

    // A dead letter is an exception until its target has it.
    private bool MayDiscard(long offset, long needed, CursorState state) =>
        state.Configuration.DeadLetterTarget is null || !TakesRoom(offset, needed, state) || HasRoom(needed, state);

    // Without room the first record in the log is handed out: it frees most.
    private bool TryChoose(long needed, CursorState state, out long offset)
    {
        if (!_order.TryPeek(_readableEnd, out offset))
            return false;
        return !TakesRoom(offset, needed, state)
            || HasRoom(needed, state)
            || (_order.TryPeekFirst(_readableEnd, out offset) && !TakesRoom(offset, needed, state));
    }
}
