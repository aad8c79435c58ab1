using System.Globalization;
using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>
/// Recovers a log after a crash: checks every batch from a position on, rebuilds the tails of the indexes, and cuts a torn tail. Damage
/// below the flushed point is never cut (see <see cref="RecoveryDecision"/>).
/// </summary>
/// <remarks>
/// A cut is durable when <see cref="Run"/> returns. Otherwise a power cut could bring back what was cut, behind batches that have its
/// offsets since then (proved by LogRecoveryTests).
/// One scan, used once. <c>_expected</c> is the offset after the last good batch. The caller makes the result durable, so that the next
/// restart need not read it again.
/// </remarks>
/// <param name="log">The log's parts, filled from the directory.</param>
/// <param name="start">Where to begin: all before it was checked and indexed earlier.</param>
/// <param name="allowGaps">Whether offsets may be missing.</param>
internal sealed class LogRecovery(LogParts log, LogPosition start, bool allowGaps)
{
    private readonly SegmentList _segments = log.Segments;
    private readonly LogPosition _flushedPoint = log.Points.FlushedPoint;
    private readonly long _now = log.Ports.Now;
    private long _expected = start.Offset;

    /// <summary>Whether more was cut than an unfinished last write.</summary>
    public bool CutMoreThanLastWrite { get; private set; }

    /// <summary>Checks and cuts the log.</summary>
    /// <exception cref="DamagedLogException">Bytes that were flushed are missing or changed; the log was not cut.</exception>
    public void Run()
    {
        ScanAndCut();
        foreach (var segment in _segments.All[..^1])
        {
            segment.CompleteIndexes();
            segment.ReleaseIndexBuffers();
        }
        if (_segments.Active.Size == 0)
            _segments.Active.CreatedAt = _now;
        log.State.DeleteSnapshotsAfter(_segments.Active.NextOffset);
    }

    private void ScanAndCut()
    {
        var segments = _segments.All;
        var first = Array.FindIndex(segments, segment => segment.BaseOffset == start.SegmentBase);
        for (var i = first; i < segments.Length; i++)
        {
            var segmentBase = segments[i].BaseOffset;
            if (i > first && segmentBase != _expected && !(allowGaps && segmentBase > _expected))
            {
                CutBefore(i, $"the next segment begins at offset {segmentBase}");
                return;
            }
            _expected = Math.Max(_expected, segmentBase);
            if (Scan(segments[i], i == first ? start.Position : 0) is { } fault)
            {
                CutAt(i, fault);
                return;
            }
        }
    }

    /// <summary>Checks a segment from a position on. Returns the fault at which it stopped; null at the end.</summary>
    private string? Scan(Segment segment, long from)
    {
        var size = segment.Size;
        var indexIntervalBytes = log.Config.IndexIntervalBytes;
        IndexRebuild.CutTail(log.Ports.Files, segment, _expected, from, indexIntervalBytes, afterCrash: true);
        segment.Aborted?.CutTo(_expected);
        segment.Found(from, _expected, flushed: false);
        using var lease = segment.Log.Rent();
        using var scanner = new LogScanner(lease.File, from, size, segment.BaseOffset);
        while (scanner.TryMoveNext(_expected, allowGaps, out var header, out var at))
        {
            log.State.Apply(header, scanner.Batch.Span, _now);
            log.State.NoteMarker(header, segment);
            segment.Appended(header, at, indexIntervalBytes);
            _expected = header.NextOffset;
        }
        segment.GuessCreation(_now);
        if (scanner.Fault is not { } fault)
            return null;
        if (RecoveryDecision.ForBadBatch(segment.BaseOffset, scanner.Position, _flushedPoint) == DamageOutcome.Offline)
            throw new DamagedLogException(segment.Log.Path, scanner.Position, _expected, fault);
        if (!scanner.IsTorn)
            CutMoreThanLastWrite = true;
        return fault;
    }

    // The segment's Size is where the good batches end; the file may be longer. Later segments are removed first: after a crash between the
    // two steps the next recovery cuts at the same place.
    private void CutAt(int index, string fault)
    {
        var segment = _segments.All[index];
        ThrowIfAmbiguous(index, fault);
        RemoveAfter(index);
        var dropped = segment.Log.GetLength() - segment.Size;
        log.Ports.EngineLog.Write(EngineLogLevel.Warning,
            $"Cut {Count(dropped)} bytes off '{segment.Log.Path}' at byte {segment.Size} (offset {_expected}), which were not known to be "
                + $"durable: {fault}.");
        segment.WasCut();
        using (var lease = segment.Log.Rent())
            lease.File.SetLength(segment.Size);
        segment.FlushLog();
    }

    private void CutBefore(int index, string fault)
    {
        var (previous, next) = (_segments.All[index - 1], _segments.All[index]);
        if (_flushedPoint.IsKnown && next.BaseOffset <= _flushedPoint.SegmentBase)
            throw new DamagedLogException(previous.Log.Path, previous.Size, _expected, fault);
        ThrowIfAmbiguous(index - 1, fault);
        RemoveAfter(index - 1);
    }

    // Without the flushed point a torn tail cannot be distinguished from damage. A crash does not lose the checkpoint, so there was damage
    // already; and a crash tears less than whole segments.
    private void ThrowIfAmbiguous(int index, string fault)
    {
        if (_flushedPoint.IsKnown || index == _segments.All.Length - 1)
            return;
        var segment = _segments.All[index];
        throw new DamagedLogException(segment.Log.Path, segment.Size, _expected,
            $"{fault}, more segments follow, and '{log.Points.Path}' is lost");
    }

    // The last one first, each durably before the next: a crash at any time leaves no gap.
    private void RemoveAfter(int index)
    {
        var segments = _segments.All;
        for (var i = segments.Length - 1; i > index; i--)
        {
            log.Ports.EngineLog.Write(EngineLogLevel.Warning, $"Removed '{segments[i].Log.Path}' "
                + $"({Count(segments[i].Log.GetLength())} bytes): the log was cut before it, at offset {_expected}.");
            CutMoreThanLastWrite = true;
            segments[i].DeleteFiles();
            log.Directory.Flush();
        }
        _segments.KeepFirst(index + 1);
    }

    private static string Count(long bytes) => bytes.ToString("N0", CultureInfo.InvariantCulture);
}
