namespace OrleansMq.Queues;

/// <summary>What one append will write about a cursor. It gathers while the append before it is not in force, so that a round of any size
/// costs one control batch.</summary>
internal sealed class TransitionDraft
{
    private readonly SortedDictionary<SettlementCause, (OffsetSet Ranges, long Count)> _settlements = [];
    private readonly SortedDictionary<long, ReturnedRecord> _returns = [];
    private readonly List<DeadLetterIntent> _intents = [];

    /// <summary>The records that it holds until it is in force.</summary>
    public List<long> Held { get; } = [];
    public IReadOnlyCollection<ReturnedRecord> Returns => _returns.Values;
    /// <summary>Whether a record comes back that is available at once.</summary>
    public bool HasUndeferredReturns { get; private set; }
    public IReadOnlyList<DeadLetterIntent> Intents => _intents;
    public List<FinishedIntent> Finished { get; } = [];
    /// <summary>The reservation that it makes; 0: none.</summary>
    public long DeliveredUpTo { get; set; }
    /// <summary>The incarnation that it begins.</summary>
    public Begin? Begin { get; set; }
    /// <summary>The configuration that it sets.</summary>
    public CursorConfiguration? Configuration { get; set; }
    /// <summary>Whether it repeats the cursor's state.</summary>
    public bool IsStatement { get; set; }
    public bool IsRemoval { get; set; }
    /// <summary>The requests that it answers.</summary>
    public List<CursorRequest> Waiters { get; } = [];

    public bool HasDelta => _settlements.Count > 0 || _returns.Count > 0 || _intents.Count > 0 || Finished.Count > 0 || DeliveredUpTo > 0;

    public bool IsEmpty => !HasDelta && Begin is null && Configuration is null && !IsStatement && !IsRemoval;

    /// <summary>The settled ranges, as gathered.</summary>
    public IEnumerable<OffsetRange> Settled => _settlements.Values.SelectMany(settlement => settlement.Ranges);

    /// <summary>The highest settled offset; -1: none.</summary>
    public long LastSettled => _settlements.Values.Select(settlement => settlement.Ranges.Max).DefaultIfEmpty(-1).Max();

    public void Settle(SettlementCause cause, long offset) => Settle(cause, [OffsetRange.Of(offset)], 1);

    /// <summary>Settles records.</summary>
    /// <param name="cause">Why.</param>
    /// <param name="ranges">Their offsets.</param>
    /// <param name="count">The number of records among the offsets.</param>
    public void Settle(SettlementCause cause, IEnumerable<OffsetRange> ranges, long count)
    {
        var (known, before) = _settlements.TryGetValue(cause, out var settlement) ? settlement : (new OffsetSet(), 0);
        foreach (var range in ranges)
            known.Add(range);
        _settlements[cause] = (known, before + count);
    }

    public void Return(ReturnedRecord returned)
    {
        _returns[returned.Offset] = returned;
        HasUndeferredReturns |= returned.AvailableAt == 0;
    }

    public void Intend(DeadLetterIntent intent) => _intents.Add(intent);

    /// <summary>Builds the transitions.</summary>
    /// <param name="cursorId">The cursor.</param>
    /// <param name="state">Its state in force, with nothing in the log after it; null: there is none.</param>
    /// <param name="naturals">Offsets that settled by nature, to be settled beside the others. Alone they are written before a statement
    /// only.</param>
    /// <param name="rules">What a statement repeats.</param>
    /// <param name="mostBytes">The size from which a change is divided. Its naturals stay beside the records then, so that each part counts
    /// its own records.</param>
    public IReadOnlyList<CursorTransition> Build(int cursorId, CursorState? state, OffsetSet naturals, CursorRules rules, int mostBytes)
    {
        var transitions = new List<CursorTransition>();
        var after = Begin is null && Configuration is null && !IsStatement ? null : state?.Clone();
        if ((HasDelta || !naturals.IsEmpty) && state is not null)
        {
            var delta = BuildDelta(state, naturals, isJoined: false);
            if (!TransitionParts.IsLarge(delta, mostBytes))
                delta = BuildDelta(state, naturals, isJoined: true);
            after?.Apply(delta);
            transitions.Add(delta);
        }
        if (Begin is { } begin)
        {
            // An alteration before a reset is answered with it.
            var configuration = begin.Configuration ?? Configuration ?? state!.Configuration;
            var begun = after?.Renew(begin.Incarnation, configuration, begin.Floor)
                ?? new CursorState(cursorId, begin.Incarnation, configuration, begin.Floor);
            transitions.Add(new CursorStatement(cursorId, begin.Incarnation, CursorStateFormat.Encode(begun)));
        }
        else if (after is not null)
            transitions.Add(new CursorStatement(cursorId, after.Incarnation, CursorStateFormat.Encode(rules.Stated(after), Configuration)));
        if (IsRemoval && state is not null)
            transitions.Add(new CursorRemoval(cursorId, state.Incarnation));
        return transitions;
    }

    private CursorDelta BuildDelta(CursorState state, OffsetSet naturals, bool isJoined)
    {
        if (isJoined && !naturals.IsEmpty)
            Settle(_settlements.Count == 0 ? SettlementCause.Accepted : _settlements.Keys.First(), naturals, 0);
        IEnumerable<Settlement> apart = isJoined || naturals.IsEmpty ? [] : [new Settlement(SettlementCause.Accepted, 0, [.. naturals])];
        return new CursorDelta(state.Id, state.Incarnation)
        {
            Settlements = [.. apart, .. _settlements.Select(s => new Settlement(s.Key, s.Value.Count, [.. s.Value.Ranges]))],
            Returns = [.. _returns.Values],
            Intents = [.. _intents],
            Finished = [.. Finished],
            DeliveredUpTo = DeliveredUpTo,
        };
    }
}
