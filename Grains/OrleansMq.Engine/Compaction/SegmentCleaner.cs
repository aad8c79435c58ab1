using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>A cleaning of some segments.</summary>
/// <param name="Judge">Decides which records stay.</param>
/// <param name="Cuts"><see cref="SegmentedLog.Cuts"/> before anything of the log was read.</param>
/// <param name="Erasure">Limits which tombstones may go.</param>
/// <param name="Throttle">Bounds the bytes a second.</param>
/// <param name="MayReplace">Tells, just before segments are replaced, whether the records of a range of offsets may still go.</param>
/// <param name="Markers">Decides which markers of transactions stay, if the cleaning is a pass from the log's start; null: all do.</param>
internal sealed record Cleaning(RecordJudge Judge, int Cuts, IErasure Erasure, CompactionThrottle Throttle,
    Func<long, long, bool> MayReplace, MarkerJudge? Markers = null);

/// <summary>Rewrites neighbouring segments into one without the records that go, and puts it in their place. Not thread-safe.</summary>
internal sealed class SegmentCleaner(LogPorts ports)
{
    private readonly BatchCompactor _batches = new(ports.Codecs);

    /// <summary>Cleans some neighbouring segments into one.</summary>
    /// <param name="log">The log.</param>
    /// <param name="group">The segments.</param>
    /// <param name="cleaning">How they are cleaned.</param>
    /// <param name="result">Counts what is replaced.</param>
    /// <param name="cancellationToken">Stops between two batches; a segment that was not swapped in is deleted.</param>
    /// <returns>False if retention or a truncation has taken one of them, or if a record that was to go must stay.</returns>
    public bool TryClean(SegmentedLog log, IReadOnlyList<CleanableSegment> group, Cleaning cleaning, ref CompactionResult result,
        CancellationToken cancellationToken)
    {
        var old = log.Segments.Where(segment => group.Any(g => g.BaseOffset == segment.BaseOffset)).ToList();
        if (old.Count != group.Count)
            return false;
        var lastEntries = log.LastEntriesOfProducers();
        using var cleaned = new CleanedSegment(ports.Cache, log.Directory, old[0].BaseOffset, log.Config.IndexIntervalBytes, ports.Now);
        _batches.Begin(cleaning.Erasure.EraseLimit, cleaning.Markers);
        var changed = old.Count > 1;
        foreach (var segment in old)
            changed |= Clean(log, segment, cleaning, lastEntries, cleaned, cancellationToken);
        if (!changed)
            return true;
        if (!TryErase(log, cleaning))
            return false;
        // A reader may have read the records of the old segments.
        foreach (var segment in old)
            segment.Aborted?.AddAllTo(cleaned.Segment.BeginAborted(), cleaning.Markers is null ? null : cleaning.Markers.IsBare);
        var bytesBefore = old.Sum(segment => segment.Size);
        var segmentAfter = cleaned.Finish();
        if (!cleaning.MayReplace(old[0].BaseOffset, old[^1].NextOffset) || !log.Replace(old, segmentAfter, cleaning.Cuts, ports.Now))
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

    /// <exception cref="DamagedLogException">A scan has ended at a batch that is damaged.</exception>
    public static void ThrowIfDamaged(Segment segment, LogScanner scanner, long expected)
    {
        if (scanner.Fault is { } fault)
            throw new DamagedLogException(segment.Log.Path, scanner.Position, expected, fault);
    }

    // The CRC does not cover the base offset.
    /// <exception cref="DamagedLogException">A batch has offsets of the next segment.</exception>
    public static void ThrowIfBeyond(Segment segment, in RecordBatchHeader header, long position)
    {
        if (header.NextOffset > segment.NextOffset)
            throw new DamagedLogException(segment.Log.Path, position, header.BaseOffset,
                $"the batch's offset is above {segment.NextOffset}, where the next segment begins");
    }

    // A replica may have begun to catch up during the scan.
    private bool TryErase(SegmentedLog log, Cleaning cleaning)
    {
        var end = _batches.ErasedEnd;
        if (end == 0)
            return true;
        if (end > cleaning.Erasure.EraseLimit || !log.Erase(end, cleaning.Cuts))
            return false;
        // Durable with the swap.
        log.State.DeleteProducersBeforeErased(end);
        cleaning.Erasure.BeforeErasing();
        return true;
    }

    // Returns whether anything changed.
    private bool Clean(SegmentedLog log, Segment segment, Cleaning cleaning, Dictionary<long, LastEntries> lastEntries,
        CleanedSegment cleaned, CancellationToken cancellationToken)
    {
        var changed = false;
        using var lease = segment.Log.Rent();
        using var scanner = new LogScanner(lease.File, 0, segment.Size, segment.BaseOffset);
        var expected = segment.BaseOffset;
        for (; scanner.TryMoveNext(expected, allowGap: true, out var header, out var at); expected = header.NextOffset)
        {
            ThrowIfBeyond(segment, header, at);
            var start = cleaned.Buffer.Length;
            var last = header.HasProducer && lastEntries.TryGetValue(header.ProducerId, out var known) ? known : (LastEntries?)null;
            var fate = _batches.Clean(scanner.Batch, header, cleaning.Judge, last, ports.Now, log.Config.DeleteRetentionMs,
                cleaned.Buffer);
            changed |= fate != BatchFate.Kept;
            var written = cleaned.Buffer.Length - start;
            if (fate != BatchFate.Dropped)
                cleaned.Added(start);
            cleaning.Throttle.Wait(header.SizeInBytes + written, cancellationToken);
        }
        ThrowIfDamaged(segment, scanner, expected);
        return changed;
    }
}
