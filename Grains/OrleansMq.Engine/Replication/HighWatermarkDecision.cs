using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>Decides how far the log is safe to show, and whether an append may be acknowledged. Pure.</summary>
internal static class HighWatermarkDecision
{
    /// <summary>
    /// Returns all possible ISR members: those of the committed ISR, and of every proposed one that is not known to have failed. A write
    /// that was reported as failed may still be stored later, until a later write is known to be stored.
    /// </summary>
    public static ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed)
    {
        if (proposed.Count == 0)
            return committed.Isr;
        return [.. committed.Isr.Concat(proposed.SelectMany(p => p.Isr)).Distinct()];
    }

    /// <summary>Counts the replicas towards <c>min.insync.replicas</c>: only members of the committed and of every proposed ISR.</summary>
    public static int CountInsync(PartitionState committed, IReadOnlyList<PartitionState> proposed)
    {
        if (proposed.Count == 0)
            return committed.Isr.Length;
        return committed.Isr.Count(m => proposed.All(p => p.Isr.Contains(m)));
    }

    /// <summary>Whether there are enough in-sync replicas for <c>acks=all</c>; checked before the append and again at its
    /// completion.</summary>
    public static bool HasEnoughReplicas(int countedInsync, int minInsync) => countedInsync >= minInsync;

    /// <summary>Returns the end of a replica that counts. Under <c>sync</c> only flushed log ends count, the leader's too.</summary>
    public static long CountedEnd(bool sync, long logEnd, long flushedEnd) => sync ? Math.Clamp(flushedEnd, 0, logEnd) : logEnd;

    /// <summary>
    /// Returns the next high watermark: the lowest counted log end. It never goes back. It does not move if a member's end is not known, if
    /// there are too few in-sync replicas, or while an ELR is committed, whose members need not hold more.
    /// </summary>
    /// <param name="current">The current high watermark.</param>
    /// <param name="countedEnds">One end for each member of <see cref="Union"/>; null if the member is not aligned in this epoch.</param>
    /// <param name="enoughReplicas">The result of <see cref="HasEnoughReplicas"/>.</param>
    /// <param name="hasElr">Whether an ELR is committed or proposed.</param>
    public static long Next(long current, ReadOnlySpan<long?> countedEnds, bool enoughReplicas, bool hasElr)
    {
        if (!enoughReplicas || hasElr)
            return current;
        var lowest = long.MaxValue;
        foreach (var end in countedEnds)
        {
            if (end is not { } known)
                return current;
            lowest = Math.Min(lowest, known);
        }
        return lowest == long.MaxValue ? current : Math.Max(current, lowest);
    }

    /// <summary>
    /// Returns the next replicated end, up to which appends with <c>acks=replicated</c> may be acknowledged: the lowest log end, flushed or
    /// not. It follows the rules of the high watermark, and is never below it.
    /// </summary>
    /// <param name="current">The current replicated end.</param>
    /// <param name="logEnds">One log end for each member of <see cref="Union"/>; null if the member is not aligned in this epoch.</param>
    /// <param name="highWatermark">The high watermark.</param>
    /// <param name="enoughReplicas">The result of <see cref="HasEnoughReplicas"/>.</param>
    /// <param name="hasElr">Whether an ELR is committed or proposed.</param>
    public static long NextReplicated(long current, ReadOnlySpan<long?> logEnds, long highWatermark, bool enoughReplicas, bool hasElr) =>
        Next(Math.Max(current, highWatermark), logEnds, enoughReplicas, hasElr);

    /// <summary>Whether an append with <c>acks=all</c> that ends at <paramref name="endOffset"/> may be acknowledged.</summary>
    public static bool IsReplicated(long endOffset, long highWatermark) => endOffset <= highWatermark;

    /// <summary>Whether a duplicate may be acknowledged: only once the high watermark has passed its original.</summary>
    public static bool IsDuplicateReplicated(long originalEnd, long highWatermark) => originalEnd <= highWatermark;

    /// <summary>Whether a new leader knows the latest offset. Before the high watermark reaches the start of its epoch, latest and time
    /// lookups wait (KIP-207).</summary>
    public static bool KnowsLatest(long highWatermark, long epochStart) => highWatermark >= epochStart;
}
