using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>Finds ports for programs that cannot take a free one themselves.</summary>
internal static class FreePorts
{
    // Below what Linux gives to outgoing connections (32768 on), above what is commonly taken.
    private const int Lowest = 20_000;
    private const int Highest = 31_000;
    private const int FirstOutgoing = 32_768;
    private const int Choice = 2000;

    /// <summary>A port that is free on 127.0.0.1, with others at a distance from it.</summary>
    public static int Find(params int[] distances)
    {
        // Also those at a distance stay below what outgoing connections get: on a busy machine such a port may be gone before the program
        // binds it.
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
