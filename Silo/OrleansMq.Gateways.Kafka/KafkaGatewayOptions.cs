using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The Kafka listener's limits and habits; each stands beside the name of Kafka's setting that it is.</summary>
public sealed record KafkaGatewayOptions
{
    /// <summary>This broker's number.</summary>
    public int BrokerId { get; init; }

    /// <summary>Host and port that clients are told to dial, as <c>host:port</c>; null: the address they dialled. In a cluster of several
    /// brokers each is told by its registration.</summary>
    public string? Advertised { get; init; }

    /// <summary>Bytes of a request at most: 100 MiB, <c>socket.request.max.bytes</c>. A larger one closes its connection.</summary>
    public int MaxRequestBytes { get; init; } = 100 << 20;

    /// <summary>Bytes of requests that one connection may have in flight: 64 MiB. It is not read from while it has more; one request is
    /// always let in.</summary>
    public long MaxInFlightBytesPerConnection { get; init; } = 64L << 20;

    /// <summary>Bytes of requests in flight of all connections: 512 MiB, <c>queued.max.request.bytes</c>. One request is always let
    /// in.</summary>
    public long MaxInFlightBytes { get; init; } = 512L << 20;

    /// <summary>Requests that one connection may have in flight: 256, more than any client has by default.</summary>
    public int MaxInFlightRequests { get; init; } = 256;

    /// <summary>Connections from one address at most: 1,000, <c>max.connections.per.ip</c>. More are closed as they come.</summary>
    public int MaxConnectionsPerAddress { get; init; } = 1000;

    /// <summary>A connection that says nothing for so long is closed: 10 minutes, <c>connections.max.idle.ms</c>.</summary>
    public TimeSpan MaxIdle { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Bytes of one fetch response at most: 55 MiB, <c>fetch.max.bytes</c>; a first batch that is larger is sent all the
    /// same.</summary>
    public int MaxFetchBytes { get; init; } = 55 << 20;

    /// <summary>How long a fetch may wait at most: 1 minute, whatever the client wants, so that nothing waits for ever.</summary>
    public TimeSpan MaxFetchWait { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether a topic that a client asks for is created where it may be: true, <c>auto.create.topics.enable</c>.</summary>
    public bool AutoCreateTopics { get; init; } = true;

    /// <summary>How long a topic that was just created may take to be led, before a client is told to ask again: 5 s.</summary>
    public TimeSpan MaxWaitForLeaders { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>What <see cref="Loops"/> is where nothing else is said: one for each processor, since a few producers of batches can keep
    /// one busy.</summary>
    public static int DefaultLoops { get; } = Environment.ProcessorCount;

    /// <summary>Threads that serve small produce requests, each those of many connections together. 0: the thread pool does, as on any
    /// system but Linux on x64 and arm64.</summary>
    public int Loops { get; init; } = DefaultLoops;

    /// <summary>Hears of the records that go through; null: nobody does.</summary>
    public IRecordTraffic? Traffic { get; init; }

    /// <summary>Where the time comes from.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Where log lines go.</summary>
    public EngineLog Log { get; init; } = EngineLog.Silent;
}
