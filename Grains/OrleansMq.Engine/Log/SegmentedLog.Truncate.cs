namespace OrleansMq.Log;

// What a follower cuts off because its leader does not have it. Killed at any step it leaves a log that opens: as it was, or shorter by
// some of what was to go (proved before each operation on the disk by TruncationTests).
internal sealed partial class SegmentedLog
{
    // Raised by each cut: a flush that was prepared before it speaks of bytes that are no more. Changed under both locks.
    private int _cuts;
    private bool _isGapNoted;

    /// <summary>Which segments leave the log: taken before <see cref="AppendLock"/> by who is going to cut.</summary>
    public Lock RemovalLock => _removalLock;

    /// <summary>
    /// Cuts the log so that nothing at or above an offset is left; the batch that holds the offset goes as a whole. What is left is durable
    /// when it returns. Under <see cref="RemovalLock"/> and <see cref="AppendLock"/>. The state follows.
    /// </summary>
    /// <param name="endOffset">At or above the log's end: nothing to do. Below its start: see <see cref="ResetTo"/>.</param>
    /// <exception cref="IOException">The disk failed: the log is not to be used any more before it was opened again.</exception>
    public void TruncateTo(long endOffset)
    {
        if (endOffset >= LogEndOffset)
            return;
        if (endOffset < LogStartOffset)
        {
            ResetTo(endOffset);
            return;
        }
        lock (_rebuildLock)
            lock (_flushLock)
            {
                _cuts++;
                var index = FindSegment(_segments, endOffset);
                var place = FindCut(_segments[index], endOffset);
                State.DeleteSnapshotsAfter(place.Offset);
                CompactionCheckpoint.TruncateFromEnd(_ports.Files, Directory, place.Offset);
                LowerPoints(place);
                RemoveFrom(index + 1);
                var tail = CutSegment(_segments[index], place);
                State.Rebuild(_segments, place, State.IsEmpty, _ports.Now);
                // After a compaction the last batches before the cut may be gone: an end that no batch says is a segment's start.
                if (tail < place.Offset && place.Offset > _segments[index].BaseOffset)
                    Roll(_ports.Now);
                Active.CompleteIndexes();
                FlushOnce.FlushDirectory(_ports.Files, Directory);
                _directoryDirty = false;
                MoveRecoveryPointTo(End, State.PrepareSnapshot());
            }
    }

    /// <summary>
    /// Empties the log; it starts at an offset from then on. Durable when it returns. Under <see cref="RemovalLock"/> and
    /// <see cref="AppendLock"/>.
    /// </summary>
    /// <exception cref="IOException">The disk failed: the log is not to be used any more before it was opened again.</exception>
    public void ResetTo(long logStartOffset)
    {
        lock (_rebuildLock)
            lock (_flushLock)
            {
                _cuts++;
                var intent = new CheckpointState(logStartOffset, LogPosition.None, LogPosition.None, HasProducers: false,
                    IsBeingEmptied: true,
                    DescribeForCheckpoint().Replica);
                // Into both slots: a slot that is damaged later must not bring back a log that has half its files.
                WriteCheckpoint(intent);
                WriteCheckpoint(intent);
                var old = _segments;
                foreach (var segment in old)
                    segment.Remove();
                BeginAt(logStartOffset);
                foreach (var segment in old)
                    DieLater(segment, _ports.Now);
            }
    }

    /// <summary>
    /// Moves the log's end up without a record: compaction left nothing of what the leader held there. Under <see cref="AppendLock"/>.
    /// </summary>
    public void AdvanceTo(long endOffset)
    {
        NoteGap();
        // An end that no batch says is a segment's start.
        Active.Found(Active.Size, endOffset, flushed: false);
        Roll(_ports.Now);
    }

    /// <summary>Offsets do not follow each other without gaps from here on: durable before the first gap, or a restart would take it for a
    /// loss. Also where the topic is compacted: a restart may not know that yet.</summary>
    public void NoteGap()
    {
        if (_isGapNoted)
            return;
        if (!CompactionCheckpoint.Exists(_ports.Files, Directory))
            CompactionCheckpoint.Write(_ports.Files, Directory, LogStartOffset);
        (_isGapNoted, _mayHaveGaps) = (true, true);
    }

    // The last process died while it emptied the log.
    private void FinishEmptying(List<long> bases, long logStartOffset)
    {
        foreach (var segmentBase in bases)
            new Segment(_ports.Cache, Directory, segmentBase).DeleteFiles();
        WasEmptied = true;
        BeginAt(logStartOffset);
    }

    /// <summary>Whether opening it completed a <see cref="ResetTo"/>: what is known of its epochs is of a log that is no more.</summary>
    public bool WasEmptied { get; private set; }

    private void BeginAt(long offset)
    {
        State.DeleteSnapshotsAfter(-1);
        CompactionCheckpoint.TruncateFromEnd(_ports.Files, Directory, offset);
        FlushOnce.FlushDirectory(_ports.Files, Directory);
        var segment = new Segment(_ports.Cache, Directory, offset);
        segment.Create(_ports.Now);
        FlushOnce.FlushDirectory(_ports.Files, Directory);
        State.Reset(offset);
        _segments = [segment];
        _directoryDirty = false;
        _recoveryPoint = _flushedPoint = End;
        _hasProducersAtRecoveryPoint = false;
        Volatile.Write(ref _logStartOffset, offset);
        WriteCheckpoint();
        WriteCheckpoint();
    }

    private LogPosition FindCut(Segment segment, long endOffset)
    {
        var found = segment.FindBatch(endOffset, useIndex: true, IsGapless, out var position, out var batch);
        if (found == BatchSearch.IndexWrong)
            found = segment.FindBatch(endOffset, useIndex: false, IsGapless, out position, out batch);
        return found == BatchSearch.Found
            ? new LogPosition(Math.Min(batch.BaseOffset, endOffset), segment.BaseOffset, position)
            : new LogPosition(endOffset, segment.BaseOffset, segment.Size);
    }

    // Before any byte goes: what is missing below the flushed point is damage.
    private void LowerPoints(LogPosition place)
    {
        if (IsBehind(_flushedPoint, place))
            _flushedPoint = place;
        if (IsBehind(_recoveryPoint, place))
        {
            // Not the place itself: what the time index says of the batches before it is complete only at the end.
            _recoveryPoint = new LogPosition(place.SegmentBase, place.SegmentBase, 0);
            _hasProducersAtRecoveryPoint |= !State.IsEmpty;
        }
        WriteCheckpoint();
        WriteCheckpoint();
    }

    private static bool IsBehind(LogPosition point, LogPosition place) =>
        point.SegmentBase > place.SegmentBase || (point.SegmentBase == place.SegmentBase && point.Position > place.Position);

    // The last first, one durably after the other: whenever the process dies, what is left has no gap.
    private void RemoveFrom(int index)
    {
        for (var i = _segments.Length - 1; i >= index; i--)
        {
            var segment = _segments[i];
            segment.Remove();
            FlushOnce.FlushDirectory(_ports.Files, Directory);
            _segments = _segments[..i];
            DieLater(segment, _ports.Now);
        }
    }

    /// <summary>Returns the offset after the segment's last batch.</summary>
    private long CutSegment(Segment segment, LogPosition place)
    {
        using (var lease = segment.Log.Rent())
            lease.File.SetLength(place.Position);
        segment.WasCut();
        segment.Found(place.Position, place.Offset, flushed: false);
        segment.FlushLog();
        IndexRebuild.CutTail(_ports.Files, segment, place.Offset, place.Position, _config.IndexIntervalBytes, afterCrash: true);
        var end = segment.NoteTail();
        segment.CreatedAt = GuessCreation(segment);
        return end;
    }
}
