using System.Net;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp;

/// <summary>The options of an AMQP gateway.</summary>
public sealed record AmqpGatewayOptions
{
    /// <summary>The endpoint to listen on: port 5672 of the loopback address. Port 0 takes a free port. The IPv6 any address includes
    /// IPv4.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 5672);

    /// <summary>Connections from all addresses: without a limit. Further ones are closed on accept.</summary>
    public int MaxConnections { get; init; } = int.MaxValue;

    /// <summary>The largest body of a message: 16 MiB. A larger one closes its channel.</summary>
    public int MaxMessageBytes { get; init; } = 16 << 20;

    /// <summary>The clock.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    internal EngineLog Log { get; init; } = EngineLog.Silent;
}
