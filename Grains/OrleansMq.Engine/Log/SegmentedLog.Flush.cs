using OrleansMq.Producers;

namespace OrleansMq.Log;

// What is on stable storage, and what is written down about it.
internal sealed partial class SegmentedLog
{
    private long _securedOffset;
    // The flushed point as the checkpoint has it; behind the real one for as long as nobody wrote it down.
    private LogPosition _securedPoint;

    /// <summary>All before it is on stable storage, and so is the word that it is. Waits for no flush that is under way.</summary>
    public long SecuredOffset => Volatile.Read(ref _securedOffset);

    /// <summary>All before it is on stable storage.</summary>
    public LogPosition FlushedPoint
    {
        get
        {
            lock (_flushLock)
                return _flushedPoint;
        }
    }

    /// <summary>Where a restart after a crash would begin to read.</summary>
    public LogPosition RecoveryPoint
    {
        get
        {
            lock (_flushLock)
                return _recoveryPoint;
        }
    }

    /// <summary>Makes all before <paramref name="target"/> durable.</summary>
    /// <param name="target">At most the log's end.</param>
    /// <param name="writeDown">Whether that it is, is written down, too: recovery tells damage from a torn write by it. Who does not want
    /// it sees to it that it follows soon.</param>
    /// <remarks>After a throw nothing may be flushed again: the system may have dropped the bytes and forgotten that it did.</remarks>
    public void FlushTo(LogPosition target, bool writeDown)
    {
        lock (_flushLock)
        {
            FlushFiles(target);
            if (writeDown)
                WriteFlushedPoint();
        }
    }

    /// <summary>
    /// Makes all that is in the log now durable, and writes down that it is. For who does not hold <see cref="AppendLock"/>.
    /// </summary>
    /// <remarks>After a throw nothing may be flushed again, as above.</remarks>
    public void Flush()
    {
        LogPosition end;
        int cuts;
        lock (AppendLock)
            (end, cuts) = (End, _cuts);
        lock (_flushLock)
        {
            // A log that was cut meanwhile was flushed on the way.
            if (cuts != _cuts)
                return;
            FlushFiles(end);
            WriteFlushedPoint();
        }
    }

    /// <summary>
    /// Moves the recovery point to the log's end: everything flushed, indexes too, and a producer snapshot for it.
    /// </summary>
    /// <returns>Whether there was something to do.</returns>
    public bool MoveRecoveryPoint()
    {
        LogPosition target;
        PreparedSnapshot? snapshot;
        int cuts;
        var before = RecoveryPoint;
        lock (AppendLock)
        {
            (target, cuts) = (End, _cuts);
            if (target == before)
            {
                // Nothing was appended for a while: an idle partition holds no buffers.
                if (Active.Index.BufferBytes + Active.TimeIndex.BufferBytes > 0)
                    WriteIndexes();
                return false;
            }
            Active.CompleteIndexes();
            snapshot = State.PrepareSnapshot();
        }
        lock (_flushLock)
        {
            if (cuts != _cuts || target.Offset < _recoveryPoint.Offset)
                return false;
            MoveRecoveryPointTo(target, snapshot);
        }
        return true;
    }

    // Under the flush lock.
    private void MoveRecoveryPointTo(LogPosition target, PreparedSnapshot? snapshot)
    {
        FlushFiles(target);
        FlushIndexes(target);
        if (snapshot is not null)
            State.Save(snapshot);
        _recoveryPoint = target;
        _hasProducersAtRecoveryPoint = snapshot is not null;
        WriteCheckpoint();
        if (snapshot is not null)
            State.DeleteSnapshotsExcept(OffsetsOfSnapshotsToKeep(target));
    }

    // Of each segment's start (those that rolling took), and of the recovery point.
    private HashSet<long> OffsetsOfSnapshotsToKeep(LogPosition recoveryPoint) =>
        [.. _segments.Select(segment => segment.BaseOffset), recoveryPoint.Offset];

    private void FlushFiles(LogPosition target)
    {
        // At one offset there can be two places: the end of a segment, and the start of the next.
        if (target == _flushedPoint || target.Offset < _flushedPoint.Offset)
            return;
        foreach (var segment in _segments)
        {
            if (segment.IsDirty && segment.BaseOffset <= target.SegmentBase)
                segment.FlushLog();
        }
        if (_directoryDirty)
        {
            _directoryDirty = false;
            FlushOnce.FlushDirectory(_ports.Files, Directory);
        }
        _flushedPoint = target;
    }

    private void FlushIndexes(LogPosition target)
    {
        foreach (var segment in _segments)
        {
            if (segment.BaseOffset >= _recoveryPoint.SegmentBase && segment.BaseOffset <= target.SegmentBase)
                segment.FlushIndexes();
        }
    }

    // Under the flush lock, as the next.
    private void WriteFlushedPoint()
    {
        if (_securedPoint != _flushedPoint)
            WriteCheckpoint();
    }

    private void WriteCheckpoint() => WriteCheckpoint(_logStartOffset);

    private void WriteCheckpoint(long logStartOffset) => WriteCheckpoint(DescribeForCheckpoint() with { LogStartOffset = logStartOffset });

    private void WriteCheckpoint(in CheckpointState state)
    {
        using var lease = _checkpointFile.Rent();
        _checkpoint.Write(lease.File, state);
        _marks = state.Replica;
        NoteSecured(state.FlushedPoint);
    }

    private void NoteSecured(LogPosition point)
    {
        _securedPoint = point;
        Volatile.Write(ref _securedOffset, Math.Max(point.Offset, 0));
    }
}
