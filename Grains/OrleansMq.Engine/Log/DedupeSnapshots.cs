using OrleansMq.Dedupe;
using OrleansMq.Diagnostics;
using OrleansMq.Queues;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>The snapshots of message ids in a partition's directory. They are taken at recovery points, from the first id on, and the
/// newest two are kept. Further back the log alone tells of the ids.</summary>
/// <param name="files">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
internal sealed class DedupeSnapshots(IFileSystem files, string directory, EngineLog log)
{
    /// <summary>Their files.</summary>
    public SnapshotFiles Files { get; } = new(files, directory, log, LogFiles.Dedupe);

    /// <summary>Reads the latest intact snapshot between two offsets. Deletes damaged ones found on the way.</summary>
    /// <param name="logStartOffset">Where to start without a snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are ignored.</param>
    /// <returns>The ids, and the offset from which batches must be applied.</returns>
    public (LogDedupe Dedupe, long From) Load(long logStartOffset, long maxOffset)
    {
        LogDedupe? dedupe = null;
        var from = Files.Load(logStartOffset, maxOffset, offset => (dedupe = TryRead(offset)) is null ? null : true);
        return (dedupe ?? new LogDedupe(), from ?? logStartOffset);
    }

    private LogDedupe? TryRead(long offset)
    {
        try
        {
            return Files.TryRead(offset) is { } content ? LogDedupe.TryDecodeSnapshot(content) : null;
        }
        catch (Exception exception) when (exception is UnknownTransitionException or InvalidDataException)
        {
            // A later version wrote it. The log tells whether this one can follow.
            return null;
        }
    }
}
