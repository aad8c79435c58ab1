using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Silo.Cluster;

/// <summary>The two ports a silo listens on.</summary>
/// <param name="Silo">For other silos.</param>
/// <param name="Gateway">For Orleans clients.</param>
internal sealed record ClusterPorts(int Silo, int Gateway)
{
    /// <summary>Orleans' own default for silos.</summary>
    public const int UsualSilo = 11111;

    /// <summary>Orleans' own default for gateways: a client that is told nothing calls here.</summary>
    public const int UsualGateway = 30000;

    /// <summary>
    /// The ports that were asked for; of those that were not, the usual ones, or free ones where another process has them (a second broker
    /// on this machine).
    /// </summary>
    /// <param name="silo">Null: the usual one or a free one. 0: a free one.</param>
    /// <param name="gateway">Null: the usual one or a free one. 0: a free one.</param>
    /// <param name="siloAddress">The interface for the one; null: the loopback address.</param>
    /// <param name="gatewayAddress">The interface for the other; null: the loopback address.</param>
    /// <remarks>Both are held while they are chosen, so that they differ. Between this and the silo's start another process may take one:
    /// the start then fails and names the port.</remarks>
    public static ClusterPorts Choose(int? silo, int? gateway, IPAddress? siloAddress = null, IPAddress? gatewayAddress = null)
    {
        using var siloListener = Hold(siloAddress ?? IPAddress.Loopback, silo ?? UsualSilo, orFree: silo is null);
        using var gatewayListener = Hold(gatewayAddress ?? IPAddress.Loopback, gateway ?? UsualGateway, orFree: gateway is null);
        return new ClusterPorts(PortOf(siloListener), PortOf(gatewayListener));
    }

    private static TcpListener Hold(IPAddress address, int port, bool orFree)
    {
        var listener = new TcpListener(address, port);
        if (address.Equals(IPAddress.IPv6Any))
            listener.Server.DualMode = true;
        try
        {
            listener.Start();
            return listener;
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
        {
            listener.Dispose();
            return orFree
                ? Hold(address, 0, orFree: false)
                : throw new IOException($"Port {port} is taken. Stop the process that listens on it, or choose another with "
                    + "--orleans-port or --gateway-port.", exception);
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.AddressNotAvailable)
        {
            listener.Dispose();
            throw new IOException($"This machine has no address {address} to listen on. Where --advertised is not an address of this "
                + "machine's own "
                + "(behind a proxy or NAT), give --orleans-port and --gateway-port as HOST:PORT, such as *:11111.", exception);
        }
    }

    private static int PortOf(TcpListener listener) => ((IPEndPoint)listener.LocalEndpoint).Port;
}
