using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Log;

/// <summary>
/// Whole record batches where they are: in a file, and in the system's memory when they were found. Who sends them has the system send them
/// from there, or reads them piece by piece, into memory that stays in the processor's cache. The file stays open until this is disposed.
/// </summary>
public sealed class LogSlice : IDisposable
{
    private readonly FileLease _lease;
    private bool _isDisposed;

    internal LogSlice(FileLease lease, long position, int length, long firstOffset, long nextOffset)
    {
        _lease = lease;
        Position = position;
        Length = length;
        FirstOffset = firstOffset;
        NextOffset = nextOffset;
    }

    /// <summary>How many bytes.</summary>
    public int Length { get; }

    /// <summary>The first batch's first offset.</summary>
    public long FirstOffset { get; }

    /// <summary>The offset after the last batch: there are no gaps between.</summary>
    public long NextOffset { get; }

    /// <summary>The file it is in, for who has the system send it; null where there is none of the system's. It is open until this is
    /// disposed.</summary>
    public SafeFileHandle? File => _lease.File.Handle;

    /// <summary>Where the file is.</summary>
    public string Path => _lease.File.Path;

    /// <summary>Where it begins in the file.</summary>
    public long Position { get; }

    /// <summary>Fills the buffer with the bytes from <paramref name="start"/> on, up to the end of the slice.</summary>
    /// <returns>How many bytes.</returns>
    /// <exception cref="IOException">The disk failed, or the file was cut.</exception>
    public int Read(Span<byte> buffer, int start)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var wanted = Math.Min(buffer.Length, Length - start);
        var read = _lease.File.Read(buffer[..wanted], Position + start);
        return read == wanted ? read : throw EndsTooEarly(Path, Position + start + read);
    }

    /// <summary>What to throw where a file has no more bytes though records were there.</summary>
    public static IOException EndsTooEarly(string path, long position) =>
        new($"'{path}' ends at {position}, where records were to be read. Look at it with 'omq dump'.");

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _lease.Dispose();
    }
}
