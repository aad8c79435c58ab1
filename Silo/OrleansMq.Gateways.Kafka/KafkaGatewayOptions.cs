using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The options of a Kafka gateway, each with the name of Kafka's own setting where there is one.</summary>
public sealed record KafkaGatewayOptions
{
    /// <summary>The endpoint to listen on: port 9092 of the loopback address. Port 0 takes a free port. The IPv6 any address includes
    /// IPv4.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 9092);

    /// <summary>The address that clients are sent to, as <c>host:port</c>; null: the address they dialled. In a cluster of several brokers
    /// the other brokers' registrations decide for those.</summary>
    public string? Advertised { get; init; }

    /// <summary>The ports, where there are several, or where one needs a name or a protocol. Empty: one at <see cref="Listen"/>, named
    /// <c>PLAINTEXT</c>; or <c>SSL</c>, with TLS, where <see cref="Tls"/> is given.</summary>
    public IReadOnlyList<KafkaListener> Listeners { get; init; } = [];

    /// <summary>The certificates of the listeners with TLS; null where there is none.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>How long a client may take to authenticate: 10 s. Then its connection is closed.</summary>
    public TimeSpan AuthenticationTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a failed authentication is not answered, so that passwords are not tried quickly: 100 ms,
    /// <c>connection.failed.authentication.delay.ms</c>.</summary>
    public TimeSpan FailedAuthenticationDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How long an authentication is good for: for ever (zero), <c>connections.max.reauth.ms</c>. A client authenticates again on
    /// the same connection (KIP-368); one that does not is closed.</summary>
    public TimeSpan MaxReauthentication { get; init; }

    /// <summary>Connections that have not authenticated yet: 1,000. Further ones are closed on accept.</summary>
    public int MaxUnauthenticated { get; init; } = 1_000;

    /// <summary>Largest request: 100 MiB, <c>socket.request.max.bytes</c>. A larger one closes its connection.</summary>
    public int MaxRequestBytes { get; init; } = 100 << 20;

    /// <summary>Bytes of requests in flight on one connection: 64 MiB. The connection is not read from while it has more. One request is
    /// always admitted.</summary>
    public long MaxInFlightBytesPerConnection { get; init; } = 64L << 20;

    /// <summary>The default of <see cref="MaxInFlightBytes"/>.</summary>
    internal const long DefaultMaxInFlightBytes = 512L << 20;

    /// <summary>Bytes of requests in flight on all connections: 512 MiB, <c>queued.max.request.bytes</c>. One more request may grow
    /// beyond it, so that requests that have arrived in part never wait for each other.</summary>
    public long MaxInFlightBytes { get; init; } = DefaultMaxInFlightBytes;

    /// <summary>Requests in flight on one connection: 256, more than any client sends by default.</summary>
    public int MaxInFlightRequests { get; init; } = 256;

    /// <summary>Connections from all addresses: without a limit, <c>max.connections</c>. Further ones are closed on accept.</summary>
    public int MaxConnections { get; init; } = int.MaxValue;

    /// <summary>Connections from one address: without a limit, <c>max.connections.per.ip</c>. Further ones are closed on accept.</summary>
    public int MaxConnectionsPerAddress { get; init; } = int.MaxValue;

    /// <summary>How long a connection may be silent, or an answer unread, before the connection is closed: 10 minutes,
    /// <c>connections.max.idle.ms</c>.</summary>
    public TimeSpan MaxIdle { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Largest fetch response: 55 MiB, <c>fetch.max.bytes</c>. A first batch that is larger is sent nevertheless.</summary>
    public int MaxFetchBytes { get; init; } = 55 << 20;

    /// <summary>Longest wait of a fetch: 1 minute, also where the client asks for more, so that nothing waits forever.</summary>
    public TimeSpan MaxFetchWait { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Whether a topic is created when a client asks for it and allows that: true, <c>auto.create.topics.enable</c>.</summary>
    public bool AutoCreateTopics { get; init; } = true;

    /// <summary>How long a request waits for the leaders of a new topic before the client is told to retry: 5 s.</summary>
    public TimeSpan MaxWaitForLeaders { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The default of <see cref="Loops"/>: one for each processor, since a few producers of batches can keep one busy.</summary>
    internal static int DefaultLoops { get; } = Environment.ProcessorCount;

    /// <summary>Threads that serve small produce requests of many connections each. 0: the thread pool serves them, as it does on any
    /// system but Linux on x64 and arm64.</summary>
    public int Loops { get; init; } = DefaultLoops;

    /// <summary>The ports: <see cref="Listeners"/>, or the one that the other options describe.</summary>
    internal IReadOnlyList<KafkaListener> AllListeners
    {
        get
        {
            if (Listeners.Count > 0)
                return Listeners;
            var protocol = Tls is null ? SecurityProtocol.Plaintext : SecurityProtocol.Ssl;
            return [new KafkaListener { Name = SecurityProtocols.NameOf(protocol), Listen = Listen, Protocol = protocol,
                Advertised = Advertised }];
        }
    }

    /// <summary>Checks the listeners.</summary>
    /// <exception cref="ArgumentException">The message names the listener and what is wrong with it.</exception>
    internal void Validate()
    {
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var listener in AllListeners)
        {
            if (listener.Name.Length == 0 || listener.Name.AsSpan().ContainsAny('=', ',', ';'))
                throw new ArgumentException($"The name '{listener.Name}' of a Kafka listener is empty, or has one of the characters =,;",
                    nameof(Listeners));
            if (!names.Add(listener.Name))
                throw new ArgumentException($"Two Kafka listeners have the name {listener.Name}: clients could not be told apart. "
                    + "Give them different names.", nameof(Listeners));
            if (listener.Protocol.UsesTls() && Tls is null)
                throw new ArgumentException($"The Kafka listener {listener.Name} has TLS, but there is no certificate: give "
                    + $"{nameof(KafkaGatewayOptions)}.{nameof(Tls)}.", nameof(Tls));
        }
    }

    /// <summary>The clock.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The log.</summary>
    internal EngineLog Log { get; init; } = EngineLog.Silent;
}
