using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

// What goes: by retention, by delete-records, and the files themselves a little later.
internal sealed partial class SegmentedLog
{
    private readonly Queue<(Segment Segment, long Due)> _dying = new();

    /// <summary>
    /// Moves the log start offset, durable when it returns; then removes the segments wholly below it. Never beyond the log's end.
    /// </summary>
    public void MoveLogStart(long offset, long now)
    {
        Invariant.Check(offset <= LogEndOffset, "The log start offset was moved past the log's end.");
        if (offset <= LogStartOffset)
            return;
        // What the log start offset speaks of must not be lost by a crash, or offsets would be given out twice; and neither point may lie
        // in a
        // segment that goes.
        var first = _segments[FindSegment(_segments, offset)];
        if (RecoveryPoint.SegmentBase < first.BaseOffset || FlushedPoint.Offset < offset)
            MoveRecoveryPoint();
        lock (_flushLock)
        {
            if (offset <= _logStartOffset)
                return;
            WriteCheckpoint(offset);
            Volatile.Write(ref _logStartOffset, offset);
            // Into both slots: a slot that is damaged later must not bring back what was deleted.
            WriteCheckpoint();
        }
        RemoveBelowLogStart(now);
    }

    /// <summary>
    /// Drops what <c>retention.ms</c> and <c>retention.bytes</c> say.
    /// </summary>
    /// <returns>How many segments went.</returns>
    public int Retain(long highWatermark, long now)
    {
        RollIfExpired(highWatermark, now);
        var segments = _segments;
        var facts = FactsWithTime(segments, now);
        var count = RetentionPolicy.CountExpired(facts, _config, highWatermark, now);
        var oversize = RetentionPolicy.CountOversize(facts[count..], _config, highWatermark);
        var remaining = count + oversize;
        if (remaining == 0)
            return 0;
        _ports.EngineLog.Write(EngineLogLevel.Information,
            $"'{Directory}': {count} segments are older than retention.ms, {oversize} more exceed retention.bytes; the log starts at "
                + $"offset {segments[remaining].BaseOffset} now.");
        MoveLogStart(segments[remaining].BaseOffset, now);
        return remaining;
    }

    /// <summary>Deletes the files that were to stay for <c>file.delete.delay.ms</c>.</summary>
    public void DeleteDying(long now, bool all = false)
    {
        while (true)
        {
            Segment segment;
            lock (_dying)
            {
                if (_dying.Count == 0 || (!all && _dying.Peek().Due > now))
                    return;
                segment = _dying.Dequeue().Segment;
            }
            segment.DeleteFiles();
        }
    }

    private void RollIfExpired(long highWatermark, long now)
    {
        if (!RetentionPolicy.MustRollActive(FactsWithTime(_segments, now), _config, highWatermark, now))
            return;
        lock (AppendLock)
        {
            if (RetentionPolicy.MustRollActive(FactsWithTime(_segments, now), _config, highWatermark, now))
                Roll(now);
        }
    }

    private void RemoveBelowLogStart() => RemoveBelowLogStart(_ports.Now);

    private void RemoveBelowLogStart(long now)
    {
        lock (_removalLock)
        {
            Segment[] gone;
            lock (AppendLock)
            {
                var segments = _segments;
                var count = RetentionPolicy.CountBelow(FactsOf(segments), LogStartOffset);
                if (count == 0)
                    return;
                gone = segments[..count];
                _segments = segments[count..];
            }
            foreach (var segment in gone)
            {
                segment.Remove();
                DieLater(segment, now);
            }
        }
        State.DeleteSnapshotsBefore(Math.Min(LogStartOffset, RecoveryPoint.Offset)); // A restart needs the one of the recovery point.
        DeleteDying(now);
    }

    private void DieLater(Segment segment, long now)
    {
        lock (_dying)
            _dying.Enqueue((segment, now + _config.FileDeleteDelayMs));
    }

    private static SegmentFacts[] FactsOf(Segment[] segments) =>
        Array.ConvertAll(segments, segment => new SegmentFacts(segment.BaseOffset, segment.NextOffset, segment.Size, -1));

    /// <summary>
    /// The same with timestamps, which are read from the files: only up to the first segment that is not expired, behind which none goes
    /// by its age.
    /// </summary>
    private SegmentFacts[] FactsWithTime(Segment[] segments, long now)
    {
        var facts = FactsOf(segments);
        for (var i = 0; i < facts.Length; i++)
        {
            facts[i] = facts[i] with { MaxTimestamp = TimeOf(segments[i]) };
            if (!RetentionPolicy.IsExpired(facts[i], _config, now))
                break;
        }
        return facts;
    }

    private static long TimeOf(Segment segment)
    {
        try
        {
            return segment.MaxTimestamp;
        }
        catch (FileNotFoundException) when (segment.IsRemoved)
        {
            return long.MaxValue; // Compaction has just put another in its place: that one's turn is the next time.
        }
    }
}
