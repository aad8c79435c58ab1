using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Records;

/// <summary>
/// Whole record batches in a file, which are read when they are sent. The sender uses sendfile from the page cache, or reads them piece by
/// piece. The file stays open until the slice is disposed.
/// </summary>
internal abstract class RecordSlice : IDisposable
{
    /// <summary>The slice's length in bytes.</summary>
    public abstract int Length { get; }

    /// <summary>The first offset of the first batch.</summary>
    public abstract long FirstOffset { get; }

    /// <summary>The offset after the last batch. The batches are contiguous.</summary>
    public abstract long NextOffset { get; }

    /// <summary>The open file, for <c>sendfile</c>; null if the file system has no handle.</summary>
    public abstract SafeFileHandle? File { get; }

    /// <summary>The file's path.</summary>
    public abstract string Path { get; }

    /// <summary>The position in the file at which the slice begins.</summary>
    public abstract long Position { get; }

    /// <summary>Fills the buffer with the bytes from <paramref name="start"/> on, up to the end of the slice.</summary>
    /// <returns>The number of bytes read.</returns>
    /// <exception cref="IOException">The disk failed, or the file was truncated.</exception>
    public abstract int Read(Span<byte> buffer, int start);

    /// <summary>Creates the exception for a file that ends before the expected records.</summary>
    public static IOException EndsTooEarly(string path, long position) =>
        new($"'{path}' ends at {position}, where records were expected. Inspect it with 'omq dump'.");

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the file. A second call has no effect.</summary>
    protected abstract void Dispose(bool disposing);
}
