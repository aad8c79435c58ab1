using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Records;

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
/// message ids are remembered.
/// </summary>
internal sealed class LogCompactor(CompactionOptions options, LogPorts ports)
{
    private readonly BatchCompactor _batches = new(ports.Codecs);

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
        // Before anything of the log is read: what is cut later is noticed.
        var (cuts, start) = (log.Cuts, log.LogStartOffset);
        var result = new CompactionResult();
        try
        {
            Clean(log, highWatermark, erasure, cuts, ref result, cancellationToken);
        }
        catch (DamagedLogException) when (cuts != log.Cuts)
        {
            // The scan read a file that was being cut.
        }
        catch (FileNotFoundException) when (cuts != log.Cuts || start != log.LogStartOffset)
        {
            // A segment left the log before the scan reached it, and its files are deleted.
        }
        return result;
    }

    private void Clean(SegmentedLog log, long highWatermark, IErasure erasure, int cuts, ref CompactionResult result,
        CancellationToken cancellationToken)
    {
        var config = log.Config;
        var checkpoint = log.FirstDirtyOffset;
        var decision = CompactionDecision.Decide(FactsOf(log, checkpoint), checkpoint, log.LogStartOffset,
            Math.Min(Math.Min(highWatermark, log.DeadLettersFrom), log.DedupeBound(highWatermark)), config, ports.Now);
        result = new CompactionResult(decision);
        if (!decision.ShouldClean)
            return;

        // Only a durable record may supersede another, and no position in the checkpoint file may refer to a segment that is removed.
        log.SecureForCompaction();
        var end = Math.Min(decision.FirstUncleanableOffset, log.RecoveryPoint.SegmentBase);
        var throttle = new CompactionThrottle(options.MaxBytesPerSecond, ports.Time);
        var map = new KeyOffsetMap(options.MaxMapBytes, Math.Max(0, end - decision.FirstDirtyOffset));
        for (var dirty = decision.FirstDirtyOffset; dirty < end;)
        {
            map.Clear();
            var next = BuildMap(log, dirty, end, map, throttle, cancellationToken);
            // From here on offsets may have gaps, which readers treat as damage unless this is stored.
            if (next <= dirty || !log.BeginPass(dirty, next, cuts))
                return;
            dirty = next;
            result = result with { Passes = result.Passes + 1 };
            foreach (var group in SegmentGroups.Group(FactsOf(log, checkpoint), dirty, config.SegmentBytes))
            {
                // Not the groups after one that was overtaken: they may hold tombstones of keys that are still in it.
                if (!TryCleanGroup(log, group, dirty, map, throttle, erasure, cuts, ref result, cancellationToken))
                    return;
            }
            if (!log.CompletePass(dirty, cuts))
                return;
        }
    }

    /// <summary>Adds keys from <paramref name="from"/> on until the map is full or <paramref name="end"/> is reached. Returns where it
    /// stopped: within a batch only if that has more keys than the map has room for.</summary>
    private long BuildMap(SegmentedLog log, long from, long end, KeyOffsetMap map, CompactionThrottle throttle,
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
                ThrowIfBeyond(segment, header, at);
                if (header.LastOffset < from)
                    continue;
                if (header.NextOffset > end)
                    return Math.Max(from, header.BaseOffset);
                string? opaque = null;
                var added = header.IsControl ? header.NextOffset : _batches.PutKeys(scanner.Batch, header, from, map, out opaque);
                if (added < header.NextOffset)
                    return added;
                if (opaque is not null)
                    ports.EngineLog.Write(EngineLogLevel.Warning,
                        $"The batch at byte {at} of '{segment.Log.Path}' is not compacted, since it cannot be looked into: {opaque}");
                throttle.Wait(header.SizeInBytes, cancellationToken);
            }
            ThrowIfDamaged(segment, scanner, expected);
        }
        return end;
    }

    /// <summary>Cleans some neighbouring segments into one. False if retention or a truncation has taken one of them, or if a record that
    /// was to go must stay.</summary>
    private bool TryCleanGroup(SegmentedLog log, IReadOnlyList<CleanableSegment> group, long mapEnd, KeyOffsetMap map,
        CompactionThrottle throttle, IErasure erasure, int cuts, ref CompactionResult result, CancellationToken cancellationToken)
    {
        var old = log.Segments.Where(segment => group.Any(g => g.BaseOffset == segment.BaseOffset)).ToList();
        if (old.Count != group.Count)
            return false;
        var lastOffsets = log.LastOffsetsOfProducers();
        using var cleaned = new CleanedSegment(ports.Cache, log.Directory, old[0].BaseOffset, log.Config.IndexIntervalBytes, ports.Now);
        _batches.Begin(erasure.EraseLimit);
        var changed = old.Count > 1;
        foreach (var segment in old)
            changed |= CleanSegment(log, segment, mapEnd, map, lastOffsets, cleaned, throttle, cancellationToken);
        if (!changed)
            return true;
        if (!TryErase(log, erasure, cuts))
            return false;
        var bytesBefore = old.Sum(segment => segment.Size);
        var segmentAfter = cleaned.Finish();
        // A dead-lettering may have begun during the scan.
        if (log.HasDeadLettersIn(old[0].BaseOffset, Math.Min(old[^1].NextOffset, mapEnd))
            || !log.Replace(old, segmentAfter, cuts, ports.Now))
        {
            segmentAfter.DeleteFiles();
            return false;
        }
        result = result with
        {
            SegmentsBefore = result.SegmentsBefore + old.Count,
            SegmentsAfter = result.SegmentsAfter + 1,
            BytesBefore = result.BytesBefore + bytesBefore,
            BytesAfter = result.BytesAfter + segmentAfter.Size,
        };
        return true;
    }

    // A replica may have begun to catch up during the scan.
    private bool TryErase(SegmentedLog log, IErasure erasure, int cuts)
    {
        var end = _batches.ErasedEnd;
        if (end == 0)
            return true;
        if (end > erasure.EraseLimit || !log.Erase(end, cuts))
            return false;
        erasure.BeforeErasing();
        return true;
    }

    /// <summary>Cleans one segment. Returns whether anything changed.</summary>
    private bool CleanSegment(SegmentedLog log, Segment segment, long mapEnd, KeyOffsetMap map, Dictionary<long, long> lastOffsets,
        CleanedSegment cleaned, CompactionThrottle throttle, CancellationToken cancellationToken)
    {
        var changed = false;
        using var lease = segment.Log.Rent();
        using var scanner = new LogScanner(lease.File, 0, segment.Size, segment.BaseOffset);
        var expected = segment.BaseOffset;
        for (; scanner.TryMoveNext(expected, allowGap: true, out var header, out var at); expected = header.NextOffset)
        {
            ThrowIfBeyond(segment, header, at);
            var start = cleaned.Buffer.Length;
            var fate = BatchFate.Kept;
            if (header.BaseOffset >= mapEnd)
            {
                cleaned.Buffer.Write(scanner.Batch.Span);
            }
            else
            {
                var isLast = header.HasProducer && lastOffsets.TryGetValue(header.ProducerId, out var last) && last == header.LastOffset;
                fate = _batches.Clean(scanner.Batch, header, map, mapEnd, isLast, ports.Now, log.Config.DeleteRetentionMs,
                    cleaned.Buffer);
            }
            changed |= fate != BatchFate.Kept;
            var written = cleaned.Buffer.Length - start;
            if (fate != BatchFate.Dropped)
                cleaned.Added(start);
            throttle.Wait(header.SizeInBytes + written, cancellationToken);
        }
        ThrowIfDamaged(segment, scanner, expected);
        return changed;
    }

    private static void ThrowIfDamaged(Segment segment, LogScanner scanner, long expected)
    {
        if (scanner.Fault is { } fault)
            throw new DamagedLogException(segment.Log.Path, scanner.Position, expected, fault);
    }

    // The CRC does not cover the base offset.
    private static void ThrowIfBeyond(Segment segment, in RecordBatchHeader header, long position)
    {
        if (header.NextOffset > segment.NextOffset)
            throw new DamagedLogException(segment.Log.Path, position, header.BaseOffset,
                $"the batch's offset is above {segment.NextOffset}, where the next segment begins");
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
