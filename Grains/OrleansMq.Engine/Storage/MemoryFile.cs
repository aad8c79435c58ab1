namespace OrleansMq.Storage;

/// <summary>An open file of a <see cref="MemoryFileSystem"/>. It survives a rename or delete, and is closed with its process.</summary>
internal sealed class MemoryFile(MemoryFileSystem owner, string path, MemoryInode inode, bool canWrite) : IFile
{
    private volatile bool _closed;

    public string Path { get; } = path;

    public long Length
    {
        get
        {
            using var scope = Enter();
            return inode.Length;
        }
    }

    public int Read(Span<byte> buffer, long position)
    {
        using var scope = Enter();
        var read = inode.Read(buffer, position);
        owner.Count(Path, read, 0, 0);
        return read;
    }

    public bool IsInMemory(long position, long length) => owner.HoldsPages;

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        using var scope = EnterToWrite();
        WriteWithin(bytes, position);
    }

    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        using var scope = EnterToWrite();
        for (var i = 0; i < buffers.Count; i++)
        {
            WriteWithin(buffers[i].Span, position);
            position += buffers[i].Length;
        }
    }

    private void WriteWithin(ReadOnlySpan<byte> bytes, long position)
    {
        var room = owner.RoomFor(inode, position, bytes.Length);
        inode.Write(bytes[..room], position);
        owner.Count(Path, 0, room, 0);
        if (room < bytes.Length)
            throw new DiskFullException(Path);
    }

    public void Flush()
    {
        using var scope = Enter();
        inode.Flush();
        owner.Count(Path, 0, 0, 1);
    }

    public void SetLength(long length)
    {
        using var scope = EnterToWrite();
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        inode.SetLength(length);
    }

    public void Dispose() => _closed = true;

    // Under the file system's lock, so that a crash happens between two calls, never within one.
    private Lock.Scope Enter()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        return owner.EnterAlive();
    }

    private Lock.Scope EnterToWrite()
    {
        if (!canWrite)
            throw new UnauthorizedAccessException($"'{Path}' was opened to read only.");
        return Enter();
    }
}
