using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk that fails for good at a given step: every change from there on is refused, as if the process had died there.</summary>
internal sealed class StepFiles(IFileSystem inner, int steps) : IFileSystem
{
    private int _left = int.MaxValue;

    /// <summary>Whether a step was refused.</summary>
    public bool HasDied => Volatile.Read(ref _left) < 0;

    /// <summary>Begins to count.</summary>
    public void Arm() => _left = steps;

    public IFile Open(string path, FileOpening mode)
    {
        if (mode is FileOpening.CreateOrTruncate or FileOpening.OpenOrCreate)
            Step();
        return new StepFile(this, inner.Open(path, mode));
    }

    public bool FileExists(string path) => inner.FileExists(path);
    public bool DirectoryExists(string path) => inner.DirectoryExists(path);
    public long GetLength(string path) => inner.GetLength(path);
    public IReadOnlyList<string> ListFiles(string directory) => inner.ListFiles(directory);
    public IReadOnlyList<string> ListDirectories(string directory) => inner.ListDirectories(directory);
    public long GetFreeSpace(string path) => inner.GetFreeSpace(path);
    public IDisposable? TryLock(string path) => inner.TryLock(path);
    public void CreateDirectory(string path) => Step(() => inner.CreateDirectory(path));
    public void MoveFile(string from, string to) => Step(() => inner.MoveFile(from, to));
    public void MoveDirectory(string from, string to) => Step(() => inner.MoveDirectory(from, to));
    public void DeleteFile(string path) => Step(() => inner.DeleteFile(path));
    public void DeleteDirectory(string path) => Step(() => inner.DeleteDirectory(path));
    public void FlushDirectory(string path) => Step(() => inner.FlushDirectory(path));

    private void Step(Action? action = null)
    {
        if (Interlocked.Decrement(ref _left) < 0)
            throw new IOException("The process is dead.");
        action?.Invoke();
    }

    private sealed class StepFile(StepFiles owner, IFile inner) : IFile
    {
        public string Path => inner.Path;
        public long Length => inner.Length;
        public int Read(Span<byte> buffer, long position) => inner.Read(buffer, position);

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            owner.Step();
            inner.Write(bytes, position);
        }

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            owner.Step();
            inner.Write(buffers, position);
        }

        public void Flush() => owner.Step(inner.Flush);
        public void SetLength(long length) => owner.Step(() => inner.SetLength(length));
        public void Dispose() => inner.Dispose();
    }
}
