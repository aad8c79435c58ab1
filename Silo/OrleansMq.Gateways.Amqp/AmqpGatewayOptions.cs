using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Amqp;

/// <summary>The options of an AMQP gateway.</summary>
public sealed record AmqpGatewayOptions
{
    // The topics of queues take it, and its headers.
    private const int MostMessageBytes = 16 << 20;

    /// <summary>The endpoint to listen on: port 5672 of the loopback address. Port 0 takes a free port. The IPv6 any address includes
    /// IPv4.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 5672);

    /// <summary>The certificates with which the port speaks TLS; null: it does not.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>Connections from all addresses, at least 1: without a limit. Further ones are closed on accept.</summary>
    public int MaxConnections { get; init; } = int.MaxValue;

    /// <summary>Connections from one address, at least 1: without a limit. Further ones are closed on accept.</summary>
    public int MaxConnectionsPerAddress { get; init; } = int.MaxValue;

    /// <summary>Connections that have not logged in yet, at least 1: 1,000. Further ones are closed on accept. A quarter of them may come
    /// from one address, and all from the loopback address.</summary>
    public int MaxUnauthenticated { get; init; } = 1_000;

    /// <summary>The largest body of a message in bytes, from 1 to 16 MiB, the default. A larger one closes its channel.</summary>
    public int MaxMessageBytes { get; init; } = MostMessageBytes;

    /// <summary>
    /// The memory of messages in bytes, at least 64 MiB: of queues in memory, on their way to the log, and incomplete. A quarter of the
    /// memory that the process may use. Above it publishers are told <c>connection.blocked</c> and not read from, until a fifth is free.
    /// </summary>
    public long MaxMemoryBytes { get; init; } = MemoryBudget.DefaultLimit();

    /// <summary>The most consumers of one connection, on all its channels: 10,000. One more closes the connection.</summary>
    internal int MaxConsumersPerConnection { get; init; } = 10_000;

    /// <summary>The most consumers of one user, on all its connections: 100,000. One more closes its connection. Each has some kilobytes
    /// in this broker, 16 more with arguments, and the owner of the virtual hosts knows those of all brokers: one user cannot use up the
    /// memory with any number of connections.</summary>
    internal int MaxConsumersPerUser { get; init; } = 100_000;

    /// <summary>Whether the volume of the data is nearly full, which blocks publishers, too; null: as the broker's partitions
    /// find.</summary>
    internal Func<bool>? IsDiskShort { get; init; }

    /// <summary>The clock.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    internal EngineLog Log { get; init; } = EngineLog.Silent;

    /// <summary>Checks them.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(MaxConnections >= 1, nameof(MaxConnections), MaxConnections, "1 or more");
        Require(MaxConnectionsPerAddress >= 1, nameof(MaxConnectionsPerAddress), MaxConnectionsPerAddress, "1 or more");
        Require(MaxUnauthenticated >= 1, nameof(MaxUnauthenticated), MaxUnauthenticated, "1 or more");
        Require(MaxMessageBytes is >= 1 and <= MostMessageBytes, nameof(MaxMessageBytes), MaxMessageBytes,
            $"1 to {MostMessageBytes} bytes");
        Require(MaxMemoryBytes >= MemoryBudget.LeastLimit, nameof(MaxMemoryBytes), MaxMemoryBytes,
            $"{MemoryBudget.LeastLimit} bytes or more");
    }

    private static void Require(bool condition, string option, long value, string range)
    {
        if (!condition)
            throw new ArgumentException($"AmqpGatewayOptions.{option} is {value}, but must be {range}.", option);
    }
}
