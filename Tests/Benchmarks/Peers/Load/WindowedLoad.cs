using System.Net.Sockets;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A connection on which so many requests are unanswered as its window takes.</summary>
internal interface IWindowedConnection
{
    /// <summary>Where the answers come.</summary>
    WireConnection Connection { get; }

    /// <summary>Sends what the window has room for.</summary>
    /// <returns>Whether an answer is to come.</returns>
    bool Fill(Pace pace);

    /// <summary>Reads an answer; waits for it.</summary>
    /// <exception cref="LoadFailedException">It is an error.</exception>
    void ReadAnswer(LatencyHistogram latencies);
}

/// <summary>
/// Sends as fast as it goes. A few connections have a thread each; many share one, since it would be changed for another with almost every
/// answer, which takes more time than sending and receiving do.
/// </summary>
internal static class WindowedLoad
{
    /// <summary>Connections that have a thread each at most.</summary>
    public const int MostThreads = 16;

    /// <summary>Sends all of the run's requests, and returns when they are answered.</summary>
    /// <exception cref="LoadFailedException">An answer was an error.</exception>
    public static void Run(IReadOnlyList<IWindowedConnection> connections, Pace pace, LatencyHistogram latencies)
    {
        if (connections.Count > MostThreads)
            ServeAll(connections, pace, latencies);
        else
            LoadThreads.RunAll(connections.Select<IWindowedConnection, Action>(connection => () => Serve(connection, pace, latencies)),
                pace.Stop);
    }

    /// <summary>Sends what this connection gets of the run's requests, and returns when they are answered.</summary>
    public static void Serve(IWindowedConnection connection, Pace pace, LatencyHistogram latencies)
    {
        while (connection.Fill(pace))
            ReadAnswers(connection, latencies);
    }

    /// <summary>Reads the answers that are there; waits for the first.</summary>
    private static void ReadAnswers(IWindowedConnection connection, LatencyHistogram latencies)
    {
        do
            connection.ReadAnswer(latencies);
        while (connection.Connection.HasBuffered);
    }

    private static void ServeAll(IReadOnlyList<IWindowedConnection> connections, Pace pace, LatencyHistogram latencies)
    {
        const int forEver = -1;
        var waiting = connections.Where(connection => connection.Fill(pace))
            .ToDictionary(static connection => connection.Connection.Socket);
        var ready = new List<Socket>(waiting.Count);
        while (waiting.Count > 0)
        {
            ready.Clear();
            ready.AddRange(waiting.Keys);
            Socket.Select(ready, null, null, forEver);
            foreach (var socket in ready)
            {
                var connection = waiting[socket];
                ReadAnswers(connection, latencies);
                if (!connection.Fill(pace))
                    waiting.Remove(socket);
            }
        }
    }
}
