namespace OrleansMq.Queues;

/// <summary>Divides a round's transitions into batches of bounded size. Replicas apply each batch by itself: a part settles, returns or
/// intends less than the whole, and nothing else.</summary>
internal static class TransitionParts
{
    // The most bytes of one entry, with all numbers at their longest.
    private const int RangeBytes = 20;
    private const int ReturnBytes = 40;
    private const int IntentBytes = 100;
    private const int FinishedBytes = 11;

    /// <summary>Returns the batches, in their order. All but the first part of a change follow its settlements.</summary>
    /// <param name="transitions">The transitions.</param>
    /// <param name="mostBytes">The most bytes of a changed cursor's entries in a batch. A batch has one entry at least.</param>
    public static IReadOnlyList<IReadOnlyList<CursorTransition>> Of(IReadOnlyList<CursorTransition> transitions, int mostBytes)
    {
        if (transitions is not [CursorDelta delta, ..] || !IsLarge(delta, mostBytes))
            return [transitions];
        var parts = new List<IReadOnlyList<CursorTransition>>();
        foreach (var part in Divide(delta, mostBytes))
            parts.Add([part]);
        if (transitions.Count > 1)
            parts.Add([.. transitions.Skip(1)]);
        return parts;
    }

    /// <summary>Whether a change is divided.</summary>
    public static bool IsLarge(CursorDelta delta, int mostBytes) => BytesOf(delta) > mostBytes;

    private static long BytesOf(CursorDelta delta) => (RangeBytes * delta.Settlements.Sum(settlement => (long)settlement.Ranges.Count))
        + ((long)ReturnBytes * delta.Returns.Count) + (IntentBytesOf(delta) * delta.Intents.Count)
        + ((long)FinishedBytes * delta.Finished.Count);

    private static long IntentBytesOf(CursorDelta delta) =>
        IntentBytes + (delta.Intents.Any(intent => intent.Reason is not null) ? DeadLetterIntent.MostReasonBytes : 0);

    private static IEnumerable<CursorDelta> Divide(CursorDelta delta, int mostBytes)
    {
        var empty = new CursorDelta(delta.CursorId, delta.Incarnation);
        if (delta.DeliveredUpTo > 0)
            yield return empty with { DeliveredUpTo = delta.DeliveredUpTo };
        foreach (var settlement in delta.Settlements.SelectMany(settlement => Divide(settlement, Math.Max(mostBytes / RangeBytes, 1))))
            yield return empty with { Settlements = [settlement] };
        foreach (var returns in delta.Returns.Chunk(Math.Max(mostBytes / ReturnBytes, 1)))
            yield return empty with { Returns = returns };
        foreach (var intents in delta.Intents.Chunk((int)Math.Max(mostBytes / IntentBytesOf(delta), 1)))
            yield return empty with { Intents = intents };
        foreach (var finished in delta.Finished.Chunk(Math.Max(mostBytes / FinishedBytes, 1)))
            yield return empty with { Finished = finished };
    }

    // The records among the offsets are not known one by one: each part counts as many as it may have.
    private static IEnumerable<Settlement> Divide(Settlement settlement, int mostRanges)
    {
        var left = settlement.Count;
        foreach (var ranges in settlement.Ranges.Chunk(mostRanges))
        {
            var count = Math.Min(left, ranges.Sum(range => range.Count));
            left -= count;
            yield return new Settlement(settlement.Cause, count, ranges);
        }
    }
}
