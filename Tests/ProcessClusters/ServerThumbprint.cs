using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The certificate that a server shows to a new connection.</summary>
internal static class ServerThumbprint
{
    /// <summary>Connects, and returns the thumbprint.</summary>
    /// <param name="address">Host and port.</param>
    public static async Task<string> OfAsync(string address)
    {
        var endpoint = IPEndPoint.Parse(address);
        using var client = new TcpClient();
        await client.ConnectAsync(endpoint);
        string? shown = null;
        await using var stream = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, (_, certificate, _, _) =>
        {
            shown = ((X509Certificate2)certificate!).Thumbprint;
            return true;
        });
        try
        {
            await stream.AuthenticateAsClientAsync("localhost");
        }
        catch (Exception refused) when (shown is not null && refused is AuthenticationException or IOException)
        {
            // The server wants a certificate of its client.
        }
        return shown!;
    }
}
