using System.Net;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Sasl;
using OrleansMq.Partitions;
using OrleansMq.Quotas;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>A request's context for its handler.</summary>
internal sealed class RequestContext
{
    private static long _lastSequence;

    public required GatewayServices Services { get; init; }

    /// <summary>What the client may do, and its way to partitions.</summary>
    public required SessionAccess Access { get; init; }

    /// <summary>Users and rules, as the client may use them.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnsupportedVersion"/>: this broker has none.</exception>
    public SessionSecurity Security => Services.Security is { } security ? new SessionSecurity(Access, security)
        : throw new BrokerException(ErrorCode.UnsupportedVersion, "This broker has neither users nor rules.");

    /// <summary>The broker, as the client may use it.</summary>
    public IBroker Broker => Access.Broker;

    /// <summary>The version of the request.</summary>
    public required short Version { get; init; }

    public required int CorrelationId { get; init; }

    /// <summary>The client's name for itself; empty if it has none.</summary>
    public required string ClientId { get; init; }

    /// <summary>The client's address, in the form that Kafka's tools show.</summary>
    public string ClientHost => $"/{Connection.RemoteEndPoint.Address}";

    /// <summary>The request's connection.</summary>
    public required IConnection Connection { get; init; }

    /// <summary>Returns the client, as the coordinator of a transaction sees it, with the next number of a request.</summary>
    public TransactionCaller NextCaller() => new($"client '{ClientNames.Shown(ClientId)}' at {ClientHost}", Services.Self,
        Connection.Number, Interlocked.Increment(ref _lastSequence));

    /// <summary>Whether later requests on the connection must not begin before this one is done, because their order matters. A handler
    /// sets it before its first await.</summary>
    public bool HoldsBack { get; set; }

    /// <summary>Collects the appends of this and the connection's next requests, if more have arrived. Valid only before a handler's first
    /// await.</summary>
    public AppendBurst? Burst { get; init; }

    /// <summary>Whether the client owes so much of its quota that the request is to be refused.</summary>
    public bool IsOverQuota { get; init; }

    /// <summary>How long the client is to send nothing after the answer; zero for a client within its quotas.</summary>
    public TimeSpan ThrottleTime { get; private set; }

    /// <summary>The quota that <see cref="ThrottleTime"/> is of.</summary>
    public QuotaKey ThrottledBy { get; private set; }

    /// <summary>Notes that a quota holds the client back. The longest time counts.</summary>
    public void Throttle(QuotaKey key, TimeSpan time)
    {
        if (time > ThrottleTime)
            (ThrottledBy, ThrottleTime) = (key, time);
    }

    /// <summary>Takes partitions that are created or deleted from the client's quota.</summary>
    /// <param name="partitions">Their number.</param>
    /// <param name="refuses">Whether a client that has used up its quota is refused; an older one is only slowed.</param>
    /// <returns>The message of the refusal, <see cref="ErrorCode.ThrottlingQuotaExceeded"/>; null where there is none.</returns>
    public string? Mutate(int partitions, bool refuses)
    {
        const QuotaKey key = QuotaKey.ControllerMutationRate;
        if (Access.Quotas?.Of(key) is not { } account)
            return null;
        var wait = refuses ? account.ChargeUnlessOwed(partitions) : account.Charge(partitions);
        Throttle(key, wait);
        return refuses && wait > TimeSpan.Zero
            ? $"The quota {key.Name()} of {account.Share:0.###} partitions a second is used up: retry in {wait.TotalSeconds:0.0} s." : null;
    }

    /// <summary>Cancelled when the answer is no longer needed.</summary>
    public CancellationToken Aborted => Connection.Aborted;
}

/// <summary>A client's connection, as handlers see it.</summary>
internal interface IConnection
{
    /// <summary>The address that the client connected to, which is reported to it unless another is configured.</summary>
    IPEndPoint LocalEndPoint { get; }

    /// <summary>The client's address.</summary>
    IPEndPoint RemoteEndPoint { get; }

    /// <summary>The name of the listener that the client connected to.</summary>
    string Listener { get; }

    /// <summary>A number that rises with each connection to this broker, also across its restarts.</summary>
    long Number { get; }

    /// <summary>Cancelled when the connection is closed, or the gateway is stopping.</summary>
    CancellationToken Aborted { get; }

    /// <summary>The connection's authentication; null where its listener asks for none.</summary>
    SaslSession? Sasl { get; }

    /// <summary>Who the client is: what it authenticated as, by SASL where its listener asks for it, else by its certificate; or
    /// <see cref="BrokerSession.Anonymous"/>.</summary>
    string Principal { get; }

    /// <summary>Records the client's software name and version (KIP-511).</summary>
    void Introduce(string name, string version);
}
