using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

// After a crash: every batch from the recovery point on is checked, the indexes' tails are rebuilt, and a torn tail is cut.
internal sealed partial class SegmentedLog
{
    private void Recover(LogPosition start, bool allowGaps)
    {
        var now = _ports.Now;
        var expected = start.Offset;
        var segments = _segments;
        var first = Array.FindIndex(segments, segment => segment.BaseOffset == start.SegmentBase);
        var from = start.Position;
        for (var i = first; i < segments.Length; i++, from = 0)
        {
            if (i > first && segments[i].BaseOffset != expected && !(allowGaps && segments[i].BaseOffset > expected))
            {
                CutBefore(i, expected, $"the next segment begins at offset {segments[i].BaseOffset}");
                break;
            }
            expected = Math.Max(expected, segments[i].BaseOffset);
            var fault = RecoverSegment(segments[i], from, ref expected, allowGaps, now);
            if (fault is null)
                continue;
            CutAt(i, expected, fault);
            break;
        }
        FinishRecovery(now);
    }

    /// <summary>Checks a segment from a position on; returns what is wrong where it stopped, null at the end.</summary>
    private string? RecoverSegment(Segment segment, long from, ref long expected, bool allowGaps, long now)
    {
        var size = segment.Size;
        IndexRebuild.CutTail(_ports.Files, segment, expected, from, _config.IndexIntervalBytes, afterCrash: true);
        segment.Found(from, expected, flushed: false);
        using var lease = segment.Log.Rent();
        using var scanner = new LogScanner(lease.File, from, size);
        while (scanner.TryMoveNext(expected, allowGaps, out var header, out var at))
        {
            State.Apply(header, now);
            segment.Appended(header, at, _config.IndexIntervalBytes);
            expected = header.NextOffset;
        }
        segment.CreatedAt = GuessCreation(segment);
        if (scanner.Fault is { } fault
            && RecoveryDecision.ForBadBatch(segment.BaseOffset, scanner.Position, _flushedPoint) == DamageOutcome.Offline)
            throw new DamagedLogException(segment.Log.Path, scanner.Position, expected, fault);
        if (scanner.Fault is not null && !scanner.IsTorn)
            Opening = Opening with { CutMoreThanLastWrite = true };
        return scanner.Fault;
    }

    // The segment's Size is where the good batches end; the file may go on. Later segments go first: a crash between the two steps leaves
    // a log that is cut again at the same place.
    private void CutAt(int index, long offset, string fault)
    {
        var segment = _segments[index];
        RefuseToGuess(index, segment, segment.Size, offset, fault);
        RemoveAfter(index, offset);
        var dropped = segment.Log.GetLength() - segment.Size;
        _ports.EngineLog.Write(EngineLogLevel.Warning,
            $"Cut {Bytes(dropped)} bytes off '{segment.Log.Path}' at byte {segment.Size} (offset {offset}), of which "
            + $"nothing says that they were on stable storage: {fault}.");
        segment.WasCut();
        using var lease = segment.Log.Rent();
        lease.File.SetLength(segment.Size);
    }

    private void CutBefore(int index, long offset, string fault)
    {
        var (previous, next) = (_segments[index - 1], _segments[index]);
        if (_flushedPoint.IsKnown && next.BaseOffset <= _flushedPoint.SegmentBase)
            throw new DamagedLogException(previous.Log.Path, previous.Size, offset, fault);
        RefuseToGuess(index - 1, previous, previous.Size, offset, fault);
        RemoveAfter(index - 1, offset);
    }

    // Without the flushed point a torn tail cannot be told from damage. A crash does not lose the checkpoint, so there was damage already;
    // and
    // whole segments are more than a crash would tear.
    private void RefuseToGuess(int index, Segment segment, long position, long offset, string fault)
    {
        if (!_flushedPoint.IsKnown && index < _segments.Length - 1)
            throw new DamagedLogException(segment.Log.Path, position, offset,
                $"{fault}, more segments follow, and '{_checkpoint.Path}' is lost");
    }

    private void RemoveAfter(int index, long offset)
    {
        for (var i = _segments.Length - 1; i > index; i--)
        {
            var later = _segments[i];
            _ports.EngineLog.Write(EngineLogLevel.Warning,
                $"Removed '{later.Log.Path}' ({Bytes(later.Log.GetLength())} bytes): the log was cut at offset {offset} before it.");
            Opening = Opening with { CutMoreThanLastWrite = true };
            later.DeleteFiles();
            _directoryDirty = true;
        }
        _segments = _segments[..(index + 1)];
    }

    /// <summary>What was found is the log from now on: it is made durable, so that the next restart need not read it again.</summary>
    private void FinishRecovery(long now)
    {
        foreach (var segment in _segments[..^1])
        {
            segment.CompleteIndexes();
            segment.Index.ReleaseBuffer();
            segment.TimeIndex.ReleaseBuffer();
        }
        if (Active.Size == 0)
            Active.CreatedAt = now;
        State.DeleteSnapshotsAfter(LogEndOffset);
        MoveRecoveryPoint();
    }
}
