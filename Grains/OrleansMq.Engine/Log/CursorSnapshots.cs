using OrleansMq.Diagnostics;
using OrleansMq.Queues;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// The snapshots of cursors in a partition's directory. <c>&lt;20 digits&gt;.cursors</c> describes the cursors after every batch below that
/// offset. They are taken together with those of the producers, from the first transition of a cursor on. A lost or damaged snapshot costs
/// time only: an older one is used, or none.
/// </summary>
/// <param name="files">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
internal sealed class CursorSnapshots(IFileSystem files, string directory, EngineLog log)
{
    /// <summary>Writes an encoded snapshot.</summary>
    /// <param name="offset">It covers all batches below.</param>
    /// <param name="content">The snapshot.</param>
    /// <param name="durable">Whether it survives a power cut.</param>
    public void Write(long offset, byte[] content, bool durable)
    {
        // An existing snapshot has the same content and may be durable, so it must not be replaced by one that is not.
        if (durable || !files.FileExists(PathOf(offset)))
            AtomicFile.Write(files, PathOf(offset), content, durable);
    }

    /// <summary>Reads the latest intact snapshot between two offsets. Deletes damaged ones found on the way.</summary>
    /// <param name="logStartOffset">Where to start without a snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are ignored.</param>
    /// <returns>The cursors, and the offset from which batches must be applied.</returns>
    public (LogCursors Cursors, long From) Load(long logStartOffset, long maxOffset)
    {
        foreach (var offset in List().Where(offset => offset <= maxOffset && offset >= logStartOffset).OrderDescending())
        {
            if (TryRead(offset) is { } cursors)
                return (cursors, offset);
            log.Write(EngineLogLevel.Warning,
                $"The snapshot of cursors '{PathOf(offset)}' is damaged; it is deleted, and the state is built from the log.");
            files.DeleteFile(PathOf(offset));
        }
        return (new LogCursors(), logStartOffset);
    }

    /// <summary>Deletes snapshots below an offset, except the latest of all.</summary>
    public void DeleteBefore(long offset) => DeleteButLatest(other => other < offset);

    /// <summary>Deletes snapshots that are neither at one of these offsets nor the latest.</summary>
    public void DeleteExcept(IReadOnlySet<long> offsets) => DeleteButLatest(other => !offsets.Contains(other));

    /// <summary>Deletes snapshots above an offset.</summary>
    public void DeleteAfter(long offset)
    {
        foreach (var other in List().Where(other => other > offset))
            files.DeleteFile(PathOf(other));
    }

    private void DeleteButLatest(Predicate<long> isUnwanted)
    {
        var offsets = List();
        var latest = offsets.DefaultIfEmpty(-1).Max();
        foreach (var offset in offsets.Where(offset => offset != latest && isUnwanted(offset)))
            files.DeleteFile(PathOf(offset));
    }

    private LogCursors? TryRead(long offset)
    {
        try
        {
            return AtomicFile.TryRead(files, PathOf(offset)) is { } content ? LogCursors.TryDecodeSnapshot(content) : null;
        }
        catch (UnknownTransitionException)
        {
            // A later version wrote it. The log tells whether this one can follow.
            return null;
        }
    }

    private List<long> List()
    {
        var offsets = new List<long>();
        foreach (var name in files.ListFiles(directory))
        {
            if (LogFiles.TryParse(name, LogFiles.Cursors, out var offset))
                offsets.Add(offset);
        }
        return offsets;
    }

    private string PathOf(long offset) => Path.Combine(directory, LogFiles.Name(offset, LogFiles.Cursors));
}
