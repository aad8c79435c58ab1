using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Finds ports for programs that cannot take a free one themselves.</summary>
internal static class FreePorts
{
    // Below Linux's range of outgoing ports (from 32768), above commonly used ports.
    private const int Lowest = 20_000;
    private const int Highest = 31_000;
    private const int FirstOutgoing = 32_768;
    private const int Choice = 2000;

    /// <summary>Finds a free port on 127.0.0.1 whose ports at the given distances are free as well.</summary>
    public static int Find(params int[] distances)
    {
        // Ports at a distance also stay below the outgoing range, since on a busy machine such a port may be taken before the program binds
        // it.
        var highest = Math.Min(Highest, FirstOutgoing - distances.DefaultIfEmpty().Max());
        var lowest = Math.Min(Lowest, highest - Choice);
        while (true)
        {
            var port = Random.Shared.Next(lowest, highest);
            if (distances.Prepend(0).All(distance => IsFree(port + distance)))
                return port;
        }
    }

    private static bool IsFree(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
