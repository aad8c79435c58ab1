namespace OrleansMq.Storage;

/// <summary>Directories that a power cut does not take away again.</summary>
public static class DurableDirectory
{
    /// <summary>Creates a directory and its parents, each with its entry flushed; one that exists is fine.</summary>
    public static void Create(IFileSystem files, string path)
    {
        if (files.DirectoryExists(path) || Path.GetDirectoryName(path) is not { } parent)
            return;
        Create(files, parent);
        files.CreateDirectory(path);
        files.FlushDirectory(parent);
    }
}
