using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>Begins new segments: asks <see cref="RollPolicy"/> when, and rolls so that a crash leaves an empty last segment or
/// none.</summary>
/// <remarks>Used under the append lock.</remarks>
internal sealed class SegmentRoller(LogParts log)
{
    private readonly SegmentList _segments = log.Segments;

    /// <summary>Decides whether a batch goes into a new segment.</summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="lastOffset">The batch's last offset.</param>
    /// <param name="pendingBytes">The bytes that are about to be written to the active segment before it. If it rolls, they are written
    /// first.</param>
    /// <param name="claimBytes">The bytes of the control batch right before it, which goes into the same segment.</param>
    public RollReason BeforeAppend(in RecordBatchHeader batch, long lastOffset, long pendingBytes, int claimBytes)
    {
        var active = Describe(_segments.Active);
        var config = log.Config;
        return RollPolicy.BeforeAppend(active with { Size = active.Size + pendingBytes }, (long)batch.SizeInBytes + claimBytes,
            lastOffset, batch.MaxTimestamp, config, Jitter());
    }

    /// <summary>Rolls if the active segment is older than <c>segment.ms</c>.</summary>
    /// <returns>Whether it rolled.</returns>
    public bool RollIfOld(long now)
    {
        if (RollPolicy.WhileIdle(Describe(_segments.Active), log.Config, Jitter(), now) == RollReason.None)
            return false;
        Roll(now);
        return true;
    }

    /// <summary>Begins a new segment at the log's end.</summary>
    public void Roll(long now)
    {
        var old = _segments.Active;
        Invariant.Check(old.NextOffset > old.BaseOffset, "An empty segment was rolled: its files would belong to two segments.");
        old.CompleteIndexes();
        log.State.SaveAtRoll();
        var segment = log.Directory.SegmentAt(old.NextOffset);
        CreateOrLeaveNothing(segment, now);
        log.Directory.NoteChange();
        old.ReleaseIndexBuffers();
        _segments.Add(segment);
    }

    // A partly created segment would stand in the way of the next attempt.
    private static void CreateOrLeaveNothing(Segment segment, long now)
    {
        try
        {
            segment.Create(now);
        }
        catch (Exception)
        {
            segment.DeleteFiles();
            throw;
        }
    }

    private static RollPolicy.Active Describe(Segment active) =>
        new(active.BaseOffset, active.Size, active.Index.Count, active.TimeIndex.Count, active.FirstTimestamp, active.CreatedAt);

    // Spreads the rolling of segments that were begun together. The same for one segment at every call.
    private long Jitter()
    {
        var config = log.Config;
        var most = Math.Min(config.SegmentJitterMs, config.SegmentMs);
        return most <= 0 ? 0 : (long)((ulong)HashCode.Combine(log.Directory.Path, _segments.Active.BaseOffset) % (ulong)(most + 1));
    }
}
