using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk with a test's hooks before each operation: to throw, wait, or count.</summary>
internal sealed class FaultyFiles(IFileSystem inner) : WrappedFileSystem(inner)
{
    /// <summary>Called before a write: path, position, bytes.</summary>
    public Action<string, long, int>? OnWrite { get; set; }
    /// <summary>Called before a read: path, position.</summary>
    public Action<string, long>? OnRead { get; set; }
    /// <summary>Called after a read: path.</summary>
    public Action<string>? AfterRead { get; set; }
    /// <summary>Called before a file or directory is created, moved or deleted, and before a directory is flushed.</summary>
    public Action? OnChange { get; set; }
    /// <summary>Called before a flush of a file.</summary>
    public Action<string>? OnFlush { get; set; }
    /// <summary>Called before a flush of a directory.</summary>
    public Action<string>? OnFlushDirectory { get; set; }
    /// <summary>Called before a file is opened.</summary>
    public Action<string>? OnOpen { get; set; }
    /// <summary>Called before a file is truncated.</summary>
    public Action<string>? OnSetLength { get; set; }
    /// <summary>Called before bytes of a file are written back to the disk.</summary>
    public Action<string>? OnWriteBack { get; set; }
    /// <summary>The free space that the volume reports.</summary>
    public long FreeSpace { get; set; } = long.MaxValue;

    /// <summary>Fails as the system does where the process has no handle left.</summary>
    public static void NoHandle(string path) => throw new IOException($"Too many open files : '{path}'", 24);

    public override IFile Open(string path, FileOpening mode)
    {
        OnOpen?.Invoke(path);
        return new FaultyFile(this, Inner.Open(path, mode));
    }

    protected override void Changing() => OnChange?.Invoke();

    public override void FlushDirectory(string path)
    {
        OnFlushDirectory?.Invoke(path);
        base.FlushDirectory(path);
    }

    public override long GetFreeSpace(string path) => FreeSpace;

    private sealed class FaultyFile(FaultyFiles owner, IFile inner) : WrappedFile(inner)
    {
        public override int Read(Span<byte> buffer, long position)
        {
            owner.OnRead?.Invoke(Path, position);
            var read = base.Read(buffer, position);
            owner.AfterRead?.Invoke(Path);
            return read;
        }

        public override void Write(ReadOnlySpan<byte> bytes, long position)
        {
            try
            {
                owner.OnWrite?.Invoke(Path, position, bytes.Length);
            }
            catch (IOException)
            {
                Inner.Write(bytes[..(bytes.Length / 2)], position);
                throw;
            }
            Inner.Write(bytes, position);
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) =>
            Write(buffers.SelectMany(b => b.ToArray()).ToArray(), position);

        public override void Flush()
        {
            owner.OnFlush?.Invoke(Path);
            Inner.Flush();
        }

        public override void WriteBack(long position, long length, bool wait)
        {
            owner.OnWriteBack?.Invoke(Path);
            base.WriteBack(position, length, wait);
        }

        public override void SetLength(long length)
        {
            owner.OnSetLength?.Invoke(Path);
            Inner.SetLength(length);
        }
    }
}
