using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Shared;

/// <summary>Chooses free ports.</summary>
internal static class FreePort
{
    // A port is not reserved between its choice and its use, so this process never chooses one twice.
    private static readonly ConcurrentDictionary<int, bool> s_chosen = new();

    /// <summary>Returns another port at each call.</summary>
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
