using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Cuts a follower's log where the leader's differs, or empties it. Killed at any step it leaves a log that opens: as it was, or shorter by
/// some of what was to go (proved before each operation on the disk by TruncationTests).
/// </summary>
/// <remarks>
/// Used under the removal lock and the append lock. Also takes the lock of <see cref="IndexRepair"/> and the flush lock, so neither an
/// index rebuild nor a background flush runs meanwhile. A cleaning does go on, and scans files that are cut. Under the removal lock it
/// finds <see cref="SegmentList.Cuts"/> raised, and replaces nothing.
/// </remarks>
internal sealed class LogTruncation(LogParts log, IndexRepair repair, LogFlusher flusher, SegmentRoller roller)
{
    // More than are open at once: a segment and its indexes, a small file that is replaced, the directory.
    private const int Handles = 8;

    private readonly SegmentList _segments = log.Segments;

    /// <summary>Whether a cut has begun and did not end: what the log holds is not known. Otherwise a cut that failed has changed nothing,
    /// and may be tried again.</summary>
    public bool IsHalfDone { get; private set; }

    /// <summary>Whether a cut has begun and did not end for lack of handles, memory or space. Nothing is written any more, so the log's
    /// files are as a kill at that step leaves them: opened again it works.</summary>
    public bool IsInterrupted { get; private set; }

    /// <summary>
    /// Cuts the log so that nothing at or above an offset is left. The batch that holds the offset is removed as a whole. The rest is
    /// durable when it returns. The state follows.
    /// </summary>
    /// <param name="endOffset">At or above the log's end: nothing is done. Below its start: see <see cref="ResetTo"/>.</param>
    /// <exception cref="IOException">The disk failed: the log must be opened again before further use.</exception>
    public void TruncateTo(long endOffset)
    {
        CheckLocks();
        if (endOffset >= _segments.Active.NextOffset)
            return;
        if (endOffset < log.Points.LogStartOffset)
        {
            ResetTo(endOffset);
            return;
        }
        lock (repair.Lock)
            lock (log.Points.FlushLock)
                Interruptible(() => Cut(endOffset));
    }

    /// <summary>Empties the log: it then starts at an offset. Durable when it returns.</summary>
    /// <exception cref="IOException">The disk failed: the log must be opened again before further use.</exception>
    public void ResetTo(long logStartOffset)
    {
        CheckLocks();
        lock (repair.Lock)
            lock (log.Points.FlushLock)
                Interruptible(() => Empty(logStartOffset));
    }

    /// <summary>Makes an empty log in a directory without segments. Durable when it returns. Also the end of a <see cref="ResetTo"/> that
    /// a crash interrupted.</summary>
    public void StartEmptyAt(long offset)
    {
        log.State.DeleteSnapshotsAfter(-1);
        log.Compaction.CutTo(offset);
        log.Directory.Flush();
        var segment = log.Directory.SegmentAt(offset);
        segment.Create(log.Ports.Now);
        log.Directory.Flush();
        log.State.Reset(offset);
        _segments.Set([segment]);
        log.Points.StartAt(_segments.End);
    }

    private void CheckLocks() =>
        Invariant.Check(_segments.RemovalLock.IsHeldByCurrentThread && _segments.AppendLock.IsHeldByCurrentThread,
            "A log was cut without the locks that keep a compaction and the append loop out.");

    private void Interruptible(Action cut)
    {
        try
        {
            cut();
        }
        catch (Exception fault) when (IsHalfDone)
        {
            if (DiskFaults.Passes(fault))
            {
                log.Points.Freeze();
                IsInterrupted = true;
            }
            else
            {
                log.Points.NoteFailure(fault);
            }
            throw;
        }
        finally
        {
            if (!IsHalfDone)
                _segments.EndCut();
        }
    }

    private void Empty(long logStartOffset)
    {
        log.Ports.Cache.Probe(_segments.Active.Log.Path, Handles);
        _segments.BeginCut();
        IsHalfDone = true;
        log.Points.BeginEmptying(logStartOffset);
        var old = _segments.All;
        foreach (var segment in old)
            segment.Remove();
        StartEmptyAt(logStartOffset);
        foreach (var segment in old)
            log.DeleteLater(segment, log.Ports.Now);
        IsHalfDone = false;
    }

    private void Cut(long endOffset)
    {
        var index = SegmentList.Find(_segments.All, endOffset);
        var last = _segments.All[index];
        var cut = FindCut(last, endOffset);
        log.Ports.Cache.Probe(last.Log.Path, Handles);
        _segments.BeginCut();
        log.State.DeleteSnapshotsAfter(cut.Offset);
        log.Compaction.CutTo(cut.Offset);
        log.Points.Lower(cut, log.State.Known);
        IsHalfDone = true;
        RemoveAfter(index);
        var endOfBatches = CutSegment(last, cut);
        log.State.Rebuild(_segments.All, cut, log.State.Known, log.Ports.Now);
        // After a compaction the last batches before the cut may be missing. A log end that no batch tells is a segment's base offset.
        if (endOfBatches < cut.Offset && cut.Offset > last.BaseOffset)
            roller.Roll(log.Ports.Now);
        _segments.Active.CompleteIndexes();
        log.Directory.Flush();
        var snapshot = log.State.PrepareSnapshot();
        snapshot.Dedupe?.Encode(_segments.AppendLock);
        flusher.MoveRecoveryPointTo(_segments.End, snapshot);
        IsHalfDone = false;
    }

    private LogPosition FindCut(Segment segment, long endOffset)
    {
        var found = segment.FindBatch(endOffset, useIndex: true, log.Gaps.IsGapless, out var position, out var batch);
        if (found == BatchSearch.IndexWrong)
            found = segment.FindBatch(endOffset, useIndex: false, log.Gaps.IsGapless, out position, out batch);
        return found == BatchSearch.Found
            ? new LogPosition(Math.Min(batch.BaseOffset, endOffset), segment.BaseOffset, position)
            : new LogPosition(endOffset, segment.BaseOffset, segment.Size);
    }

    // The last one first, each durably before the next: a crash at any time leaves no gap.
    private void RemoveAfter(int index)
    {
        for (var i = _segments.All.Length - 1; i > index; i--)
        {
            var segment = _segments.All[i];
            segment.Remove();
            log.Directory.Flush();
            _segments.KeepFirst(i);
            log.DeleteLater(segment, log.Ports.Now);
        }
    }

    /// <summary>Returns the offset after the segment's last batch.</summary>
    private long CutSegment(Segment segment, LogPosition cut)
    {
        using (var lease = segment.Log.Rent())
            lease.File.SetLength(cut.Position);
        segment.WasCut();
        segment.Found(cut.Position, cut.Offset, flushed: false);
        segment.FlushLog();
        segment.Aborted?.CutTo(cut.Offset);
        IndexRebuild.CutTail(log.Ports.Files, segment, cut.Offset, cut.Position, log.Config.IndexIntervalBytes, afterCrash: true);
        var end = segment.NoteTail();
        segment.GuessCreation(log.Ports.Now);
        return end;
    }
}
