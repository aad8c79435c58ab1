using System.Collections.Immutable;

namespace OrleansMq.Replication;

/// <summary>How far the log is safe to show, and whether an append may be acknowledged. Pure.</summary>
internal static class HighWatermarkDecision
{
    /// <summary>
    /// All that may be in the ISR: the members of the committed one and of every proposed one that is not known to have failed. A write
    /// that is reported failed may still be stored later, until a later one is known to be stored.
    /// </summary>
    public static ImmutableArray<ReplicaIdentity> Union(PartitionState committed, IReadOnlyList<PartitionState> proposed)
    {
        if (proposed.Count == 0)
            return committed.Isr;
        return [.. committed.Isr.Concat(proposed.SelectMany(p => p.Isr)).Distinct()];
    }

    /// <summary>How many count towards <c>min.insync.replicas</c>: only members of the committed and of every proposed ISR.</summary>
    public static int CountInsync(PartitionState committed, IReadOnlyList<PartitionState> proposed)
    {
        if (proposed.Count == 0)
            return committed.Isr.Length;
        return committed.Isr.Count(m => proposed.All(p => p.Isr.Contains(m)));
    }

    /// <summary>Whether there are enough in-sync replicas for an <c>acks=all</c>: asked before the append and again at its
    /// completion.</summary>
    public static bool HasEnoughReplicas(int countedInsync, int minInsync) => countedInsync >= minInsync;

    /// <summary>The end of a replica that counts: "under <c>sync</c> only flushed log ends count, the leader's too".</summary>
    public static long CountedEnd(bool sync, long logEnd, long flushedEnd) => sync ? Math.Clamp(flushedEnd, 0, logEnd) : logEnd;

    /// <summary>
    /// The next high watermark: the lowest counted log end. It never goes back; it stands still where a member's end is not known, where
    /// there are too few, and while an ELR is committed, whose members need not hold more.
    /// </summary>
    /// <param name="current">As it is.</param>
    /// <param name="countedEnds">One for each member of <see cref="Union"/>; null where the member is not aligned in this epoch.</param>
    /// <param name="enoughReplicas"><see cref="HasEnoughReplicas"/>.</param>
    /// <param name="hasElr">An ELR is committed or proposed.</param>
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

    /// <summary>Whether an append that ends at <paramref name="endOffset"/> may be acknowledged to who asked for <c>acks=all</c>.</summary>
    public static bool IsReplicated(long endOffset, long highWatermark) => endOffset <= highWatermark;

    /// <summary>"A duplicate waits for its original's high watermark before it is acknowledged."</summary>
    public static bool IsDuplicateReplicated(long originalEnd, long highWatermark) => originalEnd <= highWatermark;

    /// <summary>A new leader does not know the last high watermark: latest and time lookups wait until it reaches the start of the epoch
    /// (KIP-207).</summary>
    public static bool KnowsLatest(long highWatermark, long epochStart) => highWatermark >= epochStart;
}
