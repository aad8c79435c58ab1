using System.Collections.Concurrent;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>A disk with a page cache: reads and writes leave pages in memory, and reads also those after them.</summary>
internal sealed class PagedFiles(IFileSystem inner) : WrappedFileSystem(inner)
{
    private const int PageBytes = 4096;
    private const int ReadAheadBytes = 128 << 10;

    private readonly ConcurrentDictionary<(string Path, long Page), bool> _pages = new();

    /// <summary>Removes all pages from memory.</summary>
    public void Evict() => _pages.Clear();

    public override IFile Open(string path, FileOpening mode) => new PagedFile(this, Inner.Open(path, mode));

    private void Bring(string path, long position, long length)
    {
        for (var page = position / PageBytes; page * PageBytes < position + length; page++)
            _pages[(path, page)] = true;
    }

    private sealed class PagedFile(PagedFiles owner, IFile inner) : WrappedFile(inner)
    {
        public override int Read(Span<byte> buffer, long position)
        {
            owner.Bring(Path, position, buffer.Length + ReadAheadBytes);
            return base.Read(buffer, position);
        }

        public override void Write(ReadOnlySpan<byte> bytes, long position)
        {
            owner.Bring(Path, position, bytes.Length);
            base.Write(bytes, position);
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            owner.Bring(Path, position, buffers.Sum(static buffer => (long)buffer.Length));
            base.Write(buffers, position);
        }

        public override bool IsInMemory(long position, long length)
        {
            for (var page = position / PageBytes; page * PageBytes < position + length; page++)
            {
                if (!owner._pages.ContainsKey((Path, page)))
                    return false;
            }
            return true;
        }
    }
}
