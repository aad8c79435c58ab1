using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>Moves a log's start, by retention or by delete-records, and removes the segments below it.</summary>
/// <remarks>
/// The log start offset is stored first. After a crash the next opening removes what is below it. One thread at a time moves the start.
/// </remarks>
internal sealed class LogRetention(LogParts log, LogFlusher flusher, SegmentRoller roller)
{
    private readonly SegmentList _segments = log.Segments;

    /// <summary>
    /// Moves the log start offset, durable when it returns; then removes the segments wholly below it. Never beyond the log's end.
    /// </summary>
    public void MoveLogStart(long offset, long now)
    {
        PrepareStart(offset);
        if (log.Points.TryMoveLogStart(offset))
            RemoveBelowLogStart(now);
    }

    /// <summary>As <see cref="MoveLogStart"/>, unless the log below the offset tells about its cursors or message ids.</summary>
    /// <returns>False if it does: nothing was moved.</returns>
    public bool TryMoveLogStart(long offset, long highWatermark, long now)
    {
        if (StartBound(highWatermark) < offset)
            return false;
        PrepareStart(offset);
        bool isMoved;
        // No transition comes between the decision and the move: it would need a record that is gone.
        lock (_segments.AppendLock)
        {
            if (log.State.StartBound(highWatermark) < offset)
                return false;
            isMoved = log.Points.TryMoveLogStart(offset);
        }
        if (isMoved)
            RemoveBelowLogStart(now);
        return true;
    }

    private void PrepareStart(long offset)
    {
        var segments = _segments.All;
        Invariant.Check(offset <= segments[^1].NextOffset, "The log start offset was moved past the log's end.");
        if (offset <= log.Points.LogStartOffset)
            return;
        // A crash must not lose what the log start offset refers to, or offsets would be assigned twice. And neither point may be in a
        // segment that is removed.
        var first = segments[SegmentList.Find(segments, offset)];
        if (log.Points.RecoveryPoint.SegmentBase < first.BaseOffset || log.Points.FlushedPoint.Offset < offset)
            flusher.MoveRecoveryPoint();
    }

    /// <summary>Removes the segments that <c>retention.ms</c>, <c>retention.bytes</c> and <c>retention.records</c> select, except those
    /// that tell about cursors or message ids.</summary>
    /// <param name="highWatermark">The high watermark.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <param name="settledBelow">Queues have settled all records below it, and others are kept; null: age, size and number
    /// decide.</param>
    /// <param name="wantedStart">Where the log would start without those.</param>
    /// <returns>The number of removed segments.</returns>
    public int Retain(long highWatermark, long now, long? settledBelow, out long wantedStart)
    {
        // An open transaction holds nothing: one that never ends would fill the volume.
        if (settledBelow is null)
            RollIfExpired(highWatermark, now);
        var segments = _segments.All;
        var (expired, oversize, surplus, settled) = Count(segments, highWatermark, now, settledBelow);
        var count = expired + oversize + surplus + settled;
        wantedStart = segments[count].BaseOffset;
        var bound = StartBound(highWatermark);
        while (count > 0 && segments[count].BaseOffset > bound)
            count--;
        if (count == 0)
            return 0;
        var start = segments[count].BaseOffset;
        log.Ports.EngineLog.Write(EngineLogLevel.Information,
            $"Retention removes {count} segments of '{log.Directory.Path}': {expired} are older than retention.ms, {oversize} more exceed "
                + $"retention.bytes, {surplus} more exceed retention.records, {settled} are settled. The log now starts at offset "
                + $"{start}.");
        return TryMoveLogStart(start, highWatermark, now) ? count : 0;
    }

    private (int Expired, int Oversize, int Surplus, int Settled) Count(Segment[] segments, long highWatermark, long now,
        long? settledBelow)
    {
        if (settledBelow is { } below)
            return (0, 0, 0, RetentionPolicy.CountSettled(FactsOf(segments), below, highWatermark));
        var facts = FactsWithTime(segments, now);
        var expired = RetentionPolicy.CountExpired(facts, log.Config, highWatermark, now);
        var oversize = RetentionPolicy.CountOversize(facts[expired..], log.Config, highWatermark);
        return (expired, oversize, RetentionPolicy.CountSurplus(facts[(expired + oversize)..], log.Config, highWatermark), 0);
    }

    /// <summary>Returns the highest offset at which the log may start: see <see cref="LogState.StartBound"/>.</summary>
    public long StartBound(long highWatermark)
    {
        lock (_segments.AppendLock)
            return log.State.StartBound(highWatermark);
    }

    /// <summary>Removes the segments wholly below the log start offset, and deletes files that are due.</summary>
    public void RemoveBelowLogStart(long now)
    {
        Invariant.Check(_segments.RemovalLock.IsHeldByCurrentThread || !_segments.AppendLock.IsHeldByCurrentThread,
            "The removal lock was taken under the append lock.");
        lock (_segments.RemovalLock)
        {
            Segment[] removed;
            lock (_segments.AppendLock)
            {
                var count = RetentionPolicy.CountBelow(FactsOf(_segments.All), log.Points.LogStartOffset);
                if (count == 0)
                    return;
                removed = _segments.RemoveFirst(count);
            }
            foreach (var segment in removed)
            {
                segment.Remove();
                log.DeleteLater(segment, now);
            }
        }
        // A restart needs the snapshot of the recovery point.
        log.State.DeleteSnapshotsBefore(Math.Min(log.Points.LogStartOffset, log.Points.RecoveryPoint.Offset));
        log.Removed.DeleteDue(now);
    }

    private void RollIfExpired(long highWatermark, long now)
    {
        if (!MustRoll(highWatermark, now))
            return;
        lock (_segments.AppendLock)
        {
            if (MustRoll(highWatermark, now))
                roller.Roll(now);
        }
    }

    private bool MustRoll(long highWatermark, long now) =>
        RetentionPolicy.MustRollActive(FactsWithTime(_segments.All, now), log.Config, highWatermark, now);

    private static SegmentFacts[] FactsOf(Segment[] segments) =>
        Array.ConvertAll(segments, segment => new SegmentFacts(segment.BaseOffset, segment.NextOffset, segment.Size, -1));

    // Timestamps are read from the files: only up to the first segment that is not expired, since none after it is removed by its age.
    private SegmentFacts[] FactsWithTime(Segment[] segments, long now)
    {
        var facts = FactsOf(segments);
        for (var i = 0; i < facts.Length; i++)
        {
            facts[i] = facts[i] with { MaxTimestamp = TimeOf(segments[i]) };
            if (!RetentionPolicy.IsExpired(facts[i], log.Config, now))
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
            return long.MaxValue; // Compaction has just replaced it. The next run of retention sees the replacement.
        }
    }
}
