using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// Flushes bytes that cannot be written again. A failed flush must not be retried: the system may have dropped the bytes, and the second
/// flush would succeed without them. So a volume that turns out to be full only now is not a transient error, as it is for a write.
/// </summary>
internal static class FlushOnce
{
    /// <summary>Flushes the file's content to stable storage.</summary>
    /// <exception cref="IOException">The content may not be durable; never a <see cref="DiskFullException"/> or another fault that
    /// passes.</exception>
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
        catch (IOException fault) when (DiskFaults.IsScarcity(fault))
        {
            throw Failed(file.Path, fault);
        }
    }

    /// <summary>Flushes the directory's entries to stable storage.</summary>
    /// <exception cref="IOException">The entries may not be durable; never a <see cref="DiskFullException"/> or another fault that
    /// passes, unless the directory could not be opened for lack of handles (<see cref="DiskFaults.IsNoHandle"/>).</exception>
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
        catch (IOException fault) when (DiskFaults.IsScarcity(fault) && !DiskFaults.IsNoHandle(fault))
        {
            throw Failed(directory, fault);
        }
    }

    private static IOException Late(string path, DiskFullException fault) =>
        new($"'{path}' could not be flushed: the volume ran out of space after it had accepted the bytes.", fault);

    private static IOException Failed(string path, IOException fault) => new($"'{path}' could not be flushed: {fault.Message}", fault);
}
