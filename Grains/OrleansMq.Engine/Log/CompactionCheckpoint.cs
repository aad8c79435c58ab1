using System.Globalization;
using System.Text;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// The progress of a partition's compaction, in <c>cleaner-checkpoint</c> in its directory: two lines, the version <c>0</c> and the first
/// dirty offset. A missing or damaged file means that nothing is known to be clean, which costs time but no record.
/// </summary>
public static class CompactionCheckpoint
{
    /// <summary>The file's name.</summary>
    public const string FileName = "cleaner-checkpoint";

    /// <summary>Whether the log was ever compacted and may have gaps: the file is written before the first segment is replaced.</summary>
    public static bool Exists(IFileSystem fileSystem, string partitionDirectory) =>
        fileSystem.FileExists(Path.Combine(partitionDirectory, FileName));

    /// <summary>Reads the first dirty offset; -1 if it is not known.</summary>
    public static long Read(IFileSystem fileSystem, string partitionDirectory)
    {
        if (AtomicFile.TryRead(fileSystem, Path.Combine(partitionDirectory, FileName)) is not { } bytes)
            return -1;
        var lines = Encoding.ASCII.GetString(bytes).Split('\n');
        return lines is ["0", var text, ""] && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var offset)
            ? offset : -1;
    }

    /// <summary>Writes the first dirty offset durably.</summary>
    public static void Write(IFileSystem fileSystem, string partitionDirectory, long firstDirtyOffset) =>
        AtomicFile.Write(fileSystem, Path.Combine(partitionDirectory, FileName),
            Encoding.ASCII.GetBytes($"0\n{firstDirtyOffset.ToString(CultureInfo.InvariantCulture)}\n"));

    /// <summary>Adapts the checkpoint before the log is truncated: records written from <paramref name="endOffset"/> on were never
    /// cleaned.</summary>
    public static void TruncateFromEnd(IFileSystem fileSystem, string partitionDirectory, long endOffset)
    {
        if (Read(fileSystem, partitionDirectory) > endOffset)
            Write(fileSystem, partitionDirectory, endOffset);
    }
}
