using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Gateways.Connections;

/// <summary>What the connections of one gateway may use.</summary>
internal sealed record ConnectionLimits
{
    /// <summary>Connections from all addresses. Further ones are closed when they are accepted.</summary>
    public required int MaxConnections { get; init; }

    /// <summary>Connections from one address. Further ones are closed when they are accepted.</summary>
    public required int MaxConnectionsPerAddress { get; init; }

    /// <summary>How long a connection may be silent, or an answer unread, before the connection is closed.</summary>
    public required TimeSpan MaxIdle { get; init; }

    /// <summary>Bytes of requests in flight on all connections; one more request may grow beyond it.</summary>
    public required long MaxInFlightBytes { get; init; }

    /// <summary>Bytes of requests in flight on one connection. One request is always admitted.</summary>
    public required long MaxInFlightBytesPerConnection { get; init; }

    /// <summary>Threads that serve small requests of many connections each. 0: the thread pool serves all.</summary>
    public required int Loops { get; init; }

    /// <summary>The loops that this system can run: none but on Linux.</summary>
    public int SupportedLoops => Epoll.IsSupported ? Loops : 0;
}
