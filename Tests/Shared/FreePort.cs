using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Shared;

/// <summary>Chooses free ports.</summary>
internal static class FreePort
{
    // Below Linux's range of outgoing ports (from 32768), from which binds to port 0 are served, too; and below the ports that Orleans uses
    // by default.
    private const int Lowest = 20_000;
    private const int End = 30_000;

    // A port is not reserved between its choice and its use, so this process never chooses one twice.
    private static readonly ConcurrentDictionary<int, bool> s_chosen = new();

    /// <summary>Returns another port at each call.</summary>
    public static int Choose()
    {
        while (true)
        {
            var port = Random.Shared.Next(Lowest, End);
            if (s_chosen.TryAdd(port, true) && IsFree(port))
                return port;
            if (s_chosen.Count == End - Lowest)
                throw new InvalidOperationException($"No port from {Lowest} to {End - 1} is free, or this process has chosen all of them.");
        }
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
