using OrleansMq.Storage;

namespace OrleansMq.Log;

// The files of a segment as a whole: replaced, renamed, deleted.
internal sealed partial class Segment
{
    /// <summary>Indexes for this segment beside those it has, empty, under names that mean nothing after a crash.</summary>
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

    /// <summary>Puts indexes that were made beside this segment's in their place.</summary>
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

    /// <summary>Takes the segment out of the log: its files get another name, under which open readers still find them.</summary>
    public void Remove()
    {
        _removed = true;
        // Compaction makes segments of one name again and again: the names they die under differ, or a late reader would find the next
        // one's bytes.
        RenameAll($".{Interlocked.Increment(ref _removals)}{LogFiles.Deleted}");
    }

    /// <summary>Gives all files the suffix <paramref name="suffix"/> after their usual one (or none, for empty).</summary>
    public void RenameAll(string suffix)
    {
        // The log last: a segment is there as long as its log is; indexes without a log are removed at open.
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

    /// <summary>Closes what is open and not in use.</summary>
    public void CloseFiles()
    {
        foreach (var (file, _) in AllFiles())
            file.Close();
    }

    private IEnumerable<(CachedFile File, string Suffix)> AllFiles()
    {
        yield return (Index.File, LogFiles.Index);
        yield return (TimeIndex.File, LogFiles.TimeIndex);
        yield return (Log, LogFiles.Log);
    }
}
