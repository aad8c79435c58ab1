namespace OrleansMq.Queues;

/// <summary>
/// Keys of records, read ahead for the order by key. Reading ends before a record in a batch that cannot be read here, or not now: it may
/// have any key, so every later record might follow it. It is handed out alone, once every record before it is over, and reading goes on
/// when it is over, too. A delivery of it fails, unless its batch can be read by then.
/// </summary>
internal sealed partial class Cursor
{
    // As long as a record waits after a delivery that could not be read.
    private const long UnreadRetryMs = 10_000;

    private long _keysRead = NoRead;
    // Where the read of keys that were forgotten begins; null: it reads on.
    private long? _keysReadAgain;
    // The first record without a known key, behind others that are not over; -1: none was found.
    private long _unreadKey = -1;
    private long _retryUnreadAt;

    /// <summary>Whether records wait for one with a key that cannot be read.</summary>
    public bool IsHeldBack => _order is KeyOrder order && (order.HasUnread || WaitsForUnread(order));

    private void WantKeys(CursorState state)
    {
        if (_keysRead != NoRead || !MayRead || _order is not KeyOrder order || (NextConsumer(state) is null && !HasTimeToLive(state)))
            return;
        order.MakeRoom();
        _keysReadAgain = order.Forgotten;
        if (_keysReadAgain is { } forgotten)
            _effects.Add(new ReadKeys(_keysRead = ++_lastRead, Math.Max(forgotten, state.Floor), order.WantedAgain));
        else if (order is { Wanted: > 0 and var wanted } && order.Next < _readableEnd && !WaitsForUnread(order))
            _effects.Add(new ReadKeys(_keysRead = ++_lastRead, order.Next, wanted));
    }

    private bool WaitsForUnread(KeyOrder order) =>
        order.Next == _unreadKey && _now < _retryUnreadAt && !order.IsEmpty && IsUnsettled(_unreadKey);

    private void On(KeysRead read)
    {
        if (read.Number != _keysRead || _state is null || _order is not KeyOrder order)
            return;
        _keysRead = NoRead;
        var unread = read.Unread is { } range ? FirstUnsettled(range, _state) : null;
        var end = unread ?? read.Unread?.Last + 1 ?? read.End;
        if (_keysReadAgain is { } forgotten)
        {
            // Keys that were read before cannot be read again: the order begins anew, and ends before them.
            if (unread is not null)
                _order = NewOrder();
            else
                AddAgain(order, forgotten, read.Keys, end);
            return;
        }
        var next = order.Next;
        foreach (var (offset, key) in read.Keys)
        {
            if (offset < next)
                continue;
            SettleByNature(new OffsetRange(next, offset - 1));
            next = offset + 1;
            if (!IsUnsettled(offset) || _purging.Contains(offset))
                continue;
            order.Add(offset, key, isAvailable: !_held.ContainsKey(offset) && !IsDeferred(offset));
            PostponeIfScheduled(order, offset, _state);
        }
        SettleByNature(new OffsetRange(next, read.End - 1));
        order.ReadUpTo(end);
        if (unread is { } first && first >= order.Next)
            AddUnread(order, first);
    }

    private void AddAgain(KeyOrder order, long forgotten, IReadOnlyList<(long Offset, long? Key)> keys, long end)
    {
        order.BeginAgain(forgotten);
        foreach (var (offset, key) in keys)
        {
            if (!order.IsForgotten(offset, key) || !IsUnsettled(offset) || _purging.Contains(offset))
                continue;
            order.AddAgain(offset, key!.Value, isAvailable: !_held.ContainsKey(offset) && !IsDeferred(offset));
            PostponeIfScheduled(order, offset, _state!);
        }
        order.EndAgain(end);
    }

    private void AddUnread(KeyOrder order, long offset)
    {
        if (order.IsEmpty)
            order.AddUnread(offset, isAvailable: !_held.ContainsKey(offset) && !IsDeferred(offset));
        else
            (_unreadKey, _retryUnreadAt) = (offset, _now + UnreadRetryMs);
    }

    private void PostponeIfScheduled(KeyOrder order, long offset, CursorState state)
    {
        if (IsDeferred(offset) && state.CountsOf(offset).Deliveries == 0)
            order.Postpone(offset);
    }

    // Of what is over, the key need not be known.
    private long? FirstUnsettled(OffsetRange range, CursorState state)
    {
        for (var offset = Math.Max(range.First, state.Floor); offset <= range.Last;)
        {
            var next = _purging.NextNotIn(state.Settled.NextNotIn(_naturals.NextNotIn(offset)));
            if (next == offset && !state.IsIntended(offset))
                return offset;
            offset = next == offset ? offset + 1 : next;
        }
        return null;
    }
}
