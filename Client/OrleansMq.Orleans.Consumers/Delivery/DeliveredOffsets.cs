namespace OrleansMq.Consumers;

/// <summary>The offsets that a delivery may have.</summary>
internal static class DeliveredOffsets
{
    /// <summary>Refuses offsets that no record has. A grain remembers the last one of a source: after the highest number that there is, it
    /// would take every later record for handled.</summary>
    /// <param name="items">The records.</param>
    /// <param name="offsetOf">Returns the offset of one.</param>
    /// <param name="source">What they come from, for the message alone.</param>
    /// <param name="partition">Its partition.</param>
    /// <exception cref="ArgumentOutOfRangeException">An offset is below 0, or <see cref="long.MaxValue"/>.</exception>
    public static void Validate<T, TSource>(ReadOnlySpan<T> items, Func<T, long> offsetOf, TSource source, int partition)
    {
        foreach (var item in items)
        {
            if (offsetOf(item) is var offset and (< 0 or long.MaxValue))
            {
                throw new ArgumentOutOfRangeException(nameof(items), offset, $"A delivery of {source}, partition {partition}, has "
                    + $"offset {offset}: a record has 0 to {long.MaxValue - 1}.");
            }
        }
    }
}
