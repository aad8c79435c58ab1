using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>A cursor as plain sets, offset by offset. It takes a statement for what it begins, and otherwise for a promise that the state
/// is
/// the known one.</summary>
internal sealed class ReferenceCursor
{
    public Guid Incarnation { get; private set; }
    public bool Exists { get; private set; }
    public bool WasRemoved { get; private set; }
    public CursorConfiguration? Configuration { get; private set; }
    /// <summary>The first offset of the incarnation.</summary>
    public long Floor { get; private set; }
    public Dictionary<long, SettlementCause> Settled { get; } = [];
    public Dictionary<long, ReturnedRecord> Returns { get; } = [];
    public SortedDictionary<long, DeadLetterIntent> Intents { get; } = [];
    public long StatementOffset { get; private set; } = -1;
    public long DeliveredUpTo { get; private set; }
    private readonly HashSet<Guid> _begun = [];

    public bool HasBegun(Guid incarnation) => _begun.Contains(incarnation);

    public bool IsSettled(long offset) => offset < Floor || Settled.ContainsKey(offset);

    public bool IsIntended(long offset)
    {
        foreach (var intent in Intents.Values)
        {
            if (intent.Offset == offset && intent.Incarnation == Incarnation)
                return true;
        }
        return false;
    }

    public bool IsFinished(long offset) => IsSettled(offset) || IsIntended(offset);

    public ReferenceCursor Copy()
    {
        var copy = new ReferenceCursor
        {
            Incarnation = Incarnation,
            Exists = Exists,
            WasRemoved = WasRemoved,
            Configuration = Configuration,
            Floor = Floor,
            StatementOffset = StatementOffset,
            DeliveredUpTo = DeliveredUpTo,
        };
        foreach (var (offset, cause) in Settled)
            copy.Settled.Add(offset, cause);
        foreach (var (offset, returned) in Returns)
            copy.Returns.Add(offset, returned);
        foreach (var (sequence, intent) in Intents)
            copy.Intents.Add(sequence, intent);
        copy._begun.UnionWith(_begun);
        return copy;
    }

    public void Apply(long offset, IReadOnlyList<CursorTransition> transitions)
    {
        foreach (var transition in transitions)
        {
            if (transition is CursorStatement statement)
                Apply(statement, offset);
            else if (transition is CursorDelta delta && Exists && delta.Incarnation == Incarnation)
                Apply(delta);
            else if (transition is CursorRemoval && Exists && transition.Incarnation == Incarnation)
                (Exists, WasRemoved) = (false, true);
        }
    }

    private void Apply(CursorStatement statement, long offset)
    {
        StatementOffset = offset;
        Configuration = CursorState.From(statement, offset).Configuration;
        if (Exists && statement.Incarnation == Incarnation)
            return;
        Verdict.Require(_begun.Add(statement.Incarnation), "9: an incarnation that had ended begins again.");
        (Exists, Incarnation, DeliveredUpTo) = (true, statement.Incarnation, 0);
        Floor = CursorState.From(statement, offset).Floor;
        Settled.Clear();
        Returns.Clear();
    }

    private void Apply(CursorDelta delta)
    {
        foreach (var settlement in delta.Settlements)
        {
            foreach (var range in settlement.Ranges)
            {
                for (var offset = Math.Max(range.First, Floor); offset <= range.Last; offset++)
                {
                    Settled.TryAdd(offset, settlement.Cause);
                    Returns.Remove(offset);
                }
            }
        }
        // One that turned out to settle by nature may have been settled beside others.
        foreach (var returned in delta.Returns.Where(returned => !IsFinished(returned.Offset)))
            Returns[returned.Offset] = returned;
        foreach (var intent in delta.Intents)
        {
            Intents.Add(intent.Sequence, intent);
            Returns.Remove(intent.Offset);
        }
        foreach (var finished in delta.Finished)
        {
            if (Intents.Remove(finished.Sequence, out var intent) && intent.Incarnation == Incarnation)
                Settled[intent.Offset] = finished.IsPublished ? SettlementCause.DeadLettered : intent.Cause;
        }
        DeliveredUpTo = Math.Max(DeliveredUpTo, delta.DeliveredUpTo);
    }

    /// <summary>Requires that a derived state says the same.</summary>
    public void RequireSame(CursorState? state, long end)
    {
        Verdict.Require(state is not null == Exists, "9: a replica has lost a cursor, or has one too many.");
        if (state is null)
            return;
        Verdict.Require(state.Incarnation == Incarnation, "9: a replica has another incarnation.");
        for (var offset = Floor; offset < end; offset++)
        {
            if (state.IsSettled(offset) != IsSettled(offset))
                throw new Verdict($"9: a replica differs in whether {offset} is settled.");
        }
        Verdict.Require(state.Returns.Count == Returns.Count && Returns.All(r => state.Returns.GetValueOrDefault(r.Key) == r.Value),
            "9: a replica differs in its returned records.");
        Verdict.Require(state.Intents.Values.SequenceEqual(Intents.Values), "9: a replica differs in its dead letters.");
        Verdict.Require(state.DeliveredUpTo == DeliveredUpTo, "9: a replica differs in its reservation.");
        Verdict.Require(state.StatementOffset == StatementOffset, "9: a replica differs in its newest statement.");
        foreach (var cause in Enum.GetValues<SettlementCause>().Where(cause => cause != SettlementCause.Purged))
        {
            var counted = state.Total(cause);
            var actual = Settled.Values.Count(settled => settled == cause);
            Verdict.Require(counted <= actual, $"2: {counted} records are counted as {cause}, and {actual} are.");
        }
    }
}
