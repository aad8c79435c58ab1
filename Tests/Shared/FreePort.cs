using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Shared;

/// <summary>Chooses free ports.</summary>
internal static class FreePort
{
    // Below the ports that Orleans uses by default, and below Linux's range of outgoing ports, from which binds to port 0 are served, too.
    // A port of that range may be taken before the program binds it, also by a connection that ended less than a minute ago.
    private const int Lowest = 20_000;
    private const int End = 30_000;
    private const int FirstOutgoing = 32_768;

    // How many ports there are to choose from where a distance leaves no port of the range above.
    private const int Fewest = 2000;

    // A port is not reserved between its choice and its use, so this process never chooses one twice.
    private static readonly ConcurrentDictionary<int, bool> s_chosen = new();

    /// <summary>Returns another port at each call.</summary>
    /// <param name="distances">How far above it the other ports are that the program binds. They are free, too.</param>
    public static int Choose(params int[] distances)
    {
        var end = Math.Min(End, FirstOutgoing - distances.DefaultIfEmpty().Max());
        var lowest = Math.Min(Lowest, end - Fewest);
        for (var tries = 0; tries < 10 * (end - lowest); tries++)
        {
            var port = Random.Shared.Next(lowest, end);
            if (distances.Prepend(0).Distinct().All(distance => s_chosen.TryAdd(port + distance, true) && IsFree(port + distance)))
                return port;
        }
        throw new InvalidOperationException($"No port from {lowest} to {end - 1} is free, or this process has chosen all of them.");
    }

    private static bool IsFree(int port)
    {
        using var listener = new TcpListener(IPAddress.Any, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException taken) when (taken.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
        {
            return false;
        }
    }
}
