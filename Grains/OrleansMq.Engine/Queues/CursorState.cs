using OrleansMq.Diagnostics;

namespace OrleansMq.Queues;

/// <summary>
/// What the log alone decides about a cursor: which records are settled, which came back and how often, which are being dead-lettered.
/// Leader, follower, recovery and rebuild pass each transition to <see cref="Apply"/>, in the order of offsets. Apply reads no clock, no
/// configuration and no log start, so every replica derives the same state.
/// </summary>
/// <remarks>
/// Only exceptions cost memory: a record that was never handed out is <see cref="Floor"/> and the log's end. Offsets that settle by nature
/// (control, aborted, missing) are not part of the state, since replicas may differ in what is missing. The leader widens a settled range
/// over those beside it.
/// </remarks>
internal sealed class CursorState
{
    /// <summary>As floor of a new incarnation: the offset of the statement that creates it.</summary>
    public const long Latest = -1;

    private static readonly OffsetSet NoOffsets = new();

    private readonly Dictionary<long, ReturnedRecord> _returns = [];
    private readonly SortedDictionary<long, DeadLetterIntent> _intents = [];
    // The records of the intents: of this incarnation, and of earlier ones, which may have several for one.
    private readonly SortedSet<long> _intended = [];
    private readonly SortedSet<(long Offset, long Sequence)> _earlierOffsets = [];
    private readonly long[] _totals = new long[Enum.GetValues<SettlementCause>().Length];

    /// <summary>Creates the state of a new incarnation.</summary>
    public CursorState(int id, Guid incarnation, CursorConfiguration configuration, long floor)
    {
        Id = id;
        Incarnation = incarnation;
        Configuration = configuration;
        Floor = floor;
    }

    /// <summary>The cursor's number in its partition.</summary>
    public int Id { get; }
    /// <summary>The life of the cursor that this is. A reset begins another.</summary>
    public Guid Incarnation { get; }
    /// <summary>The configuration of the newest statement.</summary>
    public CursorConfiguration Configuration { get; }
    /// <summary>Every offset below it is settled, and it is not.</summary>
    public long Floor { get; private set; }
    /// <summary>The settled offsets above the floor.</summary>
    public OffsetSet Settled { get; } = new();
    /// <summary>The records that came back and are not settled, in no particular order.</summary>
    public IReadOnlyDictionary<long, ReturnedRecord> Returns => _returns;
    /// <summary>The dead letters that their target has not confirmed, by sequence. Those of earlier incarnations are among them.</summary>
    public IReadOnlyDictionary<long, DeadLetterIntent> Intents => _intents;
    /// <summary>The number of records that this incarnation is dead-lettering.</summary>
    public int Intended => _intended.Count;
    /// <summary>The sequence of the next intent.</summary>
    public long NextSequence { get; private set; }
    /// <summary>No record at or above it was ever handed out.</summary>
    public long DeliveredUpTo { get; private set; }
    /// <summary>The offset of the newest statement. The log must not start above it.</summary>
    public long StatementOffset { get; private set; } = -1;

    /// <summary>The number of exceptions, each a few bytes to a few dozen.</summary>
    public long Exceptions => Settled.Cost + _returns.Count + _intents.Count;

    /// <summary>The highest record that this incarnation has settled or dead-lettered above the floor; -1: none.</summary>
    public long HighestException => Math.Max(Settled.Max, _intended.Count == 0 ? -1 : _intended.Max);

    /// <summary>Returns the number of records that were settled for a cause.</summary>
    public long Total(SettlementCause cause) => _totals[(int)cause];

    public bool IsSettled(long offset) => offset < Floor || Settled.Contains(offset);

    /// <summary>Whether the record is being dead-lettered by this incarnation.</summary>
    public bool IsIntended(long offset) => _intended.Contains(offset);

    /// <summary>Returns the counts of a record; zeros if it never came back.</summary>
    public DeliveryCounts CountsOf(long offset) => _returns.TryGetValue(offset, out var returned) ? returned.Counts : default;

    /// <summary>The lowest offset that this cursor still needs: its floor, or a dead letter of an earlier incarnation.</summary>
    public long NeededFrom => Math.Min(Floor, EarlierDeadLettersFrom);

    /// <summary>The lowest offset that the log must keep for the cursor's state: its newest statement, or a record that is being
    /// dead-lettered.</summary>
    public long KeptFrom => Math.Min(StatementOffset, DeadLettersFrom);

    /// <summary>The lowest record that is being dead-lettered; <see cref="long.MaxValue"/> for none.</summary>
    public long DeadLettersFrom => Math.Min(EarlierDeadLettersFrom, _intended.Count == 0 ? long.MaxValue : _intended.Min);

    /// <summary>The lowest record that an earlier incarnation is dead-lettering; <see cref="long.MaxValue"/> for none.</summary>
    public long EarlierDeadLettersFrom => _earlierOffsets.Count == 0 ? long.MaxValue : _earlierOffsets.Min.Offset;

    /// <summary>Whether a record of a range is being dead-lettered.</summary>
    public bool HasDeadLettersIn(OffsetRange range)
    {
        if (range.Last < range.First)
            return false;
        // Not their number, which takes a walk.
        foreach (var _ in _intended.GetViewBetween(range.First, range.Last))
            return true;
        foreach (var _ in _earlierOffsets.GetViewBetween((range.First, long.MinValue), (range.Last, long.MaxValue)))
            return true;
        return false;
    }

    /// <summary>Returns the number of offsets of a range that are not settled.</summary>
    public long Unsettled(OffsetRange range)
    {
        range = range with { First = Math.Max(range.First, Floor) };
        return range.Last < range.First ? 0 : range.Count - Settled.CountOutside(NoOffsets, range);
    }

    /// <summary>Adds the offsets of a range that are not settled, and records that an earlier incarnation is dead-lettering.</summary>
    public void AddNeeded(OffsetRange range, OffsetSet needed)
    {
        for (var first = Settled.NextNotIn(Math.Max(range.First, Floor)); first <= range.Last;)
        {
            var next = Settled.NextIn(first);
            needed.Add(new OffsetRange(first, Math.Min(next - 1, range.Last)));
            first = next > range.Last ? next : Settled.NextNotIn(next);
        }
        if (range.First > range.Last)
            return;
        foreach (var (offset, _) in _earlierOffsets.GetViewBetween((range.First, long.MinValue), (range.Last, long.MaxValue)))
            needed.Add(offset);
    }

    /// <summary>Applies a change. One of another incarnation changes nothing.</summary>
    public void Apply(CursorDelta delta)
    {
        if (delta.Incarnation != Incarnation)
            return;
        foreach (var settlement in delta.Settlements)
        {
            foreach (var range in settlement.Ranges)
                Settle(range);
            _totals[(int)settlement.Cause] += settlement.Count;
        }
        foreach (var returned in delta.Returns)
        {
            if (!IsSettled(returned.Offset) && !IsIntended(returned.Offset))
                _returns[returned.Offset] = returned;
        }
        foreach (var intent in delta.Intents)
            Intend(intent);
        foreach (var finished in delta.Finished)
            Finish(finished);
        DeliveredUpTo = Math.Max(DeliveredUpTo, delta.DeliveredUpTo);
    }

    /// <summary>Returns the state that a statement stands for.</summary>
    /// <param name="statement">The statement.</param>
    /// <param name="offset">Its batch's offset.</param>
    /// <exception cref="InvalidDataException">Its bytes are no state.</exception>
    public static CursorState From(CursorStatement statement, long offset)
    {
        var state = CursorStateFormat.Decode(statement.CursorId, statement.Incarnation, statement.State.Span);
        state.StatementOffset = offset;
        if (state.Floor == Latest)
            state.Floor = offset;
        return state;
    }

    /// <summary>Returns a copy.</summary>
    public CursorState Clone()
    {
        var copy = CursorStateFormat.Decode(Id, Incarnation, CursorStateFormat.Encode(this));
        copy.StatementOffset = StatementOffset;
        return copy;
    }

    /// <summary>Returns a first state of another incarnation. It takes over the dead letters on their way, and their sequence.</summary>
    public CursorState Renew(Guid incarnation, CursorConfiguration configuration, long floor)
    {
        var renewed = new CursorState(Id, incarnation, configuration, floor) { NextSequence = NextSequence };
        foreach (var intent in _intents.Values)
            renewed.Intend(intent);
        return renewed;
    }

    internal void Restore(long nextSequence, long deliveredUpTo, ReadOnlySpan<long> totals)
    {
        (NextSequence, DeliveredUpTo) = (nextSequence, deliveredUpTo);
        totals.CopyTo(_totals);
    }

    internal void Restore(OffsetRange settled) => Settled.Add(settled);

    internal void Restore(ReturnedRecord returned) => _returns[returned.Offset] = returned;

    internal void RestoreStatementOffset(long offset) => StatementOffset = offset;

    internal void Intend(DeadLetterIntent intent)
    {
        _intents[intent.Sequence] = intent;
        NextSequence = Math.Max(NextSequence, intent.Sequence + 1);
        if (intent.Incarnation != Incarnation)
        {
            _earlierOffsets.Add((intent.Offset, intent.Sequence));
            return;
        }
        _intended.Add(intent.Offset);
        _returns.Remove(intent.Offset);
    }

    private void Finish(FinishedIntent finished)
    {
        if (!_intents.Remove(finished.Sequence, out var intent))
            return;
        _earlierOffsets.Remove((intent.Offset, intent.Sequence));
        if (intent.Incarnation != Incarnation)
            return;
        _intended.Remove(intent.Offset);
        Settle(OffsetRange.Of(intent.Offset));
        _totals[(int)(finished.IsPublished ? SettlementCause.DeadLettered : intent.Cause)]++;
    }

    private void Settle(OffsetRange range)
    {
        range = range with { First = Math.Max(range.First, Floor) };
        if (range.Last < range.First)
            return;
        // A long prefix is never part of the set.
        if (range.First > Floor)
            Settled.Add(range);
        ForgetReturns(range);
        var floor = Settled.NextNotIn(range.First > Floor ? Floor : range.Last + 1);
        Invariant.Check(floor >= Floor, "A cursor's floor never falls.");
        if (floor == Floor)
            return;
        Floor = floor;
        Settled.RemoveBelow(floor);
    }

    private void ForgetReturns(OffsetRange range)
    {
        if (range.Count <= _returns.Count)
        {
            for (var offset = range.First; offset <= range.Last; offset++)
                _returns.Remove(offset);
            return;
        }
        foreach (var offset in _returns.Keys) // A dictionary may be removed from while it is iterated.
        {
            if (offset >= range.First && offset <= range.Last)
                _returns.Remove(offset);
        }
    }
}
