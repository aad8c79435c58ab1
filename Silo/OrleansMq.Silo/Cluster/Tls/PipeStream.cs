using System.IO.Pipelines;

namespace OrleansMq.Silo.Cluster.Tls;

/// <summary>A connection's pipes as a stream, which TLS reads from and writes to. For one reader and one writer at a time.</summary>
/// <param name="pipes">The connection's pipes. They stay open.</param>
internal sealed class PipeStream(IDuplexPipe pipes) : Stream
{
    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            var read = await pipes.Input.ReadAsync(cancellationToken).ConfigureAwait(false);
            var arrived = read.Buffer;
            if (arrived.IsEmpty && !read.IsCompleted && !read.IsCanceled)
            {
                pipes.Input.AdvanceTo(arrived.End);
                continue;
            }
            // A read that is cancelled is how a connection is aborted.
            var count = (int)Math.Min(arrived.Length, buffer.Length);
            var taken = arrived.Slice(0, count);
            var left = buffer.Span;
            foreach (var piece in taken)
            {
                piece.Span.CopyTo(left);
                left = left[piece.Length..];
            }
            pipes.Input.AdvanceTo(taken.End);
            return count;
        }
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var flushed = await pipes.Output.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
        if (flushed.IsCompleted)
            throw new IOException("The connection is closed.");
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Read asynchronously.");

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("Write asynchronously.");

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();
}
