using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>A client with TLS that trusts one authority.</summary>
internal static class TlsClient
{
    /// <summary>Connects and shakes hands.</summary>
    /// <param name="endPoint">The port.</param>
    /// <param name="authority">The authority that is trusted.</param>
    /// <param name="certificate">The client's certificate; null for none.</param>
    /// <param name="host">The host that is asked for.</param>
    public static async Task<SslStream> ConnectAsync(IPEndPoint endPoint, X509Certificate2 authority, X509Certificate2? certificate = null,
        string host = "localhost")
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(endPoint);
        return await ShakeHandsAsync(client.GetStream(), authority, certificate, host);
    }

    /// <summary>Shakes hands over a connection.</summary>
    public static async Task<SslStream> ShakeHandsAsync(Stream connection, X509Certificate2 authority, X509Certificate2? certificate = null,
        string host = "localhost")
    {
        var stream = new SslStream(connection);
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        try
        {
            await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
            {
                TargetHost = host,
                ClientCertificates = certificate is null ? null : [certificate],
                LocalCertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
                CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust,
                    CustomTrustStore = { authority },
                    RevocationMode = X509RevocationMode.NoCheck,
                },
            }, patience.Token);
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
        return stream;
    }
}
