using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Browsers;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Http.Queueing;
using OrleansMq.Groups;
using OrleansMq.Records;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Http;

/// <summary>The services that the endpoints share.</summary>
internal sealed record ApiServices
{
    private GroupLag? _groupLag;
    private AttachedConsumers? _queueConsumers;

    /// <summary>Access to the broker.</summary>
    public required BrokerGate Gate { get; init; }
    /// <summary>The names by which requests may address the API.</summary>
    public required HostNames Hosts { get; init; }
    /// <summary>The codecs of records.</summary>
    public required CompressionCodecs Codecs { get; init; }
    /// <summary>The clock of record timestamps and waits.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
    /// <summary>Says that the data volume is below its free space limit; null where it is not. It tells a full disk from a broken
    /// one.</summary>
    public Func<string?> DiskFull { get; init; } = static () => null;
    /// <summary>Logs unexpected errors.</summary>
    public required ILogger Logger { get; init; }
    /// <summary>The metrics behind <c>/metrics</c>.</summary>
    public required Metrics.BrokerMetrics Metrics { get; init; }
    /// <summary>Whether anyone may read the metrics, also where access control is switched on.</summary>
    public bool MetricsAreOpen { get; init; }
    /// <summary>Returns the groups that this broker coordinates.</summary>
    public required Func<CancellationToken, ValueTask<IReadOnlyCollection<string>>> LocalGroups { get; init; }
    /// <summary>The memory of large bodies.</summary>
    public required RequestBodies RequestBodies { get; init; }
    /// <summary>The memory of the objects of JSON bodies.</summary>
    public required ParsedBodies ParsedBodies { get; init; }
    /// <summary>The records that reads as lines hold decompressed.</summary>
    public Lines.DecompressedReads DecompressedReads { get; } = new(Lines.DecompressedReads.DefaultBytes);
    /// <summary>The turn of requests for dead letters.</summary>
    public SemaphoreSlim DeadLetterTurn { get; } = new(1);
    /// <summary>The consumers of queues that are attached over this gateway.</summary>
    public AttachedConsumers QueueConsumers =>
        LazyInitializer.EnsureInitialized(ref _queueConsumers, () => new AttachedConsumers(TimeProvider));
    /// <summary>What the produce path needs to know of topics.</summary>
    public TopicShapes TopicShapes { get; } = new();
    /// <summary>The lag of groups, with a cache for all callers. It is looked up on the broker's own behalf.</summary>
    /// <exception cref="BrokerException">The broker is not open yet.</exception>
    public GroupLag GroupLag => LazyInitializer.EnsureInitialized(ref _groupLag, () => new GroupLag(Gate.Own, TimeProvider, Codecs));

    /// <summary>The services of the gateway that serves a request, for what they are not passed to. It costs the request a scope of its
    /// container.</summary>
    public static ApiServices Of(HttpContext http) => http.RequestServices.GetRequiredService<ApiServices>();

    /// <summary>The session of a request's connection.</summary>
    /// <exception cref="BrokerException">The broker is not open yet.</exception>
    public SessionAccess AccessOf(HttpContext http) => HttpSession.Of(http, Gate.Access);

    /// <summary>Users and rules, as the client of a request may use them.</summary>
    /// <exception cref="BrokerException">The broker is not open yet, or has none.</exception>
    public SessionSecurity SecurityOf(HttpContext http)
    {
        var access = AccessOf(http);
        return Gate.Security is { } security ? new SessionSecurity(access, security)
            : throw new BrokerException(ErrorCode.UnsupportedVersion, "This broker has neither users nor rules.");
    }

    /// <summary>The keys of tickets, as the client of a request may use them.</summary>
    /// <exception cref="BrokerException">The broker is not open yet.</exception>
    public SessionTickets TicketsOf(HttpContext http) => new(AccessOf(http), Gate.Tickets);

    /// <summary>The broker, as the client of a request may use it.</summary>
    /// <exception cref="BrokerException">The broker is not open yet.</exception>
    public IBroker BrokerOf(HttpContext http) => AccessOf(http).Broker;
}
