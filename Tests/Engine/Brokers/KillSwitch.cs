using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>A disk in memory whose process dies just before its n-th change of the disk: whatever it tries after that fails.</summary>
internal sealed class KillSwitch(MemoryFileSystem files) : IFileSystem
{
    private readonly Lock _lock = new();
    private int _changesLeft = int.MaxValue;

    /// <summary>Changes made since <see cref="Arm"/>.</summary>
    public int Changes { get; private set; }

    /// <summary>The disk after the process died; null while it lives.</summary>
    public MemoryFileSystem? Left { get; private set; }

    public void Arm(int changes)
    {
        lock (_lock)
            (_changesLeft, Changes) = (changes, 0);
    }

    private void Change()
    {
        lock (_lock)
        {
            if (Left is null && _changesLeft-- <= 0)
                Left = files.ProcessKill();
            Changes++;
        }
    }

    public IFile Open(string path, FileOpening mode)
    {
        if (mode is FileOpening.CreateOrTruncate || (mode is FileOpening.OpenOrCreate && Left is null && !files.FileExists(path)))
            Change();
        return new Handle(this, files.Open(path, mode));
    }

    public bool FileExists(string path) => files.FileExists(path);

    public bool DirectoryExists(string path) => files.DirectoryExists(path);

    public long GetLength(string path) => files.GetLength(path);

    public IReadOnlyList<string> ListFiles(string directory) => files.ListFiles(directory);

    public IReadOnlyList<string> ListDirectories(string directory) => files.ListDirectories(directory);

    public long GetFreeSpace(string path) => files.GetFreeSpace(path);

    public IDisposable? TryLock(string path) => files.TryLock(path);

    public void CreateDirectory(string path)
    {
        Change();
        files.CreateDirectory(path);
    }

    public void MoveFile(string from, string to)
    {
        Change();
        files.MoveFile(from, to);
    }

    public void MoveDirectory(string from, string to)
    {
        Change();
        files.MoveDirectory(from, to);
    }

    public void DeleteFile(string path)
    {
        Change();
        files.DeleteFile(path);
    }

    public void DeleteDirectory(string path)
    {
        Change();
        files.DeleteDirectory(path);
    }

    public void FlushDirectory(string path)
    {
        Change();
        files.FlushDirectory(path);
    }

    private sealed class Handle(KillSwitch owner, IFile file) : IFile
    {
        public string Path => file.Path;

        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(ReadOnlySpan<byte> bytes, long position)
        {
            owner.Change();
            file.Write(bytes, position);
        }

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            owner.Change();
            file.Write(buffers, position);
        }

        public void Flush()
        {
            owner.Change();
            file.Flush();
        }

        public void SetLength(long length)
        {
            owner.Change();
            file.SetLength(length);
        }

        public void Dispose() => file.Dispose();
    }
}
