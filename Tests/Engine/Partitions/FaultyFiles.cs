using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk that does what a test says before the real one does its part: throw, wait, or count.</summary>
internal sealed class FaultyFiles(IFileSystem inner) : IFileSystem
{
    /// <summary>Called before a write: path, position, bytes.</summary>
    public Action<string, long, int>? OnWrite { get; set; }
    /// <summary>Called before a flush of a file.</summary>
    public Action<string>? OnFlush { get; set; }
    /// <summary>Called before a file is opened.</summary>
    public Action<string>? OnOpen { get; set; }
    /// <summary>Called before a file is cut.</summary>
    public Action<string>? OnSetLength { get; set; }
    /// <summary>What the volume says it has left.</summary>
    public long FreeSpace { get; set; } = long.MaxValue;

    public IFile Open(string path, FileOpening mode)
    {
        OnOpen?.Invoke(path);
        return new FaultyFile(this, inner.Open(path, mode));
    }

    public bool FileExists(string path) => inner.FileExists(path);
    public bool DirectoryExists(string path) => inner.DirectoryExists(path);
    public long GetLength(string path) => inner.GetLength(path);
    public void CreateDirectory(string path) => inner.CreateDirectory(path);
    public IReadOnlyList<string> ListFiles(string directory) => inner.ListFiles(directory);
    public IReadOnlyList<string> ListDirectories(string directory) => inner.ListDirectories(directory);
    public void MoveFile(string from, string to) => inner.MoveFile(from, to);
    public void MoveDirectory(string from, string to) => inner.MoveDirectory(from, to);
    public void DeleteFile(string path) => inner.DeleteFile(path);
    public void DeleteDirectory(string path) => inner.DeleteDirectory(path);
    public void FlushDirectory(string path) => inner.FlushDirectory(path);
    public long GetFreeSpace(string path) => FreeSpace;
    public IDisposable? TryLock(string path) => inner.TryLock(path);

    private sealed class FaultyFile(FaultyFiles owner, IFile inner) : IFile
    {
        public string Path => inner.Path;
        public long Length => inner.Length;
        public int Read(Span<byte> buffer, long position) => inner.Read(buffer, position);

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            try
            {
                owner.OnWrite?.Invoke(Path, position, bytes.Length);
            }
            catch (IOException)
            {
                inner.Write(bytes[..(bytes.Length / 2)], position);
                throw;
            }
            inner.Write(bytes, position);
        }

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) =>
            Write(buffers.SelectMany(b => b.ToArray()).ToArray(), position);

        public void Flush()
        {
            owner.OnFlush?.Invoke(Path);
            inner.Flush();
        }

        public void SetLength(long length)
        {
            owner.OnSetLength?.Invoke(Path);
            inner.SetLength(length);
        }

        public void Dispose() => inner.Dispose();
    }
}
