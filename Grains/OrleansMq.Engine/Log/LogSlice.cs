using Microsoft.Win32.SafeHandles;
using OrleansMq.Records;

namespace OrleansMq.Log;

/// <summary>A slice of a segment's log. Its lease keeps the file open.</summary>
internal sealed class LogSlice(FileLease lease, long position, int length, long firstOffset, long nextOffset) : RecordSlice
{
    private bool _isDisposed;

    /// <inheritdoc/>
    public override int Length { get; } = length;

    /// <inheritdoc/>
    public override long FirstOffset { get; } = firstOffset;

    /// <inheritdoc/>
    public override long NextOffset { get; } = nextOffset;

    /// <inheritdoc/>
    public override SafeFileHandle? File => lease.File.Handle;

    /// <inheritdoc/>
    public override string Path => lease.File.Path;

    /// <inheritdoc/>
    public override long Position { get; } = position;

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer, int start)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var wanted = Math.Min(buffer.Length, Length - start);
        var read = lease.File.Read(buffer[..wanted], Position + start);
        return read == wanted ? read : throw EndsTooEarly(Path, Position + start + read);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        lease.Dispose();
    }
}
