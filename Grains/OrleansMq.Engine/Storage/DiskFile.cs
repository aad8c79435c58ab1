using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>An open file on the machine's disk. Reading or writing one span allocates nothing.</summary>
internal sealed class DiskFile(string path, SafeFileHandle handle) : IFile
{
    public string Path { get; } = path;

    public long Length => RandomAccess.GetLength(handle);

    public SafeFileHandle Handle => handle;

    public int Read(Span<byte> buffer, long position)
    {
        var total = 0;
        while (total < buffer.Length)
        {
            var read = RandomAccess.Read(handle, buffer[total..], position + total);
            if (read == 0)
                break;
            total += read;
        }
        return total;
    }

    public bool IsInMemory(long position, long length) => OperatingSystem.IsLinux() && PageCache.Holds(handle, position, length);

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        try
        {
            RandomAccess.Write(handle, bytes, position);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(Path, exception);
        }
    }

    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        if (buffers.Count == 1)
        {
            Write(buffers[0].Span, position);
            return;
        }
        if (PosixFiles.HasWriteGather)
        {
            PosixFiles.WriteGather(handle, Path, buffers, position);
            return;
        }
        try
        {
            RandomAccess.Write(handle, buffers, position);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(Path, exception);
        }
    }

    public void Flush()
    {
        if (OperatingSystem.IsLinux())
        {
            PosixFiles.FlushData(handle, Path);
            return;
        }
        try
        {
            RandomAccess.FlushToDisk(handle);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(Path, exception);
        }
    }

    public void WriteBack(long position, long length, bool wait)
    {
        if (OperatingSystem.IsLinux())
            PosixFiles.WriteBack(handle, Path, position, length, wait);
    }

    public void SetLength(long length)
    {
        try
        {
            RandomAccess.SetLength(handle, length);
        }
        catch (IOException exception) when (DiskFaults.IsDiskFull(exception))
        {
            throw new DiskFullException(Path, exception);
        }
    }

    public void Dispose() => handle.Dispose();
}
