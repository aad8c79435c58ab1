using System.Globalization;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Replaces segments by cleaned ones, so that a crash at any instruction leaves either the old ones or the new one:
/// <list type="number">
/// <item>The cleaned files are written as <c>.cleaned</c> and flushed. After a crash they are deleted.</item>
/// <item>They are renamed to <c>.&lt;end offset&gt;.swap</c>, the log last, and the directory is flushed. From here on the swap will
/// happen.</item>
/// <item>The old files of all segments from the base up to the end offset are renamed to <c>.deleted</c>; the directory is flushed.</item>
/// <item>The swap files get their final names, the log last, and the directory is flushed.</item>
/// </list>
/// The end offset in the name identifies the replaced segments. The cleaned log alone cannot, since its last batches may have been removed.
/// The tests of CompactionCrashTests prove this before each disk operation. After a crash <see cref="Recover"/> completes steps 3 and 4. An
/// index that is lost on the way is rebuilt when the log is opened.
/// </summary>
internal static class SegmentSwap
{
    /// <summary>Returns what follows a cleaned file's own suffix from step 2 on.</summary>
    public static string SuffixFor(long endOffset) => string.Create(CultureInfo.InvariantCulture, $".{endOffset:D20}{LogFiles.Swap}");

    /// <summary>Runs steps 2 to 4.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">The log's directory.</param>
    /// <param name="old">The replaced segments.</param>
    /// <param name="cleaned">The segment that replaces them; step 1 is done.</param>
    /// <param name="endOffset">The base offset of the segment after the last of <paramref name="old"/>.</param>
    /// <exception cref="SegmentSwapException">The disk failed half-way.</exception>
    public static void Exchange(IFileSystem files, string directory, IReadOnlyList<Segment> old, Segment cleaned, long endOffset)
    {
        try
        {
            cleaned.RenameAll(SuffixFor(endOffset));
            files.FlushDirectory(directory);
            foreach (var segment in old)
                segment.Remove();
            files.FlushDirectory(directory);
            cleaned.RenameAll("");
            files.FlushDirectory(directory);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new SegmentSwapException(directory, exception);
        }
    }

    /// <summary>
    /// Completes swaps that a crash interrupted, and deletes index files whose log did not reach step 2. Call it before the directory's
    /// segments are listed. If it is killed, the next call completes it.
    /// </summary>
    public static void Recover(IFileSystem files, string directory, EngineLog engineLog)
    {
        var names = files.ListFiles(directory);
        foreach (var name in names)
        {
            if (TryParse(name, out var file, out var endOffset) && LogFiles.TryParse(file, LogFiles.Log, out var baseOffset))
            {
                Complete(files, directory, names, baseOffset, endOffset);
                engineLog.Write(EngineLogLevel.Information,
                    $"Completed the compaction of the segments {baseOffset} to {endOffset} in '{directory}', "
                    + "which a crash had interrupted.");
            }
        }
        foreach (var name in files.ListFiles(directory))
        {
            if (name.EndsWith(LogFiles.Swap, StringComparison.Ordinal))
                files.DeleteFile(Path.Combine(directory, name));
        }
    }

    private static void Complete(IFileSystem files, string directory, IReadOnlyList<string> names, long baseOffset, long endOffset)
    {
        string[] suffixes = [LogFiles.Index, LogFiles.TimeIndex, LogFiles.TransactionIndex, LogFiles.Log];
        foreach (var name in names)
        {
            if (suffixes.Any(suffix => LogFiles.TryParse(name, suffix, out var old) && old >= baseOffset && old < endOffset))
                files.MoveFile(Path.Combine(directory, name), Path.Combine(directory, name + LogFiles.Deleted));
        }
        files.FlushDirectory(directory);
        foreach (var suffix in suffixes)
        {
            var final = Path.Combine(directory, LogFiles.Name(baseOffset, suffix));
            var swap = final + SuffixFor(endOffset);
            if (files.FileExists(swap))
                files.MoveFile(swap, final);
        }
        files.FlushDirectory(directory);
    }

    // "<base>.log.<end>.swap" consists of "<base>.log" and the end.
    private static bool TryParse(string name, out string file, out long endOffset)
    {
        var length = 1 + LogFiles.OffsetDigits + LogFiles.Swap.Length;
        file = "";
        endOffset = 0;
        if (name.Length <= length || !name.EndsWith(LogFiles.Swap, StringComparison.Ordinal) || name[^length] != '.')
            return false;
        file = name[..^length];
        return long.TryParse(name.AsSpan(name.Length - length + 1, LogFiles.OffsetDigits), NumberStyles.None, CultureInfo.InvariantCulture,
            out endOffset);
    }
}
