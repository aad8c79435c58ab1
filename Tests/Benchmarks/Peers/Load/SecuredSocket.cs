using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>TLS over a connected socket, with blocking calls. One thread may send while another receives.</summary>
internal sealed class SecuredSocket : IDisposable
{
    private readonly SslStream _stream;

    private SecuredSocket(SslStream stream) => _stream = stream;

    /// <summary>Shakes hands with a broker. A failure disposes the socket.</summary>
    /// <param name="socket">The connected socket.</param>
    /// <param name="endpoint">HOST:PORT, for error messages.</param>
    /// <param name="host">The name or address that the broker's certificate must have.</param>
    /// <param name="authorities">The trusted authorities.</param>
    /// <param name="receiveBytes">The size of the buffer below TLS, which a system call may fill.</param>
    /// <exception cref="LoadFailedException">The handshake fails, or the certificate is not trusted.</exception>
    public static SecuredSocket Open(Socket socket, string endpoint, string host, X509Certificate2Collection authorities,
        int receiveBytes)
    {
        var stream = new SslStream(new SocketStream(socket, receiveBytes));
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.AddRange(authorities);
        try
        {
            stream.AuthenticateAsClient(new SslClientAuthenticationOptions { TargetHost = host, CertificateChainPolicy = policy });
            return new SecuredSocket(stream);
        }
        catch (Exception failed) when (failed is AuthenticationException or IOException or SocketException)
        {
            stream.Dispose();
            socket.Dispose();
            throw new LoadFailedException($"{endpoint}: TLS failed: {failed.GetBaseException().Message.TrimEnd('.')}. The port must have "
                + $"TLS, and its certificate, with the name '{host}', must come from an authority in --tls-ca.");
        }
    }

    /// <summary>Sends bytes.</summary>
    /// <returns>Their number.</returns>
    /// <exception cref="LoadFailedException">The connection broke.</exception>
    public int Send(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream.Write(bytes);
            _stream.Flush();
            return bytes.Length;
        }
        catch (Exception broken) when (broken is IOException or SocketException)
        {
            throw Broken(broken);
        }
    }

    /// <summary>Receives what has arrived, waiting for something.</summary>
    /// <returns>The number of bytes; 0: the broker closed the connection.</returns>
    /// <exception cref="LoadFailedException">The connection broke.</exception>
    public int Receive(Span<byte> buffer)
    {
        try
        {
            return _stream.Read(buffer);
        }
        catch (Exception broken) when (broken is IOException or SocketException)
        {
            throw Broken(broken);
        }
    }

    public void Dispose() => _stream.Dispose();

    private static LoadFailedException Broken(Exception broken) =>
        new($"The connection with TLS broke: {broken.GetBaseException().Message.TrimEnd('.')}. See the broker's log.");
}
