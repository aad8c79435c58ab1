using System.Buffers;
using OrleansMq.Log;
using OrleansMq.Queues;

namespace OrleansMq.Compaction;

/// <summary>
/// Removes from a log the records that all queues of the partition have settled, where others in their segment are not: one message that
/// is due in a year does not hold all back that came after it. Segments without any record that a queue needs are left to retention if
/// they are the first.
/// </summary>
/// <remarks>
/// A log is cleaned where it leads. A follower keeps its records until it leads: it may not know yet of a queue that begins with old ones.
/// Records are removed if the settlements are in force: the log's end of the moment at which they were looked up is below the high
/// watermark. Control batches stay, so the state of the cursors can be derived from the log alone as before.
/// <see cref="SegmentedLog.BeginPass"/> notes that end: a log that is cut below it lacks records whose settlements it lost, and begins
/// again.
/// <para>Every record that a queue needs when its segment is replaced was kept. A queue that begins or is reset at that moment may find
/// what the others have settled, or not.</para>
/// </remarks>
internal sealed class SettledCleaner(CompactionOptions options, LogPorts ports)
{
    // Of the records in a segment. So each rewrite at least halves them.
    private const int MostNeededPercent = 50;

    // Appends wait while it is looked up what of them is needed.
    private const int OffsetsPerLock = 1 << 16;

    private static readonly NothingErased Erasure = new();

    private readonly SegmentCleaner _segments = new(ports);

    /// <summary>Cleans the segments that are due.</summary>
    /// <param name="log">The log.</param>
    /// <param name="highWatermark">Tells the partition's high watermark.</param>
    /// <param name="mayClean">Tells whether the log leads with a lease, and its topic wants to be cleaned.</param>
    /// <param name="cancellationToken">Stops between two batches; segments that were not swapped in are deleted.</param>
    /// <returns>What was done. A cleaning that a truncation overtook ends early.</returns>
    /// <exception cref="DamagedLogException">A batch on disk is damaged; nothing is replaced.</exception>
    /// <exception cref="IOException">The disk failed, or is full; see <see cref="SegmentSwapException"/>.</exception>
    /// <exception cref="OperationCanceledException">The cleaning was cancelled.</exception>
    public CompactionResult Run(SegmentedLog log, Func<long> highWatermark, Func<bool> mayClean, CancellationToken cancellationToken)
    {
        var result = new CompactionResult(new CompactionDecision(CompactionReason.NothingDirty));
        LogCompactor.UnlessCut(log, cuts => Clean(log, highWatermark, mayClean, cuts, ref result, cancellationToken));
        return result;
    }

    private void Clean(SegmentedLog log, Func<long> highWatermark, Func<bool> mayClean, int cuts, ref CompactionResult result,
        CancellationToken cancellationToken)
    {
        if (!mayClean())
            return;
        var settledBefore = NeededFrom(log);
        var known = highWatermark();
        // Message ids that are remembered are told by the batches as they are.
        var end = Math.Min(known, log.DedupeBound(known));
        var sparse = log.Segments.SkipLast(1).Where(segment => segment.NextOffset > settledBefore && segment.NextOffset <= end
            && IsSparse(log, segment, cancellationToken)).Select(static segment => segment.BaseOffset).ToHashSet();
        if (sparse.Count == 0)
            return;
        result = result with { Decision = new CompactionDecision(CompactionReason.Settled), Passes = 1 };
        // No position in the checkpoint file may refer to a segment that is removed.
        log.SecureForCompaction();
        end = Math.Min(end, log.RecoveryPoint.SegmentBase);
        var throttle = new CompactionThrottle(options.MaxBytesPerSecond, ports.Time);
        foreach (var group in GroupsOf(log, sparse, end))
        {
            // Retention may have taken it.
            if (log.Segments.FirstOrDefault(segment => segment.BaseOffset == group[^1].BaseOffset) is not { } last)
                return;
            var range = new OffsetRange(group[0].BaseOffset, last.NextOffset - 1);
            var (needed, asOf) = NeededIn(log, range);
            // One that stands still would have each run write in vain.
            if (highWatermark() is var current && current < asOf && current == known)
                return;
            var cleaning = new Cleaning(new NeededByQueues(needed), cuts, Erasure, throttle,
                (_, _) => mayClean() && asOf <= highWatermark() && IsPartOf(NeededIn(log, range).Needed, needed)
                    && TryAllowGaps(log, asOf, cuts));
            if (!_segments.TryClean(log, group, cleaning, ref result, cancellationToken))
                return;
        }
    }

    private static long NeededFrom(SegmentedLog log)
    {
        lock (log.AppendLock)
            return log.State.Cursors.NeededFrom ?? long.MaxValue;
    }

    // The log's end belongs to the state: the transitions below it have made it. What is settled stays settled, so the pieces need not be
    // of the same moment.
    private static (OffsetSet Needed, long AsOf) NeededIn(SegmentedLog log, OffsetRange range)
    {
        var (needed, asOf) = (new OffsetSet(), 0L);
        for (var first = range.First; first <= range.Last; first += OffsetsPerLock)
        {
            lock (log.AppendLock)
            {
                log.State.Cursors.AddNeeded(new OffsetRange(first, Math.Min(first + OffsetsPerLock - 1, range.Last)), needed);
                asOf = log.LogEndOffset;
            }
        }
        return (needed, asOf);
    }

    private static long NeededAtLeast(SegmentedLog log, OffsetRange range)
    {
        lock (log.AppendLock)
            return log.State.Cursors.NeededAtLeast(range);
    }

    private static bool IsPartOf(OffsetSet set, OffsetSet of) => set.All(range => of.NextNotIn(range.First) > range.Last);

    private static bool TryAllowGaps(SegmentedLog log, long asOf, int cuts)
    {
        lock (log.AppendLock)
            log.NoteGap();
        return log.BeginPass(log.FirstDirtyOffset, asOf, cuts);
    }

    private static bool IsSparse(SegmentedLog log, Segment segment, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var range = new OffsetRange(segment.BaseOffset, segment.NextOffset - 1);
        var atLeast = NeededAtLeast(log, range);
        // Most often it is clear without a look into the file.
        return IsSparse(atLeast, range.Count) && IsSparse(atLeast, segment.CountedRecords ??= CountRecords(segment))
            && IsSparse(NeededIn(log, range).Needed.Count, segment.CountedRecords.Value);
    }

    private static bool IsSparse(long needed, long records) => records > 0 && needed <= records * MostNeededPercent / 100;

    private static long CountRecords(Segment segment)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BatchWalker.BufferBytes);
        try
        {
            using var lease = segment.Log.Rent();
            var walker = new BatchWalker(lease.File, 0, segment.Size, buffer);
            var count = 0L;
            while (walker.TryMoveNext())
                count += walker.Header.IsControl ? 0 : walker.Header.RecordCount;
            return count;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // Beside a sparse segment, one that is small becomes part of the same.
    private static IEnumerable<IReadOnlyList<CleanableSegment>> GroupsOf(SegmentedLog log, HashSet<long> sparse, long end)
    {
        var most = log.Config.SegmentBytes;
        var run = new List<CleanableSegment>();
        foreach (var segment in log.Segments.SkipLast(1).Where(segment => segment.NextOffset <= end))
        {
            if (sparse.Contains(segment.BaseOffset) || segment.Size < most / 4)
            {
                run.Add(new CleanableSegment(segment.BaseOffset, segment.Size, -1, -1, IsActive: false));
                continue;
            }
            foreach (var group in Groups(segment.BaseOffset))
                yield return group;
            run = [];
        }
        foreach (var group in Groups(end))
            yield return group;

        IEnumerable<IReadOnlyList<CleanableSegment>> Groups(long runEnd) =>
            SegmentGroups.Group(run, runEnd, most).Where(group => group.Any(one => sparse.Contains(one.BaseOffset)));
    }

    private sealed class NothingErased : IErasure
    {
        public long EraseLimit => long.MaxValue;

        public void BeforeErasing()
        {
        }
    }
}
