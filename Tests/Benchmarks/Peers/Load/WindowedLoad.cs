using System.Net.Sockets;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A connection with a bounded window of unanswered requests.</summary>
internal interface IWindowedConnection
{
    /// <summary>The connection on which answers arrive.</summary>
    WireConnection Connection { get; }

    /// <summary>Sends as many requests as fit in the window.</summary>
    /// <returns>Whether an answer is outstanding.</returns>
    bool Fill(Pace pace);

    /// <summary>Reads an answer, waiting for it.</summary>
    /// <exception cref="LoadFailedException">The answer is an error.</exception>
    void ReadAnswer(LatencyHistogram latencies);
}

/// <summary>Sends at full speed. A few connections have a thread each. Many share one thread, since switching threads with almost every
/// answer costs more than sending and receiving. With TLS each has a thread: what TLS has received and holds, the socket does not
/// tell.</summary>
internal static class WindowedLoad
{
    /// <summary>The maximum number of connections without TLS that have a thread each.</summary>
    public const int MostThreads = 16;

    /// <summary>Sends all requests of the run and returns when they are answered.</summary>
    /// <exception cref="LoadFailedException">An answer was an error.</exception>
    public static void Run(IReadOnlyList<IWindowedConnection> connections, Pace pace, LatencyHistogram latencies)
    {
        if (connections.Count > MostThreads && !connections.Any(static connection => connection.Connection.HasTls))
            ServeAll(connections, pace, latencies);
        else
            LoadThreads.RunAll(connections.Select<IWindowedConnection, Action>(connection => () => Serve(connection, pace, latencies)),
                pace.Stop);
    }

    /// <summary>Sends this connection's requests of the run and returns when they are answered.</summary>
    public static void Serve(IWindowedConnection connection, Pace pace, LatencyHistogram latencies)
    {
        while (connection.Fill(pace))
            ReadAnswers(connection, latencies);
    }

    /// <summary>Reads the available answers and waits for the first.</summary>
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
