namespace OrleansMq.Queues;

/// <summary>
/// Time to live, judged at the head: the record that would be handed out next. None is handed out whose expiry is not known, and the
/// expiries of some records ahead are read at once.
/// </summary>
internal sealed partial class Cursor
{
    private const int MostExpiriesPerRead = 500;
    private const int MostExpiredPerTurn = 1_000;

    private readonly Dictionary<long, long> _expiries = [];
    private long _expiryFrom;
    private long _expiriesRead = NoRead;
    private long _headExpiresAt = long.MaxValue;

    private static bool HasTimeToLive(CursorState state) => state.Configuration.HasTimeToLive;

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
            if (!_expiries.TryGetValue(offset, out var expiresAt))
            {
                ReadExpiries(offset);
                return;
            }
            if (!_rules.IsExpired(expiresAt, _now))
            {
                _headExpiresAt = expiresAt;
                return;
            }
            _expiries.Remove(offset);
            _order.Take(offset);
            Discard(offset, _state, SettlementCause.Expired, _state.CountsOf(offset));
        }
    }

    // Asks for its expiry, if it is not known.
    private bool MayGoOut(long offset, CursorState state)
    {
        if (!HasTimeToLive(state))
            return true;
        if (!_expiries.Remove(offset, out var expiresAt))
        {
            ReadExpiries(offset);
            return false;
        }
        if (!_rules.IsExpired(expiresAt, _now))
            return true;
        // The next turn is at once.
        (_expiries[offset], _headExpiresAt) = (expiresAt, _now);
        return false;
    }

    private void ReadExpiries(long offset)
    {
        if (_expiriesRead != NoRead || !MayRead)
            return;
        (_expiriesRead, _expiryFrom) = (++_lastRead, offset);
        _effects.Add(new ReadExpiries(_expiriesRead, offset, MostExpiriesPerRead));
    }

    private void On(ExpiriesRead read)
    {
        if (read.Number != _expiriesRead || _state is null)
            return;
        _expiriesRead = NoRead;
        // What was known and is not the head any more is read again when it is.
        _expiries.Clear();
        var next = _expiryFrom;
        foreach (var (offset, expiresAt) in read.Expiries)
        {
            SettleByNature(new OffsetRange(next, offset - 1));
            next = offset + 1;
            _expiries[offset] = expiresAt;
        }
        SettleByNature(new OffsetRange(next, read.End - 1));
    }
}
