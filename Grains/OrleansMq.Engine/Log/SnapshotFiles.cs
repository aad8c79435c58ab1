using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// The snapshots of one kind of state in a partition's directory, without their content. <c>&lt;20 digits&gt;</c> and the kind's suffix
/// describes the state after every batch below that offset. A second file of the same offset, the companion, may complete it. A lost or
/// damaged snapshot costs time, never records: an older one is used, or none.
/// </summary>
/// <param name="files">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
/// <param name="suffix">The suffix of the snapshots.</param>
/// <param name="companionSuffix">The suffix of the companions; null where there are none.</param>
internal sealed class SnapshotFiles(IFileSystem files, string directory, EngineLog log, string suffix, string? companionSuffix = null)
{
    /// <summary>Returns the path of the snapshot at an offset.</summary>
    public string PathOf(long offset) => PathOf(offset, suffix);

    /// <summary>Returns the path of the companion at an offset.</summary>
    public string CompanionPathOf(long offset) => PathOf(offset, companionSuffix!);

    /// <summary>Writes a snapshot.</summary>
    /// <param name="offset">It covers all batches below.</param>
    /// <param name="content">The snapshot.</param>
    /// <param name="companion">The companion, where there are companions.</param>
    /// <param name="durable">Whether it survives a power cut. After a roll it need not: damage is detected, and the previous snapshot is
    /// used.</param>
    /// <exception cref="IOException">A file could not be written.</exception>
    public void Write(long offset, byte[] content, byte[]? companion, bool durable)
    {
        // An existing snapshot has the same content and may be durable, so it must not be replaced by one that is not.
        if (!durable && files.FileExists(PathOf(offset)))
            return;
        // The companion is written first. It has no effect until its snapshot exists.
        if (companion is not null)
            AtomicFile.Write(files, CompanionPathOf(offset), companion, durable);
        AtomicFile.Write(files, PathOf(offset), content, durable);
    }

    /// <summary>Reads the snapshot at an offset; null if there is none.</summary>
    public byte[]? TryRead(long offset) => AtomicFile.TryRead(files, PathOf(offset));

    /// <summary>Reads the companion at an offset; null if there is none.</summary>
    public byte[]? TryReadCompanion(long offset) => AtomicFile.TryRead(files, CompanionPathOf(offset));

    /// <summary>Loads the latest snapshot that can be, and deletes damaged ones on the way.</summary>
    /// <param name="from">The lowest offset.</param>
    /// <param name="to">The highest offset.</param>
    /// <param name="load">Loads the snapshot at an offset: whether it was loaded; null if it is damaged. One that is intact and not loaded
    /// stays.</param>
    /// <returns>Its offset; null if none was loaded.</returns>
    public long? Load(long from, long to, Func<long, bool?> load)
    {
        foreach (var offset in List().Where(offset => offset >= from && offset <= to).OrderDescending())
        {
            if (load(offset) is { } isLoaded)
            {
                if (isLoaded)
                    return offset;
                continue;
            }
            log.Write(EngineLogLevel.Warning,
                $"The snapshot '{PathOf(offset)}' is damaged; it is deleted, and the state is built from the log.");
            Delete(offset);
        }
        return null;
    }

    /// <summary>Returns the offsets of the existing snapshots, in no particular order.</summary>
    public IReadOnlyList<long> List() => OffsetsOf(suffix);

    /// <summary>Deletes snapshots below an offset, except the latest of all.</summary>
    public void DeleteBefore(long offset) => DeleteButLatest(other => other < offset);

    /// <summary>Deletes all snapshots below an offset, also the latest of all.</summary>
    public void DeleteAllBefore(long offset) => Delete(other => other < offset);

    /// <summary>Deletes snapshots that are neither at one of these offsets nor the latest.</summary>
    public void DeleteExcept(IReadOnlySet<long> offsets) => DeleteButLatest(other => !offsets.Contains(other));

    /// <summary>Deletes all snapshots but so many of the newest.</summary>
    public void DeleteButNewest(int count)
    {
        var kept = List().OrderDescending().Take(count).ToHashSet();
        Delete(offset => !kept.Contains(offset));
    }

    /// <summary>Deletes snapshots above an offset.</summary>
    public void DeleteAfter(long offset) => Delete(other => other > offset);

    private void DeleteButLatest(Predicate<long> isUnwanted)
    {
        var latest = List().DefaultIfEmpty(-1).Max();
        Delete(offset => offset != latest && isUnwanted(offset));
    }

    private void Delete(Predicate<long> isUnwanted)
    {
        // A companion may be without its snapshot.
        foreach (var offset in List().Union(companionSuffix is null ? [] : OffsetsOf(companionSuffix)).Where(other => isUnwanted(other)))
            Delete(offset);
    }

    private void Delete(long offset)
    {
        files.DeleteFile(PathOf(offset));
        if (companionSuffix is not null)
            files.DeleteFile(CompanionPathOf(offset));
    }

    private List<long> OffsetsOf(string ending)
    {
        var offsets = new List<long>();
        foreach (var name in files.ListFiles(directory))
        {
            if (LogFiles.TryParse(name, ending, out var offset))
                offsets.Add(offset);
        }
        return offsets;
    }

    private string PathOf(long offset, string ending) => Path.Combine(directory, LogFiles.Name(offset, ending));
}
