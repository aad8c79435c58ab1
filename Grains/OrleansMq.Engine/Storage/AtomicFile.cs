namespace OrleansMq.Storage;

/// <summary>
/// Replaces a small file atomically: a crash at any instruction leaves the old content or the new, never a mix. Writes a temporary file,
/// flushes it, renames it, and flushes the directory. Temporary files end in <see cref="TemporarySuffix"/>; leftovers of a crash may be
/// deleted.
/// </summary>
internal static class AtomicFile
{
    /// <summary>The suffix of files that are still being written.</summary>
    public const string TemporarySuffix = ".tmp";

    /// <summary>Writes <paramref name="content"/> to <paramref name="path"/>.</summary>
    /// <param name="fileSystem">The disk.</param>
    /// <param name="path">The file to create or replace. Its directory must exist.</param>
    /// <param name="content">The complete content.</param>
    /// <param name="durable">
    /// Whether the content survives a power cut once this returns. False is for files whose reader detects damage and can do without them.
    /// </param>
    /// <param name="flushesDirectory">Whether a durable write is durable at once: else when the directory is flushed.</param>
    /// <exception cref="IOException">The write failed; the old content is unchanged.</exception>
    public static void Write(IFileSystem fileSystem, string path, ReadOnlySpan<byte> content, bool durable = true,
        bool flushesDirectory = true)
    {
        var temporary = path + TemporarySuffix;
        using (var file = fileSystem.Open(temporary, FileOpening.CreateOrTruncate))
        {
            file.Write(content, 0);
            if (durable)
                file.Flush();
        }
        fileSystem.MoveFile(temporary, path);
        if (durable && flushesDirectory)
            fileSystem.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>Reads a whole file; returns null if it does not exist.</summary>
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
