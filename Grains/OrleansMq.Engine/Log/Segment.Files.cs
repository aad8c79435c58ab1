using OrleansMq.Storage;

namespace OrleansMq.Log;

// Operations on all files of a segment: replacing, renaming, deleting.
internal sealed partial class Segment
{
    /// <summary>Creates empty indexes beside the segment's own, under names that are discarded after a crash.</summary>
    public Segment BeginNewIndexes()
    {
        var made = new Segment(_cache, _directory, BaseOffset, AtomicFile.TemporarySuffix);
        made.Index.File.CreateEmpty();
        made.TimeIndex.File.CreateEmpty();
        made.Index.Created();
        made.TimeIndex.Created();
        made.ForgetMaxTimestamp();
        return made;
    }

    /// <summary>Replaces the indexes by those made beside them.</summary>
    public void TakeIndexesOf(Segment made)
    {
        made.Index.File.Rename(LogFiles.Index);
        made.TimeIndex.File.Rename(LogFiles.TimeIndex);
        made.CloseFiles();
        Index.File.CloseWhenIdle();
        TimeIndex.File.CloseWhenIdle();
        Index.Reload();
        TimeIndex.Reload();
        _offsetOfMaxTimestamp = made._offsetOfMaxTimestamp;
        Volatile.Write(ref _maxTimestamp, made.MaxTimestamp);
    }

    /// <summary>Removes the segment from the log: its files are renamed, and open readers still find them.</summary>
    public void Remove()
    {
        _removed = true;
        // Compaction creates segments of the same name repeatedly. Their names after removal must differ, or a late reader would find
        // another segment's bytes.
        RenameAll($".{Interlocked.Increment(ref _removals)}{LogFiles.Deleted}");
    }

    /// <summary>Renames all files to their own suffix followed by <paramref name="suffix"/>, which may be empty.</summary>
    public void RenameAll(string suffix)
    {
        // The log comes last: a segment exists as long as its log does, and indexes without a log are removed on open.
        foreach (var (file, own) in AllFiles())
        {
            if (file.Exists())
                file.Rename(own + suffix);
        }
    }

    /// <summary>Deletes the files.</summary>
    public void DeleteFiles()
    {
        foreach (var (file, _) in AllFiles())
            file.Delete();
    }

    /// <summary>Closes the handles, each once it is not in use.</summary>
    public void CloseFiles()
    {
        foreach (var (file, _) in AllFiles())
            file.CloseWhenIdle();
    }

    private IEnumerable<(CachedFile File, string Suffix)> AllFiles()
    {
        yield return (Index.File, LogFiles.Index);
        yield return (TimeIndex.File, LogFiles.TimeIndex);
        if (Aborted is { HasFile: true } aborted)
            yield return (aborted.File, LogFiles.TransactionIndex);
        yield return (Log, LogFiles.Log);
    }
}
