using OrleansMq.Diagnostics;

namespace OrleansMq.Queues;

/// <summary>
/// The limits of length and bytes. Records are counted below an end to which all offsets that settle by nature are known. Where the count
/// is not exact for the moment it is too low: nothing is dropped that a limit allows. The log is searched for such offsets in steps, for
/// a limit of length only once all offsets together come near it.
/// <para>
/// Bytes are one sum, of the records that are counted and neither held nor over. The search adds the sizes of a step's records. A record
/// that leaves takes its own with it: it is read with the heads, some records at once, and is kept while the record is held, to be added
/// where it comes back. So a backlog costs no memory, and the state in force knows no sizes.
/// </para>
/// <code>
/// counting -- a step of the search    --> counting, or counted at the readable end
/// counted  -- the readable end moves  --> counting, from there on
/// any      -- another configuration; a purge of a part; counted records that the log has lost --> counting, from the floor on
/// </code>
/// A new leader counts from the floor on: it reads what waits once. Until then its sum is too low.
/// </summary>
internal sealed partial class Cursor
{
    // The others follow when the transitions that drop these are in the log.
    private const int MostDroppedPerTurn = 1_000;
    // The search begins before the limit is reached, at this part below it: it takes a while where many records wait.
    private const int PartBelowLimit = 8;

    private long _countedEnd;
    private long _bytes;
    // No record below it may be dropped: each is over, held, or being dead-lettered.
    private long _dropFrom;
    private long _search = NoRead;
    private bool _dropWaits;
    private bool _isFull;
    private bool _isFullOfBytes;

    /// <summary>The records that neither a consumer nor a transition holds, as far as they are counted. Only a cursor with a limit
    /// counts.</summary>
    public long Length => _state is null || !IsLimited(_state) ? 0 : LengthBelow(_countedEnd, _state);

    /// <summary>The bytes of values of these records, as far as they are counted. Null: the cursor does not count them.</summary>
    // A batch that could not be read counts as empty, and may be readable when its records leave.
    public long? Bytes => _state is null || !CountsBytes(_state) ? null : Math.Max(0, _bytes);

    /// <summary>Whether all records up to the readable end are counted.</summary>
    public bool IsCounted => _state is not null && Math.Max(_countedEnd, _state.Floor) >= _readableEnd;

    /// <summary>Whether what is too much stays until its size is read.</summary>
    public bool IsDropWaiting => _dropWaits;

    /// <summary>Whether a limit is about to decide: records are counted, sizes of what is dropped are read, or a consumer is about to
    /// get what is too much otherwise.</summary>
    public bool IsDeciding => _search != NoRead || (_dropWaits && _headsRead != NoRead)
        || (_state is not null && IsLimited(_state) && IsAwaited);

    /// <summary>The offsets that the limits have looked at to find the records that they drop.</summary>
    public long DropSteps { get; private set; }

    /// <summary>Whether a consumer with credit is about to get a record.</summary>
    public bool IsAwaited => IsActive && NextConsumer(_state) is not null && TryChoose(NeededFrom(_state), _state, out _);

    private long LengthBelow(long end, CursorState state) => Math.Max(0, Math.Max(end - state.Floor, 0) - state.Settled.Count
        - _unlogged.Count - _naturalsInWriting - _held.Count - state.Intended - _purging.Count);

    private static bool IsLimited(CursorState state) => state.Configuration.MaxLength is not null || CountsBytes(state);

    private static bool CountsBytes(CursorState state) => state.Configuration.MaxBytes is not null;

    private void FindNaturals()
    {
        if (!_serves || _state is null || !IsLimited(_state) || _search != NoRead || !MayRead || IsBeginning)
            return;
        if (_countedEnd >= _readableEnd || !(CountsBytes(_state) || IsNearLength(_state)))
            return;
        _search = ++_lastRead;
        _effects.Add(new FindNaturals(_search, new OffsetRange(_countedEnd, _readableEnd - 1), CountsBytes(_state)));
    }

    // Over what is over, or is known to have no record, such as the batch that has dropped some.
    private void MoveCountedEnd()
    {
        if (_state is not null && IsLimited(_state))
            _countedEnd = _naturals.NextNotIn(Math.Max(_countedEnd, _state.Floor));
    }

    private bool IsNearLength(CursorState state) => state.Configuration.MaxLength is { } limit
        && LengthBelow(_readableEnd, state) >= limit - (limit / PartBelowLimit);

    private void On(NaturalsFound found)
    {
        if (found.Number != _search)
            return;
        _search = NoRead;
        foreach (var range in found.Naturals)
            SettleByNature(range);
        foreach (var record in found.Sizes)
            Count(record);
        _countedEnd = Math.Max(_countedEnd, found.End);
    }

    private void Count(RecordSize record)
    {
        if (_held.TryGetValue(record.Offset, out var held))
            _held[record.Offset] = held with { Bytes = record.Bytes };
        else if (record.Offset >= _countedEnd && IsUnsettled(record.Offset) && !_purging.Contains(record.Offset))
            _bytes += record.Bytes;
    }

    private void CountAnew() => (_countedEnd, _bytes, _search) = (0, 0, NoRead);

    // Retention and compaction leave the log to those who need it. Where records are gone all the same, their sizes are not known.
    private void NoteLost(OffsetRange range, CursorState state)
    {
        if (!CountsBytes(state))
            return;
        var end = Math.Min(range.Last + 1, _countedEnd);
        for (var offset = range.First; offset < end;)
        {
            var next = _purging.NextNotIn(state.Settled.NextNotIn(_naturals.NextNotIn(offset)));
            if (next == offset && !_held.ContainsKey(offset) && !state.IsIntended(offset))
            {
                CountAnew();
                return;
            }
            offset = next == offset ? offset + 1 : next;
        }
    }

    // Whether a record may leave: its size is known, or not counted.
    private bool KnowsSize(long offset, CursorState state)
    {
        if (!CountsBytes(state) || offset >= _countedEnd || _heads.ContainsKey(offset))
            return true;
        ReadHeads(offset);
        return false;
    }

    // A record is held from now on. Returns its size, as far as it is known.
    private int Leave(long offset, CursorState state)
    {
        var isKnown = _heads.Remove(offset, out var head);
        if (!CountsBytes(state))
            return 0;
        Invariant.Check(isKnown || offset >= _countedEnd, "The size of a record that is counted is known when it leaves.");
        if (offset < _countedEnd)
            _bytes -= head.Bytes;
        return head.Bytes;
    }

    // A record is held no more. It is over, or waits again.
    private void ComeBack(long offset, in HeldRecord held)
    {
        if (_state is not null && CountsBytes(_state) && offset < _countedEnd && IsUnsettled(offset) && !_purging.Contains(offset))
            _bytes += _rules.BytesReturned(held);
    }

    // The first ones in the log, also where they are deferred. What a consumer is about to get is not too much yet.
    private void DropHead()
    {
        _dropWaits = false;
        if (!IsActive || !IsLimited(_state) || _state.Configuration.Overflow != OverflowAction.DropHead)
            return;
        var (excess, excessBytes) = (_rules.Excess(Length, _state.Configuration), _rules.ExcessBytes(_bytes, _state.Configuration));
        if ((excess <= 0 && excessBytes <= 0) || _rules.StaysForConsumer(IsAwaited))
            return;
        var (offset, needed) = (Math.Max(_dropFrom, _state.Floor), NeededFrom(_state));
        for (var left = MostDroppedPerTurn; left > 0 && (excess > 0 || excessBytes > 0) && offset < _countedEnd;)
        {
            DropSteps++;
            var next = _purging.NextNotIn(_state.Settled.NextNotIn(_naturals.NextNotIn(offset)));
            if (next == offset && !_held.ContainsKey(offset) && !_state.IsIntended(offset))
            {
                if (!MayDiscard(offset, needed, _state))
                    break;
                if (!KnowsSize(offset, _state))
                {
                    _dropWaits = true;
                    break;
                }
                var before = _bytes;
                _order.Take(offset);
                Discard(offset, _state, SettlementCause.LengthLimit, _state.CountsOf(offset));
                excess--;
                excessBytes -= before - _bytes;
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
        var refuses = IsLimited(_state) && _state.Configuration.Overflow == OverflowAction.RefusePublish;
        _isFullOfBytes = refuses && _rules.IsFullOfBytes(_bytes, IsCounted, _isFullOfBytes, _state.Configuration);
        var isFull = _isFullOfBytes || (refuses && _rules.IsFull(Length, _state.Configuration));
        if (isFull == _isFull)
            return;
        _isFull = isFull;
        _effects.Add(new AcceptPublishes(!isFull));
    }
}
