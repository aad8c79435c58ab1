using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>
/// The engine's disk. Three implementations: the machine's (<see cref="DiskFileSystem"/>), one in memory that knows what a power cut would
/// leave (<see cref="MemoryFileSystem"/>), and, in the tests, one that fails on cue. Paths use the machine's separator. Faults are
/// <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>; a full disk is <see cref="DiskFullException"/>.
/// <para>Calls block: they are made from the engine's own threads.</para>
/// </summary>
public interface IFileSystem
{
    /// <summary>Opens a file.</summary>
    /// <exception cref="FileNotFoundException">It does not exist, and <paramref name="mode"/> does not create it.</exception>
    IFile Open(string path, FileOpening mode);

    /// <summary>Whether a file (not a directory) is there.</summary>
    bool FileExists(string path);

    /// <summary>Whether a directory is there.</summary>
    bool DirectoryExists(string path);

    /// <summary>The file's length in bytes, without opening it.</summary>
    /// <exception cref="FileNotFoundException">It does not exist.</exception>
    long GetLength(string path);

    /// <summary>Creates a directory and its parents; one that exists is fine.</summary>
    void CreateDirectory(string path);

    /// <summary>The names (not paths) of the files in a directory, in no particular order.</summary>
    IReadOnlyList<string> ListFiles(string directory);

    /// <summary>The names (not paths) of the directories in a directory, in no particular order.</summary>
    IReadOnlyList<string> ListDirectories(string directory);

    /// <summary>Renames a file, over one that exists: atomic. Durable after <see cref="FlushDirectory"/>.</summary>
    void MoveFile(string from, string to);

    /// <summary>Renames a directory; the target must not exist.</summary>
    void MoveDirectory(string from, string to);

    /// <summary>Deletes a file; one that does not exist is fine.</summary>
    void DeleteFile(string path);

    /// <summary>Deletes a directory with all that is in it; one that does not exist is fine.</summary>
    void DeleteDirectory(string path);

    /// <summary>Makes the directory's entries (files created, renamed and deleted in it) durable.</summary>
    void FlushDirectory(string path);

    /// <summary>Bytes that can still be written on the volume that holds <paramref name="path"/>.</summary>
    long GetFreeSpace(string path);

    /// <summary>
    /// Takes an exclusive lock that ends with the returned object or the process.
    /// </summary>
    /// <returns>Null when another process (or object) holds it.</returns>
    IDisposable? TryLock(string path);
}

/// <summary>How to open a file.</summary>
public enum FileOpening
{
    /// <summary>An existing file, to read.</summary>
    Read = 0,
    /// <summary>An existing file, to read and write.</summary>
    ReadWrite = 1,
    /// <summary>To read and write, created empty where it does not exist.</summary>
    OpenOrCreate = 2,
    /// <summary>To read and write, created or emptied.</summary>
    CreateOrTruncate = 3,
}

/// <summary>An open file: positioned reads and writes, safe from several threads.</summary>
public interface IFile : IDisposable
{
    /// <summary>The path it was opened by.</summary>
    string Path { get; }

    /// <summary>Its length in bytes.</summary>
    long Length { get; }

    /// <summary>Reads up to the span's length from <paramref name="position"/>; fewer bytes only at the end of the file.</summary>
    int Read(Span<byte> buffer, long position);

    /// <summary>Whether all of a range is in memory, so that reading it waits for no disk and finds what was there when it was last read or
    /// written. False where the system does not tell.</summary>
    bool IsInMemory(long position, long length) => false;

    /// <summary>The system's handle, for calls that take one; null where there is no file of the system behind it. It lives as long as this
    /// does.</summary>
    SafeFileHandle? Handle => null;

    /// <summary>Writes all bytes at <paramref name="position"/>, or throws; after a throw any part may have been written.</summary>
    void Write(ReadOnlySpan<byte> bytes, long position);

    /// <summary>Writes the buffers one after the other from <paramref name="position"/> on, in as few calls to the system as it
    /// takes.</summary>
    void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position);

    /// <summary>Returns when content and length are on stable storage.</summary>
    void Flush();

    /// <summary>
    /// Has the system begin to bring a range to the disk, so that it does not pile up until somebody flushes; or waits until that is done.
    /// Makes nothing durable: what was written is so only after <see cref="Flush"/>. Where the system knows no such thing it does nothing.
    /// </summary>
    /// <exception cref="IOException">The disk failed, as in <see cref="Flush"/>: after a throw nothing may be flushed again.</exception>
    void WriteBack(long position, long length, bool wait)
    {
    }

    /// <summary>Cuts or extends (with zeros) the file.</summary>
    void SetLength(long length);
}

/// <summary>The volume has no room for a write.</summary>
public sealed class DiskFullException(string path, Exception? inner = null)
    : IOException($"No space left on the volume of '{path}'. Free some space, or move the data directory to a larger volume; then "
        + "restart the broker.", inner)
{
    /// <summary>What was being written.</summary>
    public string Path { get; } = path;
}
