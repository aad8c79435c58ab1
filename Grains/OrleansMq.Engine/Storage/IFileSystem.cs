using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>
/// The engine's port to the disk. There are three implementations: the machine's disk (<see cref="DiskFileSystem"/>), one in memory that
/// simulates power cuts (<see cref="MemoryFileSystem"/>), and one in the tests that fails on cue. Paths use the machine's separator. Faults
/// are <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>; a full disk is <see cref="DiskFullException"/>.
/// <para>Calls block: the engine makes them on its own threads.</para>
/// </summary>
internal interface IFileSystem
{
    /// <summary>Opens a file.</summary>
    /// <exception cref="FileNotFoundException">It does not exist, and <paramref name="mode"/> does not create it.</exception>
    IFile Open(string path, FileOpening mode);

    /// <summary>Whether a file (not a directory) exists.</summary>
    bool FileExists(string path);

    /// <summary>Whether a directory exists.</summary>
    bool DirectoryExists(string path);

    /// <summary>Returns the file's length in bytes without opening it.</summary>
    /// <exception cref="FileNotFoundException">It does not exist.</exception>
    long GetLength(string path);

    /// <summary>Creates a directory and its parents. An existing one is left as it is.</summary>
    void CreateDirectory(string path);

    /// <summary>Lists the names (not paths) of the files in a directory, in no particular order.</summary>
    IReadOnlyList<string> ListFiles(string directory);

    /// <summary>Lists the names (not paths) of the directories in a directory, in no particular order.</summary>
    IReadOnlyList<string> ListDirectories(string directory);

    /// <summary>Renames a file atomically and replaces an existing one. Durable after <see cref="FlushDirectory"/>.</summary>
    void MoveFile(string from, string to);

    /// <summary>Renames a directory. The target must not exist.</summary>
    void MoveDirectory(string from, string to);

    /// <summary>Deletes a file if it exists.</summary>
    void DeleteFile(string path);

    /// <summary>Deletes a directory with its content if it exists.</summary>
    void DeleteDirectory(string path);

    /// <summary>Makes the directory's entries (files created, renamed and deleted in it) durable.</summary>
    void FlushDirectory(string path);

    /// <summary>Returns the free space in bytes on the volume that contains <paramref name="path"/>.</summary>
    long GetFreeSpace(string path);

    /// <summary>
    /// Takes an exclusive lock, which is released when the returned object is disposed or the process ends.
    /// </summary>
    /// <returns>Null if another process (or object) holds the lock.</returns>
    IDisposable? TryLock(string path);
}

/// <summary>How to open a file.</summary>
internal enum FileOpening
{
    /// <summary>Opens an existing file for reading.</summary>
    Read = 0,
    /// <summary>Opens an existing file for reading and writing.</summary>
    ReadWrite = 1,
    /// <summary>Opens a file for reading and writing; creates an empty one if it does not exist.</summary>
    OpenOrCreate = 2,
    /// <summary>Creates or truncates a file, for reading and writing.</summary>
    CreateOrTruncate = 3,
}

/// <summary>An open file with positioned reads and writes, safe for use by several threads.</summary>
internal interface IFile : IDisposable
{
    /// <summary>The path by which it was opened.</summary>
    string Path { get; }

    /// <summary>Its length in bytes.</summary>
    long Length { get; }

    /// <summary>Reads up to the span's length from <paramref name="position"/>; reads less only at the end of the file.</summary>
    int Read(Span<byte> buffer, long position);

    /// <summary>Whether a whole range is in the page cache, so that reading it does not wait for the disk and returns what was last read or
    /// written. False if the system cannot tell.</summary>
    bool IsInMemory(long position, long length) => false;

    /// <summary>The system's file handle, for system calls; null without an underlying system file. It is valid as long as this
    /// object.</summary>
    SafeFileHandle? Handle => null;

    /// <summary>Writes all bytes at <paramref name="position"/>. After an exception any part may have been written.</summary>
    void Write(ReadOnlySpan<byte> bytes, long position);

    /// <summary>Writes the buffers back to back from <paramref name="position"/> on, with as few system calls as possible.</summary>
    void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position);

    /// <summary>Makes content and length durable.</summary>
    void Flush();

    /// <summary>
    /// Starts to write a range back to the disk, so that dirty pages do not accumulate until the next flush, or waits until that is done.
    /// This makes nothing durable; only <see cref="Flush"/> does. Without support by the system it does nothing.
    /// </summary>
    /// <exception cref="IOException">The disk failed, as in <see cref="Flush"/>. After this exception the file must not be flushed
    /// again.</exception>
    void WriteBack(long position, long length, bool wait)
    {
    }

    /// <summary>Truncates the file, or extends it with zeros.</summary>
    void SetLength(long length);
}

/// <summary>The volume has no room for a write.</summary>
internal sealed class DiskFullException(string path, Exception? inner = null)
    : IOException($"No space left on the volume of '{path}'. Free some space, or move the data directory to a larger volume; then "
        + "restart the broker.", inner)
{
    /// <summary>The file being written.</summary>
    public string Path { get; } = path;
}
