using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>The state of a log when it was opened.</summary>
/// <param name="IsClean">Whether the last process closed it cleanly.</param>
/// <param name="CutMoreThanLastWrite">Whether recovery cut more than an unfinished last write.</param>
/// <param name="WasEmptied">Whether opening completed a <see cref="SegmentedLog.ResetTo"/>: stored leader epochs are those of the earlier
/// log.</param>
internal readonly record struct OpeningReport(bool IsClean, bool CutMoreThanLastWrite, bool WasEmptied);

/// <summary>
/// Opens the log in a directory, or begins one there. After a clean stop it reads only sizes and the last index interval. Otherwise
/// <see cref="LogRecovery"/> scans from the recovery point on.
/// </summary>
/// <remarks>Used once, before the log is shared: it takes no lock of its own.</remarks>
internal sealed class LogOpening(LogParts log, LogFlusher flusher, LogRetention retention, LogTruncation truncation)
{
    private readonly LogPorts _ports = log.Ports;
    private readonly LogDirectory _directory = log.Directory;

    /// <summary>Fills the log's parts from the directory.</summary>
    /// <param name="clean">Whether the broker was closed cleanly: then nothing before the recovery point needs to be read.</param>
    /// <exception cref="DamagedLogException">Bytes that were flushed are missing or changed; nothing was changed.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public OpeningReport Run(bool clean)
    {
        SegmentSwap.Recover(_ports.Files, _directory.Path, _ports.EngineLog);
        log.Compaction.Load();
        log.Gaps.Load();
        LogLeftovers.Remove(_ports.Files, _directory.Path, _ports.EngineLog);
        var bases = LogLeftovers.FindSegments(_ports.Files, _directory.Path, out var aborted);
        var isKnown = log.Points.TryRead(out var checkpoint);
        if (bases.Count == 0 && !isKnown)
        {
            Begin();
            return default;
        }
        if (checkpoint.IsBeingEmptied)
        {
            FinishEmptying(bases, checkpoint.LogStartOffset);
            return new OpeningReport(IsClean: false, CutMoreThanLastWrite: false, WasEmptied: true);
        }
        if (!isKnown)
            _ports.EngineLog.Write(EngineLogLevel.Warning,
                $"'{log.Points.Path}' is missing or damaged: the log is scanned from its start, and taken as found.");
        var start = Load(bases, aborted, checkpoint);
        if (!isKnown)
            log.Points.CreateUnknown();
        var report = clean && IsEnd(start) ? OpenAtEnd(start) : Recover(start, checkpoint);
        BoundCompaction(checkpoint.Replica);
        retention.RemoveBelowLogStart(_ports.Now);
        return report;
    }

    // A copy without an incarnation has no high watermark, and is no member that could be missed.
    private void BoundCompaction(in ReplicaMarks marks)
    {
        var end = log.Segments.Active.NextOffset;
        if (!log.Compaction.Opened(end, marks.Incarnation == Guid.Empty ? end : marks.HighWatermark))
            _ports.EngineLog.Write(EngineLogLevel.Warning,
                $"'{Path.Combine(_directory.Path, CompactionCheckpoint.FileName)}' was damaged: the log is compacted again from its "
                    + "start.");
    }

    private void Begin()
    {
        var segment = _directory.SegmentAt(0);
        segment.Create(_ports.Now);
        log.Segments.Set([segment]);
        log.State.Reset(0);
        log.Points.Create(log.Segments.End);
    }

    // The last process ended while it emptied the log.
    private void FinishEmptying(List<long> bases, long logStartOffset)
    {
        foreach (var segmentBase in bases)
            _directory.SegmentAt(segmentBase).DeleteFiles();
        truncation.StartEmptyAt(logStartOffset);
    }

    /// <summary>Loads segments, points and state. Returns where the log is known only from there on: the recovery point, or the start of
    /// the first segment.</summary>
    private LogPosition Load(List<long> bases, List<long> aborted, in CheckpointState checkpoint)
    {
        var segments = LoadSegments(bases, checkpoint);
        log.Segments.Set(segments);
        var recoveryPoint = HasPosition(segments, checkpoint.RecoveryPoint) ? checkpoint.RecoveryPoint : LogPosition.None;
        log.Points.Load(checkpoint, checkpoint.LogStartOffset < 0 ? segments[0].BaseOffset : checkpoint.LogStartOffset, recoveryPoint);
        var first = segments[0].BaseOffset;
        var start = recoveryPoint.IsKnown ? recoveryPoint : new LogPosition(first, first, 0);
        log.State.Rebuild(segments, start, checkpoint.Snapshots, _ports.Now);
        OpenAborted(segments, aborted, start, checkpoint.HasTransactions);
        return start;
    }

    // Of the segments from the start on, recovery finds the aborted transactions again.
    private void OpenAborted(Segment[] segments, List<long> aborted, LogPosition start, bool hasTransactions)
    {
        if (aborted.Count > 0 || hasTransactions)
            log.State.Transactions.NoteAborted();
        if (!log.State.Transactions.IsUsed)
            return;
        var lost = new HashSet<Segment>();
        foreach (var segment in segments)
        {
            var isWhole = aborted.Contains(segment.BaseOffset) && segment.BeginAborted().Open(segment.BaseOffset);
            if (isWhole || segment.BaseOffset >= start.Offset)
                continue;
            _ports.EngineLog.Write(EngineLogLevel.Warning, $"'{segment.BeginAborted().File.Path}' is missing or damaged; the aborted "
                + "transactions are found in the log.");
            lost.Add(segment);
        }
        log.State.Transactions.NoteAborted();
        log.Points.NoteTransactions();
        if (lost.Count == 0)
            return;
        TransactionIndexRebuild.Run(segments, lost, start.Offset);
        _directory.NoteChange();
    }

    private Segment[] LoadSegments(List<long> bases, in CheckpointState checkpoint)
    {
        var segments = bases.ConvertAll(_directory.SegmentAt);
        var lengths = segments.ConvertAll(segment => (segment.BaseOffset, Length: segment.Log.GetLength()));
        var logStartOffset = Math.Max(checkpoint.LogStartOffset, 0);
        ThrowIfLost(lengths, checkpoint.FlushedPoint, logStartOffset);
        for (var i = 0; i < segments.Count; i++)
        {
            var segment = segments[i];
            var next = i + 1 < segments.Count ? segments[i + 1].BaseOffset : segment.BaseOffset;
            segment.Found(lengths[i].Length, next, flushed: segment.BaseOffset < checkpoint.FlushedPoint.SegmentBase);
            // Recovery scans the segments from the recovery point on, and indexes them on the way.
            IndexRebuild.EnsureFiles(_ports.Files, segment, segment.BaseOffset < checkpoint.RecoveryPoint.SegmentBase
                ? log.Config.IndexIntervalBytes : null);
        }
        if (segments.Count == 0)
        {
            // The checkpoint refers to none either: the segment was lost before anything was flushed into it.
            segments.Add(_directory.SegmentAt(logStartOffset));
            segments[0].Create(_ports.Now);
            _directory.NoteChange();
        }
        return [.. segments];
    }

    private void ThrowIfLost(List<(long BaseOffset, long Length)> segments, LogPosition flushedPoint, long logStartOffset)
    {
        if (RecoveryDecision.FindLoss(segments, flushedPoint) is { } loss)
            throw new DamagedLogException(_directory.PathOfLog(loss.SegmentBase), loss.Position, flushedPoint.Offset, loss.What);
        // The segment that holds the log start offset is never removed.
        if (segments.Count > 0 && segments[0].BaseOffset > logStartOffset && flushedPoint.IsKnown)
            throw new DamagedLogException(_directory.PathOfLog(logStartOffset), 0, logStartOffset,
                $"the log starts at offset {logStartOffset}, and its first segment at {segments[0].BaseOffset}: files before it are "
                    + "missing");
    }

    private static bool HasPosition(Segment[] segments, LogPosition position) => position.IsKnown
        && Array.Exists(segments, segment => segment.BaseOffset == position.SegmentBase && segment.Size >= position.Position);

    private bool IsEnd(LogPosition position) =>
        position.SegmentBase == log.Segments.Active.BaseOffset && position.Position == log.Segments.Active.Size;

    // Nothing was written after the recovery point: the tail is read only as far as the index needs.
    private OpeningReport OpenAtEnd(LogPosition end)
    {
        var active = log.Segments.Active;
        IndexRebuild.OpenTail(_ports.Files, active, end, log.Config.IndexIntervalBytes);
        active.Found(end.Position, end.Offset, flushed: true);
        active.GuessCreation(_ports.Now);
        log.Points.NoteClean(end);
        return new OpeningReport(IsClean: true, CutMoreThanLastWrite: false, WasEmptied: false);
    }

    private OpeningReport Recover(LogPosition start, in CheckpointState checkpoint)
    {
        // Compaction moves the recovery point beyond its gaps. A replica's leader may send new ones.
        var allowGaps = !log.Gaps.IsGapless && (!checkpoint.RecoveryPoint.IsKnown || checkpoint.Replica.Incarnation != Guid.Empty);
        var recovery = new LogRecovery(log, start, allowGaps);
        recovery.Run();
        flusher.MoveRecoveryPoint();
        return new OpeningReport(IsClean: false, recovery.CutMoreThanLastWrite, WasEmptied: false);
    }
}
