using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>Handles what a crash may leave in a partition's directory beside the log.</summary>
internal static class LogLeftovers
{
    private static readonly string[] Worthless = [LogFiles.Deleted, LogFiles.Cleaned, AtomicFile.TemporarySuffix];

    /// <summary>Deletes useless files: those of unfinished deletions and compactions.</summary>
    public static void Remove(IFileSystem files, string directory, EngineLog engineLog)
    {
        var removed = 0;
        foreach (var name in files.ListFiles(directory))
        {
            if (!Worthless.Any(suffix => name.EndsWith(suffix, StringComparison.Ordinal)))
                continue;
            files.DeleteFile(Path.Combine(directory, name));
            removed++;
        }
        if (removed > 0)
            engineLog.Write(EngineLogLevel.Debug, $"{removed} files left over from an interrupted deletion or compaction were removed from "
                + $"'{directory}'.");
    }

    /// <summary>Returns the base offsets of the segments in a directory, ascending; deletes indexes without a log.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">The directory.</param>
    /// <param name="aborted">Those of segments with an index of aborted transactions.</param>
    public static List<long> FindSegments(IFileSystem files, string directory, out List<long> aborted)
    {
        var names = files.ListFiles(directory);
        var bases = new List<long>();
        aborted = [];
        foreach (var name in names)
        {
            if (LogFiles.TryParse(name, LogFiles.Log, out var segmentBase))
                bases.Add(segmentBase);
            else if (LogFiles.TryParse(name, LogFiles.TransactionIndex, out segmentBase))
                aborted.Add(segmentBase);
        }
        bases.Sort();
        foreach (var name in names)
        {
            if ((LogFiles.TryParse(name, LogFiles.Index, out var orphan) || LogFiles.TryParse(name, LogFiles.TimeIndex, out orphan)
                    || LogFiles.TryParse(name, LogFiles.TransactionIndex, out orphan))
                && bases.BinarySearch(orphan) < 0)
                files.DeleteFile(Path.Combine(directory, name));
        }
        return bases;
    }
}
