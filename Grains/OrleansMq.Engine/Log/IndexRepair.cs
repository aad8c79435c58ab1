using OrleansMq.Diagnostics;

namespace OrleansMq.Log;

/// <summary>
/// Rebuilds the indexes of a segment when a reader finds that they do not match the log. One rebuild of a log at a time. Concurrent readers
/// find an index with fewer entries, which also works.
/// </summary>
internal sealed class IndexRepair(LogParts log)
{
    /// <summary>Held during a rebuild, and by a truncation, which changes indexes. Taken after the append lock, before the flush
    /// lock.</summary>
    public Lock Lock { get; } = new();

    /// <summary>Rebuilds the indexes of a sealed segment. Does nothing for the active one: the append loop owns its indexes, and the next
    /// start repairs them.</summary>
    /// <exception cref="DamagedLogException">The log itself is not a sequence of batches.</exception>
    public void Rebuild(Segment segment)
    {
        if (IsActive(segment))
            return;
        lock (Lock)
        {
            // A truncation may have made it active, or have removed it.
            if (IsActive(segment) || segment.IsRemoved)
                return;
            log.Ports.EngineLog.Write(EngineLogLevel.Warning,
                $"The indexes of '{segment.Log.Path}' do not match the log; rebuilding them.");
            IndexRebuild.Rebuild(log.Ports.Files, segment, segment.Size, log.Config.IndexIntervalBytes);
        }
    }

    private bool IsActive(Segment segment) => ReferenceEquals(segment, log.Segments.Active);
}
