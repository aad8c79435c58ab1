using OrleansMq.Diagnostics;
using OrleansMq.Log;

namespace OrleansMq.Compaction;

/// <summary>Limits of compaction.</summary>
/// <param name="MaxMapBytes">The maximum memory for the keys of one pass; a log with more keys takes several passes.</param>
/// <param name="MaxBytesPerSecond">The maximum bytes read and written per second; 0 for no limit.</param>
internal sealed record CompactionOptions(int MaxMapBytes = KeyOffsetMap.DefaultMaxBytes, long MaxBytesPerSecond = 0);

/// <summary>The result of a cleaning.</summary>
/// <param name="Decision">Whether the log was due.</param>
/// <param name="Passes">The number of passes over the log; one if all keys fit into memory.</param>
/// <param name="SegmentsBefore">Number of replaced segments.</param>
/// <param name="SegmentsAfter">Number of segments that replace them.</param>
/// <param name="BytesBefore">Bytes of the replaced segments.</param>
/// <param name="BytesAfter">Bytes of the segments that replace them.</param>
internal readonly record struct CompactionResult(CompactionDecision Decision, int Passes = 0, int SegmentsBefore = 0, int SegmentsAfter = 0,
    long BytesBefore = 0, long BytesAfter = 0);

/// <summary>
/// Cleans one log: collects the latest offset of each key in the dirty part, then rewrites the segments from the log's start to there
/// without superseded records. Appends and reads continue meanwhile; readers inside an old segment finish there. Only one cleaning per log
/// at a time. A record that is being dead-lettered, and what follows it, waits until the letter is confirmed; so do records whose
/// message ids are remembered. Records of aborted transactions go, those of open ones and what follows them wait; see
/// <see cref="MarkerJudge"/> for markers.
/// </summary>
internal sealed class LogCompactor(CompactionOptions options, LogPorts ports)
{
    private readonly BatchCompactor _batches = new(ports.Codecs);
    private readonly SegmentCleaner _segments = new(ports);

    /// <summary>Cleans the log if it is due.</summary>
    /// <param name="log">The log.</param>
    /// <param name="highWatermark">Records at or above it are ignored.</param>
    /// <param name="erasure">Limits which tombstones may go.</param>
    /// <param name="cancellationToken">Stops between two batches; segments that were not swapped in are deleted.</param>
    /// <returns>What was done. A cleaning that a truncation overtook ends early; the next one begins from what is left.</returns>
    /// <exception cref="DamagedLogException">A batch on disk is damaged; nothing is replaced.</exception>
    /// <exception cref="IOException">The disk failed, or is full; see <see cref="SegmentSwapException"/>.</exception>
    /// <exception cref="OperationCanceledException">The cleaning was cancelled.</exception>
    public CompactionResult Run(SegmentedLog log, long highWatermark, IErasure erasure, CancellationToken cancellationToken)
    {
        var result = new CompactionResult();
        UnlessCut(log, cuts => Clean(log, highWatermark, erasure, cuts, ref result, cancellationToken));
        return result;
    }

    /// <summary>Cleans a log as far as nobody cuts it.</summary>
    /// <param name="log">The log.</param>
    /// <param name="clean">Receives <see cref="SegmentedLog.Cuts"/> before anything of the log is read: what is cut later is
    /// noticed.</param>
    internal static void UnlessCut(SegmentedLog log, Action<int> clean)
    {
        var (cuts, start) = (log.Cuts, log.LogStartOffset);
        try
        {
            clean(cuts);
        }
        catch (DamagedLogException) when (log.WasCutSince(cuts))
        {
            // The scan read a file that was being cut.
        }
        catch (FileNotFoundException) when (log.WasCutSince(cuts) || start != log.LogStartOffset)
        {
            // A segment left the log before the scan reached it, and its files are deleted.
        }
    }

    /// <inheritdoc cref="SettledCleaner.Run"/>
    public CompactionResult RemoveSettled(SegmentedLog log, Func<long> highWatermark, Func<bool> mayClean,
        CancellationToken cancellationToken) => new SettledCleaner(options, ports).Run(log, highWatermark, mayClean, cancellationToken);

    private void Clean(SegmentedLog log, long highWatermark, IErasure erasure, int cuts, ref CompactionResult result,
        CancellationToken cancellationToken)
    {
        var config = log.Config;
        var checkpoint = log.FirstDirtyOffset;
        // A transaction may have begun below the log's start.
        var stable = Math.Max(log.State.Transactions.StableOffset(highWatermark), log.LogStartOffset);
        var decision = CompactionDecision.Decide(FactsOf(log, checkpoint), checkpoint, log.LogStartOffset,
            Math.Min(Math.Min(stable, log.DeadLettersFrom), log.DedupeBound(highWatermark)), config, ports.Now);
        result = new CompactionResult(decision);
        if (!decision.ShouldClean)
            return;

        // Only a durable record may supersede another, and no position in the checkpoint file may refer to a segment that is removed.
        log.SecureForCompaction();
        var end = Math.Min(decision.FirstUncleanableOffset, log.RecoveryPoint.SegmentBase);
        var throttle = new CompactionThrottle(options.MaxBytesPerSecond, ports.Time);
        var aborted = AbortedRecords.Of(log, end);
        var map = new KeyOffsetMap(options.MaxMapBytes, Math.Max(0, end - decision.FirstDirtyOffset));
        for (var dirty = decision.FirstDirtyOffset; dirty < end;)
        {
            map.Clear();
            var next = BuildMap(log, dirty, end, map, aborted, throttle, cancellationToken);
            // From here on offsets may have gaps, which readers treat as damage unless this is stored.
            if (next <= dirty || !log.BeginPass(dirty, next, cuts))
                return;
            dirty = next;
            result = result with { Passes = result.Passes + 1 };
            var cleaning = new Cleaning(new LatestOfKey(map, dirty, aborted), cuts, erasure, throttle,
                // A dead-lettering may have begun during the scan.
                (from, to) => !log.HasDeadLettersIn(from, Math.Min(to, next)), new MarkerJudge());
            foreach (var group in SegmentGroups.Group(FactsOf(log, checkpoint), dirty, config.SegmentBytes))
            {
                // Not the groups after one that was overtaken: they may hold tombstones of keys that are still in it.
                if (!_segments.TryClean(log, group, cleaning, ref result, cancellationToken))
                    return;
            }
            if (!log.CompletePass(dirty, cuts))
                return;
        }
    }

    /// <summary>Adds keys from <paramref name="from"/> on until the map is full or <paramref name="end"/> is reached. Returns where it
    /// stopped: within a batch only if that has more keys than the map has room for.</summary>
    private long BuildMap(SegmentedLog log, long from, long end, KeyOffsetMap map, AbortedRecords aborted, CompactionThrottle throttle,
        CancellationToken cancellationToken)
    {
        foreach (var segment in log.Segments)
        {
            if (segment.NextOffset <= from || segment.BaseOffset >= end)
                continue;
            using var lease = segment.Log.Rent();
            using var scanner = new LogScanner(lease.File, 0, segment.Size, segment.BaseOffset);
            var expected = segment.BaseOffset;
            for (; scanner.TryMoveNext(expected, allowGap: true, out var header, out var at); expected = header.NextOffset)
            {
                SegmentCleaner.ThrowIfBeyond(segment, header, at);
                if (header.LastOffset < from)
                    continue;
                if (header.NextOffset > end)
                    return Math.Max(from, header.BaseOffset);
                string? opaque = null;
                var hasKeys = !header.IsControl && !aborted.Has(header);
                var added = !hasKeys ? header.NextOffset : _batches.PutKeys(scanner.Batch, header, from, map, out opaque);
                if (added < header.NextOffset)
                    return added;
                if (opaque is not null)
                    ports.EngineLog.Write(EngineLogLevel.Warning,
                        $"The batch at byte {at} of '{segment.Log.Path}' is not compacted, since it cannot be looked into: {opaque}");
                throttle.Wait(header.SizeInBytes, cancellationToken);
            }
            SegmentCleaner.ThrowIfDamaged(segment, scanner, expected);
        }
        return end;
    }

    // Timestamps are read from the files, so only if the decision needs them.
    private static List<CleanableSegment> FactsOf(SegmentedLog log, long checkpoint)
    {
        var config = log.Config;
        var segments = log.Segments;
        var facts = new List<CleanableSegment>(segments.Count);
        for (var i = 0; i < segments.Count; i++)
        {
            var segment = segments[i];
            var largest = config.MinCompactionLagMs > 0 ? segment.MaxTimestamp : -1;
            var first = config.MaxCompactionLagMs != long.MaxValue && segment.NextOffset > checkpoint ? segment.LoadFirstTimestamp() : -1;
            facts.Add(new CleanableSegment(segment.BaseOffset, segment.Size, first, largest, IsActive: i == segments.Count - 1));
        }
        return facts;
    }
}
