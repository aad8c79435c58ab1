using System.Net.Sockets;
using Orleans.Networking.Shared;

namespace OrleansMq.Connections;

/// <summary>What Orleans' public options say of sockets, applied to ours.</summary>
internal static class SocketOptions
{
    /// <summary>Applies them.</summary>
    public static void Apply(this SocketConnectionOptions options, Socket socket)
    {
        socket.NoDelay = options.NoDelay;
        if (!options.KeepAlive)
            return;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, options.KeepAliveTimeSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, options.KeepAliveIntervalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, options.KeepAliveRetryCount);
    }

    /// <summary>A socket for an endpoint. Closed, it keeps no port: a silo that starts again finds it free.</summary>
    public static Socket Create(AddressFamily family) =>
        new(family, SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
}
