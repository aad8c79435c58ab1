using System.Globalization;
using OrleansMq.Diagnostics;
using OrleansMq.Topics;

namespace OrleansMq.Log;

// From a directory to a log. Clean: sizes and the last index interval. Otherwise: recovery from the recovery point on.
internal sealed partial class SegmentedLog
{
    /// <summary>Opens the log in a directory, or begins one there.</summary>
    /// <param name="ports">What all logs share.</param>
    /// <param name="directory">The partition's directory; it exists.</param>
    /// <param name="config">The topic's configuration.</param>
    /// <param name="clean">Whether the broker was closed in good order the last time: then what lies before the recovery point need not be
    /// read.</param>
    /// <exception cref="DamagedLogException">Bytes that were flushed are gone or changed; nothing was touched.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static SegmentedLog Open(LogPorts ports, string directory, TopicConfig config, bool clean)
    {
        var log = new SegmentedLog(ports, directory, config, new PartitionCheckpoint(ports.Files, directory));
        SegmentSwap.Recover(ports.Files, directory, ports.EngineLog);
        log._mayHaveGaps = config.CleanupCompact || CompactionCheckpoint.Exists(ports.Files, directory);
        LogLeftovers.Remove(ports.Files, directory, ports.EngineLog);
        var bases = LogLeftovers.FindSegments(ports.Files, directory);
        var known = log._checkpoint.TryRead(out var checkpoint);
        if (bases.Count == 0 && !known)
        {
            log.Begin();
            return log;
        }
        if (!known)
            ports.EngineLog.Write(EngineLogLevel.Warning,
                $"'{log._checkpoint.Path}' is missing or damaged: the whole log is read, and taken as it is found.");
        log._marks = checkpoint.Replica;
        log._highWatermark = checkpoint.Replica.HighWatermark;
        if (checkpoint.IsBeingEmptied)
        {
            log.FinishEmptying(bases, checkpoint.LogStartOffset);
            return log;
        }
        log._logStartOffset = Math.Max(checkpoint.LogStartOffset, 0);
        log._flushedPoint = checkpoint.FlushedPoint;
        log.LoadSegments(bases, checkpoint);
        if (checkpoint.LogStartOffset < 0)
            log._logStartOffset = log._segments[0].BaseOffset;
        var start = log.FindStart(checkpoint.RecoveryPoint);
        log._recoveryPoint = start == checkpoint.RecoveryPoint ? start : LogPosition.None;
        log._hasProducersAtRecoveryPoint = checkpoint.HasProducers;
        log.State.Rebuild(log._segments, start, isEmpty: !checkpoint.HasProducers, ports.Now);
        if (!known)
            log._checkpoint.Create(checkpoint);
        if (clean && log.IsEnd(start))
        {
            log.Opening = new OpeningReport(IsClean: true, CutMoreThanLastWrite: false);
            log.OpenAtEnd(start);
        }
        else
            // Compaction moves the recovery point beyond its gaps; a replica's leader may send new ones.
            log.Recover(start, allowGaps: !log.IsGapless
                && (!checkpoint.RecoveryPoint.IsKnown || checkpoint.Replica.Incarnation != Guid.Empty));
        log.NoteSecured(log._flushedPoint);
        log.RemoveBelowLogStart();
        return log;
    }

    private void Begin()
    {
        var segment = new Segment(_ports.Cache, Directory, 0);
        segment.Create(_ports.Now);
        _segments = [segment];
        State.Reset(0);
        _recoveryPoint = _flushedPoint = End;
        // Makes the directory's entries durable, too.
        _checkpoint.Create(DescribeForCheckpoint());
        NoteSecured(_flushedPoint);
    }

    private void LoadSegments(List<long> bases, CheckpointState checkpoint)
    {
        var flushedPoint = checkpoint.FlushedPoint;
        var segments = bases.ConvertAll(segmentBase => new Segment(_ports.Cache, Directory, segmentBase));
        var lengths = segments.ConvertAll(segment => (segment.BaseOffset, segment.Log.GetLength()));
        if (RecoveryDecision.FindLoss(lengths, flushedPoint) is { } loss)
            throw new DamagedLogException(Path.Combine(Directory, LogFiles.Name(loss.SegmentBase, LogFiles.Log)), loss.Position,
                flushedPoint.Offset, loss.What);
        // The segment that holds the log start offset is never removed.
        if (segments.Count > 0 && segments[0].BaseOffset > _logStartOffset && flushedPoint.IsKnown)
            throw new DamagedLogException(Path.Combine(Directory, LogFiles.Name(_logStartOffset, LogFiles.Log)), 0, _logStartOffset,
                $"the log starts at offset {_logStartOffset}, and its first segment at {segments[0].BaseOffset}: files before it are "
                    + "missing");
        for (var i = 0; i < segments.Count; i++)
        {
            var next = i + 1 < segments.Count ? segments[i + 1].BaseOffset : segments[i].BaseOffset;
            segments[i].Found(lengths[i].Item2, next, flushed: segments[i].BaseOffset < flushedPoint.SegmentBase);
            // What lies behind the recovery point is checked first, and indexed on the way.
            IndexRebuild.EnsureFiles(_ports.Files, segments[i], segments[i].BaseOffset < checkpoint.RecoveryPoint.SegmentBase
                ? _config.IndexIntervalBytes : null);
        }
        if (segments.Count == 0)
        {
            // The checkpoint knew of none either: the segment was lost before anything was flushed into it.
            segments.Add(new Segment(_ports.Cache, Directory, _logStartOffset));
            segments[0].Create(_ports.Now);
            _directoryDirty = true;
        }
        _segments = [.. segments];
    }

    /// <summary>The recovery point, if the files have such a place; otherwise the start of the first segment.</summary>
    private LogPosition FindStart(LogPosition recoveryPoint)
    {
        if (recoveryPoint.IsKnown)
        {
            foreach (var segment in _segments)
            {
                if (segment.BaseOffset == recoveryPoint.SegmentBase && segment.Size >= recoveryPoint.Position)
                    return recoveryPoint;
            }
        }
        var first = _segments[0].BaseOffset;
        return new LogPosition(first, first, 0);
    }

    private bool IsEnd(LogPosition place) => place.SegmentBase == Active.BaseOffset && place.Position == Active.Size;

    /// <summary>Nothing was written after the recovery point: the tail is looked at only as far as the index needs.</summary>
    private void OpenAtEnd(LogPosition end)
    {
        var active = Active;
        IndexRebuild.OpenTail(_ports.Files, active, end, _config.IndexIntervalBytes);
        active.Found(end.Position, end.Offset, flushed: true);
        active.CreatedAt = GuessCreation(active);
        _flushedPoint = end;
    }

    private long GuessCreation(Segment active) =>
        active.FirstTimestamp >= 0 ? Math.Min(active.FirstTimestamp, _ports.Now) : _ports.Now;

    private CheckpointState DescribeForCheckpoint() => new(_logStartOffset, _recoveryPoint, _flushedPoint, _hasProducersAtRecoveryPoint,
        Replica: _marks with { HighWatermark = Volatile.Read(ref _highWatermark) });

    private static string Bytes(long count) => count.ToString("N0", CultureInfo.InvariantCulture);
}
