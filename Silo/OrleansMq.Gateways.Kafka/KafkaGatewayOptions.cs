using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The Kafka listener's options, each with the name of Kafka's corresponding setting.</summary>
public sealed record KafkaGatewayOptions
{
    /// <summary>This broker's id.</summary>
    public int BrokerId { get; init; }

    /// <summary>The address that clients are told to connect to, as <c>host:port</c>; null for the address they connected to. In a cluster
    /// of several brokers each broker's registration has its own.</summary>
    public string? Advertised { get; init; }

    /// <summary>The most bytes of a request: 100 MiB, <c>socket.request.max.bytes</c>. A larger one closes its connection.</summary>
    public int MaxRequestBytes { get; init; } = 100 << 20;

    /// <summary>The most bytes of requests in flight on one connection: 64 MiB. Above it the connection is not read. A single request is
    /// always admitted.</summary>
    public long MaxInFlightBytesPerConnection { get; init; } = 64L << 20;

    /// <summary>The most bytes of requests in flight on all connections: 512 MiB, <c>queued.max.request.bytes</c>. A single request is
    /// always admitted.</summary>
    public long MaxInFlightBytes { get; init; } = 512L << 20;

    /// <summary>The most requests in flight on one connection: 256, more than any client has by default.</summary>
    public int MaxInFlightRequests { get; init; } = 256;

    /// <summary>The most connections from one address: 1,000, <c>max.connections.per.ip</c>. Further ones are closed at once.</summary>
    public int MaxConnectionsPerAddress { get; init; } = 1000;

    /// <summary>How long a connection may be idle before it is closed: 10 minutes, <c>connections.max.idle.ms</c>.</summary>
    public TimeSpan MaxIdle { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The most bytes of one fetch response: 55 MiB, <c>fetch.max.bytes</c>. A larger first batch is sent regardless.</summary>
    public int MaxFetchBytes { get; init; } = 55 << 20;

    /// <summary>The longest wait of a fetch: 1 minute, whatever the client requests, so that every wait is bounded.</summary>
    public TimeSpan MaxFetchWait { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether a missing topic that a client requests is created: true, <c>auto.create.topics.enable</c>.</summary>
    public bool AutoCreateTopics { get; init; } = true;

    /// <summary>How long to wait for the leaders of a new topic before the client is told to retry: 5 s.</summary>
    public TimeSpan MaxWaitForLeaders { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The default of <see cref="Loops"/>: one for each processor, since a few producers can keep one busy.</summary>
    public static int DefaultLoops { get; } = Environment.ProcessorCount;

    /// <summary>The number of threads for small produce requests, each for many connections. 0 for the thread pool, which is also used on
    /// systems other than Linux on x64 and arm64.</summary>
    public int Loops { get; init; } = DefaultLoops;

    /// <summary>Receives counts of records; null for none.</summary>
    public IRecordTraffic? Traffic { get; init; }

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    public EngineLog Log { get; init; } = EngineLog.Silent;
}
