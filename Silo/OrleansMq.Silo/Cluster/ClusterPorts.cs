using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Silo.Cluster;

/// <summary>The two ports that a silo listens on.</summary>
/// <param name="Silo">The port for other silos.</param>
/// <param name="Gateway">The port for Orleans clients.</param>
internal sealed record ClusterPorts(int Silo, int Gateway)
{
    /// <summary>Orleans' default port for silos.</summary>
    public const int UsualSilo = 11111;

    /// <summary>Orleans' default port for gateways, which a client without configuration uses.</summary>
    public const int UsualGateway = 30000;

    /// <summary>
    /// Chooses the ports: those requested, else the defaults, or free ports if another process has the defaults (a second broker on this
    /// machine).
    /// </summary>
    /// <param name="silo">Null: the default or a free port. 0: a free port.</param>
    /// <param name="gateway">Null: the default or a free port. 0: a free port.</param>
    /// <param name="siloAddress">The interface of the silo port; null for the loopback address.</param>
    /// <param name="gatewayAddress">The interface of the gateway port; null for the loopback address.</param>
    /// <remarks>Both are bound while they are chosen, so that they differ. Another process may take one before the silo starts: the start
    /// then fails and names the port.</remarks>
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
