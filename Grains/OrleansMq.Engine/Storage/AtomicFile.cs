namespace OrleansMq.Storage;

/// <summary>
/// Replaces a small file as a whole: a crash at any instruction leaves the old content or the new, never a mix. Temporary file, flush,
/// rename, flush of the directory. Temporary files end in <see cref="TemporarySuffix"/>; one that a crash left behind may be deleted.
/// </summary>
public static class AtomicFile
{
    /// <summary>What a file that is still being written ends in.</summary>
    public const string TemporarySuffix = ".tmp";

    /// <summary>Writes <paramref name="content"/> to <paramref name="path"/>.</summary>
    /// <param name="fileSystem">The disk.</param>
    /// <param name="path">The file to create or replace; its directory exists.</param>
    /// <param name="content">All of the file's bytes.</param>
    /// <param name="durable">
    /// Whether the content survives a power cut once this returns. False is for files whose reader detects a damaged one and can do
    /// without.
    /// </param>
    /// <exception cref="IOException">The old content is still there.</exception>
    public static void Write(IFileSystem fileSystem, string path, ReadOnlySpan<byte> content, bool durable = true)
    {
        var temporary = path + TemporarySuffix;
        using (var file = fileSystem.Open(temporary, FileOpening.CreateOrTruncate))
        {
            file.Write(content, 0);
            if (durable)
                file.Flush();
        }
        fileSystem.MoveFile(temporary, path);
        if (durable)
            fileSystem.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>All bytes of a file; null where there is none.</summary>
    public static byte[]? TryRead(IFileSystem fileSystem, string path)
    {
        if (!fileSystem.FileExists(path))
            return null;
        using var file = fileSystem.Open(path, FileOpening.Read);
        var content = new byte[file.Length];
        var read = file.Read(content, 0);
        return read == content.Length ? content : content[..read];
    }
}
