using System.Net;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>What a handler knows of the request beside its body.</summary>
internal sealed class RequestContext
{
    public required GatewayServices Services { get; init; }

    /// <summary>The version of the request.</summary>
    public required short Version { get; init; }

    public required int CorrelationId { get; init; }

    /// <summary>How the client calls itself; empty where it does not.</summary>
    public required string ClientId { get; init; }

    /// <summary>The address it calls from, in the form that Kafka's tools show.</summary>
    public string ClientHost => $"/{Connection.RemoteEndPoint.Address}";

    /// <summary>Where the request came from.</summary>
    public required IConnection Connection { get; init; }

    /// <summary>Set by a handler before it waits for the first time: requests behind this one are not begun before it is done, since their
    /// order counts.</summary>
    public bool HoldsBack { get; set; }

    /// <summary>Where the connection has more to begin: what appends of this request are written with. Only before a handler waits for the
    /// first time.</summary>
    public AppendBurst? Burst { get; init; }

    /// <summary>Cancelled when nobody waits for the answer any more.</summary>
    public CancellationToken Aborted => Connection.Aborted;
}

/// <summary>A client's connection, as handlers see it.</summary>
internal interface IConnection
{
    /// <summary>Where the client dialled to: what it is told where nothing else is configured.</summary>
    IPEndPoint LocalEndPoint { get; }

    /// <summary>Where it dials from.</summary>
    IPEndPoint RemoteEndPoint { get; }

    /// <summary>Cancelled when the connection is closed, or the gateway is stopping.</summary>
    CancellationToken Aborted { get; }

    /// <summary>The client says what program it is (KIP-511).</summary>
    void Introduce(string name, string version);
}
