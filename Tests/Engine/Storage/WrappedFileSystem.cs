using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Storage;

/// <summary>A file system that forwards every call to another; tests override what they change.</summary>
internal abstract class WrappedFileSystem(IFileSystem inner) : IFileSystem
{
    /// <summary>The wrapped file system.</summary>
    protected IFileSystem Inner { get; } = inner;

    /// <summary>Called before every change of directories, and by files that were created with it.</summary>
    protected virtual void Changing()
    {
    }

    public abstract IFile Open(string path, FileOpening mode);
    public bool FileExists(string path) => Inner.FileExists(path);
    public bool DirectoryExists(string path) => Inner.DirectoryExists(path);
    public long GetLength(string path) => Inner.GetLength(path);
    public IReadOnlyList<string> ListFiles(string directory) => Inner.ListFiles(directory);
    public IReadOnlyList<string> ListDirectories(string directory) => Inner.ListDirectories(directory);
    public virtual long GetFreeSpace(string path) => Inner.GetFreeSpace(path);
    public IDisposable? TryLock(string path) => Inner.TryLock(path);

    public void CreateDirectory(string path)
    {
        Changing();
        Inner.CreateDirectory(path);
    }

    public void MoveFile(string from, string to)
    {
        Changing();
        Inner.MoveFile(from, to);
    }

    public void MoveDirectory(string from, string to)
    {
        Changing();
        Inner.MoveDirectory(from, to);
    }

    public void DeleteFile(string path)
    {
        Changing();
        Inner.DeleteFile(path);
    }

    public void DeleteDirectory(string path)
    {
        Changing();
        Inner.DeleteDirectory(path);
    }

    public virtual void FlushDirectory(string path)
    {
        Changing();
        Inner.FlushDirectory(path);
    }
}

/// <summary>A file that forwards every call to another and announces changes beforehand.</summary>
/// <param name="inner">The wrapped file.</param>
/// <param name="changing">Called before every write, flush and truncation; null for nothing.</param>
internal class WrappedFile(IFile inner, Action? changing = null) : IFile
{
    /// <summary>The wrapped file.</summary>
    protected IFile Inner { get; } = inner;

    public string Path => Inner.Path;
    public long Length => Inner.Length;
    public virtual int Read(Span<byte> buffer, long position) => Inner.Read(buffer, position);
    public virtual bool IsInMemory(long position, long length) => Inner.IsInMemory(position, length);
    public void Dispose() => Inner.Dispose();

    public virtual void Write(ReadOnlySpan<byte> bytes, long position)
    {
        changing?.Invoke();
        Inner.Write(bytes, position);
    }

    public virtual void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        changing?.Invoke();
        Inner.Write(buffers, position);
    }

    public virtual void Flush()
    {
        changing?.Invoke();
        Inner.Flush();
    }

    public virtual void WriteBack(long position, long length, bool wait) => Inner.WriteBack(position, length, wait);

    public virtual void SetLength(long length)
    {
        changing?.Invoke();
        Inner.SetLength(length);
    }
}
