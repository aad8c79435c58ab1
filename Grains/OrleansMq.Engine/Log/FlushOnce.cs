using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Flushing what cannot be written again. A flush that failed must not be tried again: the system may have dropped the bytes, and the
/// second
/// flush would say yes to nothing. So a volume that turns out to be full only now is no passing refusal here, as it is for a write.
/// </summary>
internal static class FlushOnce
{
    /// <summary>Returns when the file's content is on stable storage.</summary>
    /// <exception cref="IOException">It may not be; never a <see cref="DiskFullException"/>.</exception>
    public static void Flush(IFile file)
    {
        try
        {
            file.Flush();
        }
        catch (DiskFullException fault)
        {
            throw Late(file.Path, fault);
        }
    }

    /// <summary>Returns when the directory's entries are on stable storage.</summary>
    /// <exception cref="IOException">They may not be; never a <see cref="DiskFullException"/>.</exception>
    public static void FlushDirectory(IFileSystem files, string directory)
    {
        try
        {
            files.FlushDirectory(directory);
        }
        catch (DiskFullException fault)
        {
            throw Late(directory, fault);
        }
    }

    private static IOException Late(string path, DiskFullException fault) =>
        new($"'{path}' could not be flushed: no space left on its volume, found out when the bytes were taken already.", fault);
}
