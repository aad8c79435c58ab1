using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Gateways.Connections;

/// <summary>Connections within this machine.</summary>
internal static class LocalConnections
{
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int Congestion = 13; // TCP_CONGESTION
    private const int MaxNameBytes = 16; // TCP_CA_NAME_MAX

    /// <summary>
    /// Switches a connection within this machine from BBR to Reno (Linux). BBR paces by what it has measured of the network. Here it
    /// measures how the scheduler runs the two processes, and was seen to leave a thousandth of the rate. Other connections and other
    /// algorithms stay unchanged.
    /// </summary>
    public static void LeaveUnpaced(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket.RemoteEndPoint is not IPEndPoint remote || socket.LocalEndPoint is not IPEndPoint local
            || !IsWithinMachine(local.Address, remote.Address))
            return;
        try
        {
            Span<byte> name = stackalloc byte[MaxNameBytes];
            var length = socket.GetRawSocketOption(TcpLevel, Congestion, name);
            if (name[..length].StartsWith("bbr"u8))
                socket.SetRawSocketOption(TcpLevel, Congestion, "reno"u8);
        }
        catch (SocketException fault)
            when (fault.SocketErrorCode is SocketError.ProtocolOption or SocketError.OperationNotSupported or SocketError.AccessDenied)
        {
            // A sandbox without this option: the connection stays unchanged.
        }
    }

    /// <summary>Whether a connection between two addresses stays within the machine.</summary>
    private static bool IsWithinMachine(IPAddress local, IPAddress remote) => IPAddress.IsLoopback(remote) || remote.Equals(local);
}
