using System.IO.Pipelines;
using System.Net.Security;

namespace OrleansMq.Connections;

/// <summary>The pipes of a connection over TLS: what is read is decrypted, what is written is encrypted.</summary>
/// <param name="stream">The stream, after its handshake. It stays open.</param>
internal sealed class TlsPipes(SslStream stream) : IDuplexPipe
{
    // A record of TLS has up to 16 KiB; several arrive together.
    private const int BufferBytes = 64 << 10;
    private const int LeastReadBytes = 16 << 10;

    /// <inheritdoc/>
    public PipeReader Input { get; } = PipeReader.Create(stream,
        new StreamPipeReaderOptions(bufferSize: BufferBytes, minimumReadSize: LeastReadBytes, leaveOpen: true));

    /// <inheritdoc/>
    public PipeWriter Output { get; } = PipeWriter.Create(stream,
        new StreamPipeWriterOptions(minimumBufferSize: LeastReadBytes, leaveOpen: true));
}
