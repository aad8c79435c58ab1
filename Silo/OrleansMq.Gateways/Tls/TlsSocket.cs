using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography;
using OrleansMq.Gateways.Connections;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Tls;

/// <summary>A client's socket with TLS on it. .NET encrypts in memory: no loop serves it, and the system sends no files on it. Nothing may
/// be sent on its <see cref="ClientSocket.Socket"/> directly.</summary>
internal sealed class TlsSocket : ClientSocket
{
    // The most for one call, so that a slow client is seen to receive.
    private const int SendBytes = 256 << 10;
    // How long the end may take to be sent: a client that does not receive is not waited for.
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(1);

    private readonly TlsTransport _transport;
    private readonly SslStream _stream;
    private readonly WatchedCertificates _certificates;
    // One sends at a time, also the end of TLS.
    private readonly SemaphoreSlim _sending = new(1, 1);
    // Whether more is likely to have arrived.
    private bool _isMoreLikely;
    private bool _isOpen;
    private int _hasEnded;

    /// <param name="socket">The socket, which this object owns.</param>
    /// <param name="certificates">The port's certificates.</param>
    public TlsSocket(Socket socket, WatchedCertificates certificates)
        : base(socket)
    {
        _certificates = certificates;
        _transport = new TlsTransport(socket);
        _stream = new SslStream(_transport, leaveInnerStreamOpen: true);
    }

    /// <inheritdoc/>
    public override bool SendsFiles => false;

    /// <summary>The client's name by its certificate, such as <c>User:CN=alice</c>; null where it has none, and before the
    /// handshake.</summary>
    public string? Principal { get; private set; }

    /// <summary>Whether the client has sent anything.</summary>
    public bool HasReceived => _transport.HasReceived;

    /// <summary>Shakes hands.</summary>
    /// <param name="cancellationToken">Abandons it; the connection can only be closed then.</param>
    /// <exception cref="OperationCanceledException">It was abandoned.</exception>
    /// <exception cref="AuthenticationException">Client and broker do not agree. The message is for the operator.</exception>
    /// <exception cref="NotTlsException">The client does not speak TLS.</exception>
    /// <exception cref="IOException">The client disconnected.</exception>
    public async Task HandshakeAsync(CancellationToken cancellationToken)
    {
        string? refusal = null;
        var hasHello = false;
        _transport.BeginHandshake();
        // Ends what is pending on the socket. To cancel it would leave .NET to wait for the socket's next event when it is closed.
        await using var abandon = cancellationToken.UnsafeRegister(
            static self => ((TlsSocket)self!).ShutSocketDown(SocketShutdown.Both), this);
        try
        {
            await _stream.AuthenticateAsServerAsync((_, hello, _, _) =>
            {
                hasHello = true;
                return new ValueTask<SslServerAuthenticationOptions>(
                    _certificates.OptionsFor(hello.ServerName, reason => refusal = reason));
            }, null).ConfigureAwait(false);
            Principal = _certificates.PrincipalOf(_stream.RemoteCertificate);
            _isOpen = true;
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
        catch (AuthenticationException fault)
        {
            throw new AuthenticationException(refusal ?? fault.GetBaseException().Message, fault);
        }
        catch (Exception unmapped) when (unmapped is TlsConfigurationException or CryptographicException)
        {
            throw new AuthenticationException(unmapped.Message, unmapped);
        }
        catch (Exception fault) when (!hasHello && Handshakes.IsNoHello(fault))
        {
            throw new AuthenticationException("the client's first message is no ClientHello", fault);
        }
        finally
        {
            _transport.EndHandshake();
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> into)
    {
        await _transport.EnterAsync().ConfigureAwait(false);
        try
        {
            // Waits without a buffer: an idle connection holds no memory.
            if (!_isMoreLikely)
                await _stream.ReadAsync(Memory<byte>.Empty).ConfigureAwait(false);
            var count = await _stream.ReadAsync(into).ConfigureAwait(false);
            _isMoreLikely = count == into.Length;
            return count;
        }
        catch (IOException fault)
        {
            throw Broken(fault);
        }
        finally
        {
            _transport.Leave();
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        await _sending.WaitAsync().ConfigureAwait(false);
        try
        {
            var count = Math.Min(bytes.Length, SendBytes);
            _transport.Collect();
            await _stream.WriteAsync(bytes[..count]).ConfigureAwait(false);
            await _transport.SendCollectedAsync().ConfigureAwait(false);
            return count;
        }
        catch (IOException fault)
        {
            throw Broken(fault);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces)
    {
        await _sending.WaitAsync().ConfigureAwait(false);
        try
        {
            var count = 0;
            _transport.Collect();
            foreach (var piece in pieces)
            {
                var part = piece[..Math.Min(piece.Count, SendBytes - count)];
                await _stream.WriteAsync(part).ConfigureAwait(false);
                count += part.Count;
                if (count == SendBytes)
                    break;
            }
            await _transport.SendCollectedAsync().ConfigureAwait(false);
            return count;
        }
        catch (IOException fault)
        {
            throw Broken(fault);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <inheritdoc/>
    public override void Shutdown(SocketShutdown side)
    {
        if (side == SocketShutdown.Receive)
            Socket.Shutdown(side);
        else
            _ = EndSendingAsync(side);
    }

    /// <inheritdoc/>
    public override async ValueTask EndAsync()
    {
        await SendEndAsync().ConfigureAwait(false);
        // Not in Dispose, which cuts a connection that is sending.
        await _stream.DisposeAsync().ConfigureAwait(false);
    }

    private async Task EndSendingAsync(SocketShutdown side)
    {
        await SendEndAsync().ConfigureAwait(false);
        ShutSocketDown(side);
    }

    private async Task SendEndAsync()
    {
        if (!_isOpen || Interlocked.Exchange(ref _hasEnded, 1) != 0)
            return;
        // A client that receives nothing holds up a send: the connection ends without the end of TLS.
        if (!await _sending.WaitAsync(EndTime).ConfigureAwait(false))
            return;
        try
        {
            await ShutDownAsync().ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is IOException or SocketException or ObjectDisposedException or InvalidOperationException
            or TimeoutException or AuthenticationException or CryptographicException)
        {
            // The client has gone, or receives nothing, or what it sent was no TLS.
        }
        finally
        {
            _sending.Release();
        }
    }

    private async Task ShutDownAsync()
    {
        Task sending;
        await _transport.EnterAsync().ConfigureAwait(false);
        try
        {
            // Returns once it has computed what is sent.
            sending = _stream.ShutdownAsync();
        }
        finally
        {
            _transport.Leave();
        }
        await sending.WaitAsync(EndTime).ConfigureAwait(false);
    }

    private void ShutSocketDown(SocketShutdown side)
    {
        try
        {
            Socket.Shutdown(side);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The connection has ended already.
        }
    }

    private static Exception Broken(IOException fault) => fault.GetBaseException() is SocketException or ObjectDisposedException
        ? fault.GetBaseException() : new SocketException((int)SocketError.ConnectionReset, fault.Message);
}
