namespace OrleansMq.Storage;

/// <summary>Creates directories that survive a power cut.</summary>
internal static class DurableDirectory
{
    /// <summary>Creates a directory and its parents, and flushes their entries. Existing ones are left as they are.</summary>
    public static void Create(IFileSystem files, string path)
    {
        if (files.DirectoryExists(path) || Path.GetDirectoryName(path) is not { } parent)
            return;
        Create(files, parent);
        files.CreateDirectory(path);
        files.FlushDirectory(parent);
    }
}
