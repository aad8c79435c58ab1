using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Networking;

/// <summary>Connections that do not leave this machine.</summary>
public static class LocalConnections
{
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int Congestion = 13; // TCP_CONGESTION
    private const int MaxNameBytes = 16; // TCP_CA_NAME_MAX

    /// <summary>
    /// Takes such a connection from an algorithm of Linux that paces by what it has measured of a network (BBR), to one that does not
    /// (Reno). There is no network to measure: what BBR takes for one is how the processes got their turns, and it was seen to leave a
    /// thousandth of the rate. Other connections, and other algorithms, stay as they are.
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
            // A sandbox without it: then it stays as it is.
        }
    }

    /// <summary>Whether a connection between two addresses stays within the machine.</summary>
    internal static bool IsWithinMachine(IPAddress local, IPAddress remote) => IPAddress.IsLoopback(remote) || remote.Equals(local);
}
