namespace OrleansMq.Log;

/// <summary>What recovery does about bytes that are not a complete, valid batch.</summary>
internal enum DamageOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Nothing proves that they were on stable storage, so a crash tore the write: truncate there.</summary>
    Cut = 1,
    /// <summary>They were on stable storage, so the disk lost or changed them: change nothing, and take the partition offline.</summary>
    Offline = 2,
}

/// <summary>Decisions of recovery. Pure.</summary>
internal static class RecoveryDecision
{
    /// <summary>Decides about a bad batch at <paramref name="position"/> of the segment <paramref name="segmentBase"/>.</summary>
    public static DamageOutcome ForBadBatch(long segmentBase, long position, LogPosition flushedPoint) =>
        flushedPoint.IsKnown && (segmentBase < flushedPoint.SegmentBase
            || (segmentBase == flushedPoint.SegmentBase && position < flushedPoint.Position))
            ? DamageOutcome.Offline
            : DamageOutcome.Cut;

    /// <summary>
    /// Checks whether the segments' files hold everything that was flushed.
    /// </summary>
    /// <returns>Null if they do; else what is missing, with the file and the position.</returns>
    public static (long SegmentBase, long Position, string What)? FindLoss(IReadOnlyList<(long Base, long Length)> segments,
        LogPosition flushedPoint)
    {
        if (!flushedPoint.IsKnown)
            return null;
        // After a crash during the log's creation there may be a checkpoint without a first segment: nothing was flushed, so nothing is
        // missing.
        if (segments.Count == 0 && flushedPoint.Position == 0)
            return null;
        foreach (var (segmentBase, length) in segments)
        {
            if (segmentBase == flushedPoint.SegmentBase)
            {
                return length >= flushedPoint.Position
                    ? null
                    : (segmentBase, length, $"the file has {length} bytes where {flushedPoint.Position} were flushed");
            }
        }
        return (flushedPoint.SegmentBase, 0, "the file is missing");
    }
}
