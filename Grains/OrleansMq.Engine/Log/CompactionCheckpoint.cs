using System.Globalization;
using System.Text;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// How far a partition's log was cleaned, in <c>cleaner-checkpoint</c> in its directory: two lines, the version <c>0</c> and the first
/// dirty offset. A file that is missing or damaged means that nothing is known to be clean, which costs time and no record.
/// </summary>
public static class CompactionCheckpoint
{
    /// <summary>The file's name.</summary>
    public const string FileName = "cleaner-checkpoint";

    /// <summary>Whether the log was ever compacted, and may have gaps therefore: the file is written before the first segment is
    /// replaced.</summary>
    public static bool Exists(IFileSystem fileSystem, string partitionDirectory) =>
        fileSystem.FileExists(Path.Combine(partitionDirectory, FileName));

    /// <summary>The first dirty offset; -1 where none is known.</summary>
    public static long Read(IFileSystem fileSystem, string partitionDirectory)
    {
        if (AtomicFile.TryRead(fileSystem, Path.Combine(partitionDirectory, FileName)) is not { } bytes)
            return -1;
        var lines = Encoding.ASCII.GetString(bytes).Split('\n');
        return lines is ["0", var text, ""] && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var offset)
            ? offset : -1;
    }

    /// <summary>Writes the first dirty offset; durable when it returns.</summary>
    public static void Write(IFileSystem fileSystem, string partitionDirectory, long firstDirtyOffset) =>
        AtomicFile.Write(fileSystem, Path.Combine(partitionDirectory, FileName),
            Encoding.ASCII.GetBytes($"0\n{firstDirtyOffset.ToString(CultureInfo.InvariantCulture)}\n"));

    /// <summary>The log is about to be cut: what is written from <paramref name="endOffset"/> on has never been cleaned.</summary>
    public static void TruncateFromEnd(IFileSystem fileSystem, string partitionDirectory, long endOffset)
    {
        if (Read(fileSystem, partitionDirectory) > endOffset)
            Write(fileSystem, partitionDirectory, endOffset);
    }
}
