using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>Makes a log durable, and moves its <see cref="DurablePoints"/>.</summary>
/// <remarks>
/// A background flush has two phases. Under the append lock it takes the log's end. Under the flush lock it makes all before that end
/// durable, while appends go on. A truncation may come in between. It raises <see cref="SegmentList.Cuts"/>, and a flush that was prepared
/// before gives up.
/// <para>A failed flush is final: nothing of the log is flushed again, also not by a caller that waited for a lock meanwhile (see
/// <see cref="DurablePoints.NoteFailure"/>). A fault that passes comes before any flush was tried.</para>
/// </remarks>
internal sealed class LogFlusher(LogParts log)
{
    private readonly SegmentList _segments = log.Segments;
    private readonly DurablePoints _points = log.Points;
    private readonly LogWriteback _writeback = new();

    /// <summary>Makes all before a position durable.</summary>
    /// <param name="target">At most the log's end.</param>
    /// <param name="secure">Whether to store the flushed point, too: recovery tells damage from a torn write by it. Otherwise the caller
    /// ensures that it follows soon.</param>
    public void FlushTo(LogPosition target, bool secure)
    {
        lock (_points.FlushLock)
        {
            _points.ThrowIfFrozen();
            FlushFiles(target);
            if (secure)
                _points.Secure();
        }
    }

    /// <summary>Makes the whole log durable, and stores the flushed point. A caller that holds the append lock stops appends
    /// meanwhile.</summary>
    public void Flush()
    {
        LogPosition end;
        int cuts;
        lock (_segments.AppendLock)
            (end, cuts) = (_segments.End, _segments.Cuts);
        lock (_points.FlushLock)
        {
            _points.ThrowIfFrozen();
            // A truncation has flushed the log.
            if (_segments.WasCutSince(cuts))
                return;
            FlushFiles(end);
            _points.Secure();
        }
    }

    /// <summary>
    /// Moves the recovery point to the log's end: log and indexes are durable, and the state has snapshots. A caller that holds the
    /// append lock stops appends meanwhile. An idle log releases its index buffers.
    /// </summary>
    /// <returns>False if the recovery point was there already.</returns>
    public bool MoveRecoveryPoint()
    {
        LogPosition target;
        StateSnapshot snapshot;
        int cuts;
        var before = _points.RecoveryPoint;
        lock (_segments.AppendLock)
        {
            (target, cuts) = (_segments.End, _segments.Cuts);
            var active = _segments.Active;
            if (target == before)
            {
                if (active.IndexBufferBytes > 0)
                {
                    active.CompleteIndexes();
                    active.ReleaseIndexBuffers();
                }
                return false;
            }
            active.CompleteIndexes();
            snapshot = log.State.PrepareSnapshot();
        }
        snapshot.Dedupe?.Encode(_segments.AppendLock);
        lock (_points.FlushLock)
        {
            _points.ThrowIfFrozen();
            if (_segments.WasCutSince(cuts) || target.Offset < _points.RecoveryPoint.Offset)
                return false;
            MoveRecoveryPointTo(target, snapshot);
        }
        return true;
    }

    /// <summary>Moves the recovery point to a position. Under the flush lock.</summary>
    /// <param name="target">At most the log's end; the indexes up to there are written.</param>
    /// <param name="snapshot">The state at that position.</param>
    public void MoveRecoveryPointTo(LogPosition target, StateSnapshot snapshot)
    {
        FlushFiles(target);
        try
        {
            FlushIndexes(target);
            log.State.Save(snapshot);
        }
        catch (Exception fault) when (!DiskFaults.Passes(fault))
        {
            _points.NoteFailure(fault);
            throw;
        }
        _points.MoveRecoveryPoint(target, snapshot.Kinds, snapshot.HasTransactions);
        if (snapshot.Kinds != StateKinds.None)
            log.State.DeleteSnapshotsExcept(OffsetsOfSnapshotsToKeep(target));
    }

    // Those at a segment's start, taken by a roll, and the one of the recovery point.
    private HashSet<long> OffsetsOfSnapshotsToKeep(LogPosition recoveryPoint) =>
        [.. _segments.All.Select(segment => segment.BaseOffset), recoveryPoint.Offset];

    /// <inheritdoc cref="LogWriteback.Advance"/>
    /// <remarks>A flush that runs beside it could succeed for the bytes whose fault is reported here. So it waits, as it would for the
    /// disk.</remarks>
    public void WriteBack(bool wait)
    {
        lock (_points.FlushLock)
        {
            _points.ThrowIfFrozen();
            try
            {
                _writeback.Advance(_segments.Active, wait);
            }
            // A volume that is full only now has dropped what it had accepted, as in a flush.
            catch (Exception fault) when (!DiskFaults.IsNoHandle(fault))
            {
                _points.NoteFailure(fault);
                throw;
            }
        }
    }

    private void FlushFiles(LogPosition target)
    {
        if (_points.Covers(target))
            return;
        try
        {
            foreach (var segment in _segments.All)
            {
                if (segment.IsDirty && segment.BaseOffset <= target.SegmentBase)
                    TryFlush(segment, static segment => segment.FlushLog());
            }
            log.Directory.FlushIfChanged();
        }
        catch (Exception fault) when (!DiskFaults.Passes(fault))
        {
            _points.NoteFailure(fault);
            throw;
        }
        _points.NoteFlushed(target);
    }

    private void FlushIndexes(LogPosition target)
    {
        var indexedTo = _points.RecoveryPoint.SegmentBase;
        var hasNewFile = false;
        foreach (var segment in _segments.All)
        {
            if (segment.BaseOffset < indexedTo || segment.BaseOffset > target.SegmentBase)
                continue;
            if (log.State.Transactions.IsUsed)
                segment.BeginAborted().EnsureFile();
            TryFlush(segment, segment => hasNewFile |= segment.FlushIndexes());
        }
        if (hasNewFile)
            log.Directory.Flush();
    }

    private static void TryFlush(Segment segment, Action<Segment> flush)
    {
        try
        {
            flush(segment);
        }
        catch (FileNotFoundException) when (segment.IsRemoved)
        {
            // It has left the log meanwhile, and its files are deleted.
        }
    }
}
