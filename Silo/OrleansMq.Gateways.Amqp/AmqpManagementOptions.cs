using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Amqp;

/// <summary>The options of RabbitMQ's management API.</summary>
public sealed record AmqpManagementOptions
{
    /// <summary>The endpoint to listen on: port 15672 of the loopback address. Port 0 takes a free port. The IPv6 any address includes
    /// IPv4.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 15672);

    /// <summary>The certificates with which the port speaks TLS; null: it does not.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>
    /// The host names by which clients may address the API: <c>broker-1</c>, <c>*.example.com</c>, or <c>*</c> for all. Localhost, the
    /// machine's name and every IP address are always allowed. A request for another host is refused, since it may come from a web page
    /// that has its own name resolve to this broker.
    /// </summary>
    public IReadOnlyList<string> Hosts { get; init; } = [];

    /// <summary>Connections from all addresses: 64. Further ones are closed on accept. A quarter of them may come from one address, and all
    /// from the loopback address.</summary>
    public int MaxConnections { get; init; } = 64;

    /// <summary>How long a connection may take for the head of a request, and until a user has logged in: 10 s.</summary>
    internal TimeSpan LoginTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The bytes of definitions in one import, and in all that are carried out at a time: 64 MiB. Those of 10,000 queues have
    /// about 3 MiB.</summary>
    internal long MaxImportBytes { get; init; } = 64L << 20;

    /// <summary>The clock of the logins, and of the waits for memory.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    internal EngineLog Log { get; init; } = EngineLog.Silent;
}
