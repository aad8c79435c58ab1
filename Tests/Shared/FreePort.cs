using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Shared;

/// <summary>A port that nobody listens at.</summary>
internal static class FreePort
{
    // Nobody holds a port between its choice and its use: it is chosen once only by this process.
    private static readonly ConcurrentDictionary<int, bool> s_chosen = new();

    /// <summary>Another one at each call.</summary>
    public static int Choose()
    {
        while (true)
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var port = ((IPEndPoint)listener.LocalEndpoint).Port;
            if (s_chosen.TryAdd(port, true))
                return port;
        }
    }
}
