namespace OrleansMq.Log;

/// <summary>What recovery does about bytes that are not a whole, right batch.</summary>
internal enum DamageOutcome
{
    /// <summary>Never returned.</summary>
    Unknown = 0,
    /// <summary>Nothing says that they were on stable storage: a write that a crash tore. Cut there.</summary>
    Cut = 1,
    /// <summary>They were known to be on stable storage: the disk lost or changed them. Touch nothing, take the partition
    /// offline.</summary>
    Offline = 2,
}

/// <summary>Decisions of recovery. Pure.</summary>
internal static class RecoveryDecision
{
    /// <summary>What to do about a bad batch that begins at <paramref name="position"/> of the segment
    /// <paramref name="segmentBase"/>.</summary>
    public static DamageOutcome ForBadBatch(long segmentBase, long position, LogPosition flushedPoint) =>
        flushedPoint.IsKnown && (segmentBase < flushedPoint.SegmentBase
            || (segmentBase == flushedPoint.SegmentBase && position < flushedPoint.Position))
            ? DamageOutcome.Offline
            : DamageOutcome.Cut;

    /// <summary>
    /// Whether the segments' files hold all that was flushed.
    /// </summary>
    /// <returns>Null when they do; else what is missing, with the file and the position.</returns>
    public static (long SegmentBase, long Position, string What)? FindLoss(IReadOnlyList<(long Base, long Length)> segments,
        LogPosition flushedPoint)
    {
        if (!flushedPoint.IsKnown)
            return null;
        // A crash while the log was begun may leave the checkpoint's name without the first segment's: nothing was flushed, so nothing is
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
