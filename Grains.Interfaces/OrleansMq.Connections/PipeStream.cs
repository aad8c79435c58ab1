using System.IO.Pipelines;
using OrleansMq.Tls;

namespace OrleansMq.Connections;

/// <summary>A connection's pipes as a stream, which TLS reads from and writes to. For one reader and one writer at a time. It ends when
/// the other side does, or when a read of the pipes is cancelled, as Orleans does to close a connection.</summary>
/// <param name="pipes">The connection's pipes. They stay open.</param>
internal sealed class PipeStream(IDuplexPipe pipes) : AsyncStream
{
    private bool _isCanceled;

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (!_isCanceled)
        {
            var read = await pipes.Input.ReadAsync(cancellationToken).ConfigureAwait(false);
            var arrived = read.Buffer;
            // A pipe tells it once, and SslStream first reads zero bytes, to learn whether there are any.
            _isCanceled = read.IsCanceled;
            if (arrived.IsEmpty && !read.IsCompleted && !read.IsCanceled)
            {
                pipes.Input.AdvanceTo(arrived.End);
                continue;
            }
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
        return 0;
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var flushed = await pipes.Output.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
        if (flushed.IsCompleted)
            throw new IOException("The connection is closed.");
    }
}
