using System.IO.Enumeration;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>
/// The machine's disk. A file may be opened several times for reading and writing, and renamed or deleted while open. Directory entries are
/// flushed if the system supports it (everywhere but Windows, whose file systems journal them).
/// </summary>
internal sealed class DiskFileSystem : IFileSystem
{
    // Includes hidden files: the default would skip all names that begin with a dot.
    private static readonly EnumerationOptions AllEntries = new() { AttributesToSkip = 0, IgnoreInaccessible = false };

    /// <summary>The shared, stateless instance.</summary>
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
            // Neither the file nor its directory exists: nothing to delete.
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
            // On Unix this is an exclusive flock, which is released when the process ends in any way.
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
