using System.IO.Pipelines;
using System.Net.Security;

namespace OrleansMq.Silo.Cluster.Tls;

/// <summary>The pipes of a connection over TLS: what is read is decrypted, what is written is encrypted.</summary>
internal sealed class TlsPipes : IDuplexPipe, IAsyncDisposable
{
    // A record of TLS has up to 16 KiB; several arrive together.
    private const int BufferBytes = 64 << 10;
    private const int LeastReadBytes = 16 << 10;

    private readonly SslStream _stream;

    /// <param name="stream">The stream, after its handshake.</param>
    public TlsPipes(SslStream stream)
    {
        _stream = stream;
        Input = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: BufferBytes, minimumReadSize: LeastReadBytes,
            leaveOpen: true));
        Output = PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: LeastReadBytes, leaveOpen: true));
    }

    /// <inheritdoc/>
    public PipeReader Input { get; }

    /// <inheritdoc/>
    public PipeWriter Output { get; }

    /// <summary>Ends both directions. The connection below stays as it is.</summary>
    public async ValueTask DisposeAsync()
    {
        await Input.CompleteAsync().ConfigureAwait(false);
        await Output.CompleteAsync().ConfigureAwait(false);
        await _stream.DisposeAsync().ConfigureAwait(false);
    }
}
