namespace OrleansMq.Storage;

/// <summary>A sparse byte array in pages. A page that was never written reads as zeros and takes no memory. Not thread-safe.</summary>
internal sealed class PagedBytes
{
    // The page size of most file systems and of the page cache.
    private const int PageSize = 4096;

    private byte[]?[] _pages = [];

    public long Length { get; private set; }

    public int Read(Span<byte> buffer, long position)
    {
        var count = (int)Math.Clamp(Length - position, 0, buffer.Length);
        for (var done = 0; done < count;)
        {
            var (page, offset) = Math.DivRem(position + done, PageSize);
            var target = buffer.Slice(done, Math.Min(count - done, PageSize - (int)offset));
            if (_pages[page] is { } bytes)
                bytes.AsSpan((int)offset, target.Length).CopyTo(target);
            else
                target.Clear();
            done += target.Length;
        }
        return count;
    }

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        if (bytes.IsEmpty)
            return;
        if (position + bytes.Length > Length)
            SetLength(position + bytes.Length);
        while (!bytes.IsEmpty)
        {
            var (page, offset) = Math.DivRem(position, PageSize);
            var part = bytes[..Math.Min(bytes.Length, PageSize - (int)offset)];
            part.CopyTo((_pages[page] ??= new byte[PageSize]).AsSpan((int)offset));
            bytes = bytes[part.Length..];
            position += part.Length;
        }
    }

    public void SetLength(long length)
    {
        var pages = PagesOf(length);
        if (length < Length)
        {
            Array.Clear(_pages, pages, PagesOf(Length) - pages);
            if (length % PageSize != 0)
                _pages[pages - 1]?.AsSpan((int)(length % PageSize)).Clear();
        }
        else if (pages > _pages.Length)
        {
            Array.Resize(ref _pages, Math.Max(pages, _pages.Length * 2));
        }
        Length = length;
    }

    public PagedBytes Clone() => new()
    {
        Length = Length,
        _pages = [.. _pages.Select(page => (byte[]?)page?.Clone())],
    };

    private static int PagesOf(long length) => (int)((length + PageSize - 1) / PageSize);
}
