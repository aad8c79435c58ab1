using System.IO.Enumeration;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>
/// The machine's disk. Files may be open any number of times, to read and to write, and may be renamed or deleted while they are; a
/// directory's entries are flushed where the system has a call for it (everywhere but Windows, whose file systems journal them).
/// </summary>
public sealed class DiskFileSystem : IFileSystem
{
    // Hidden files are files: without this the enumeration would skip all names that begin with a dot.
    private static readonly EnumerationOptions AllEntries = new() { AttributesToSkip = 0, IgnoreInaccessible = false };

    /// <summary>The one instance: it has no state.</summary>
    public static DiskFileSystem Instance { get; } = new();

    /// <inheritdoc/>
    public IFile Open(string path, FileOpening mode)
    {
        try
        {
            return new DiskFile(path, OpenHandle(path, mode));
        }
        catch (DirectoryNotFoundException exception) when (mode is FileOpening.Read or FileOpening.ReadWrite)
        {
            throw new FileNotFoundException($"There is no file '{path}'.", path, exception);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(path, exception);
        }
    }

    private static SafeFileHandle OpenHandle(string path, FileOpening mode) => mode switch
    {
        FileOpening.Read => File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete),
        FileOpening.ReadWrite => File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete),
        FileOpening.OpenOrCreate =>
            File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete),
        FileOpening.CreateOrTruncate =>
            File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete),
        _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "Not a way to open a file."),
    };

    /// <inheritdoc/>
    public bool FileExists(string path) => File.Exists(path);

    /// <inheritdoc/>
    public bool DirectoryExists(string path) => Directory.Exists(path);

    /// <inheritdoc/>
    public long GetLength(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? file.Length : throw new FileNotFoundException($"There is no file '{path}'.", path);
    }

    /// <inheritdoc/>
    public void CreateDirectory(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(path, exception);
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> ListFiles(string directory) => List(directory, directories: false);

    /// <inheritdoc/>
    public IReadOnlyList<string> ListDirectories(string directory) => List(directory, directories: true);

    private static string[] List(string directory, bool directories) =>
        [.. new FileSystemEnumerable<string>(directory, (ref FileSystemEntry entry) => entry.FileName.ToString(), AllEntries)
        {
            ShouldIncludePredicate = (ref FileSystemEntry entry) => entry.IsDirectory == directories,
        }];

    /// <inheritdoc/>
    public void MoveFile(string from, string to)
    {
        try
        {
            File.Move(from, to, overwrite: true);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(to, exception);
        }
    }

    /// <inheritdoc/>
    public void MoveDirectory(string from, string to) => Directory.Move(from, to);

    /// <inheritdoc/>
    public void DeleteFile(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
            // Neither the file nor its directory is there: nothing to delete.
        }
    }

    /// <inheritdoc/>
    public void DeleteDirectory(string path)
    {
        try
        {
            Directory.Delete(path, recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
            // Nothing to delete.
        }
    }

    /// <inheritdoc/>
    public void FlushDirectory(string path)
    {
        if (!OperatingSystem.IsWindows())
            PosixFiles.FlushDirectory(path);
    }

    /// <inheritdoc/>
    public long GetFreeSpace(string path) =>
        new DriveInfo(OperatingSystem.IsWindows() ? Path.GetPathRoot(Path.GetFullPath(path))! : Path.GetFullPath(path)).AvailableFreeSpace;

    /// <inheritdoc/>
    public IDisposable? TryLock(string path)
    {
        try
        {
            // On Unix this is an exclusive flock: it ends with the process, however that ends.
            return File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception) when (DiskFaults.IsLocked(exception))
        {
            return null;
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(path, exception);
        }
    }
}
