using System.Net;

namespace OrleansMq.Hosting;

/// <summary>When a port demands a password, or a token.</summary>
internal enum PasswordDemand
{
    /// <summary>A client need not say who it is.</summary>
    Never = 0,
    /// <summary>Where rules are enforced; elsewhere it is not asked.</summary>
    WhereEnforced = 1,
    /// <summary>Always.</summary>
    Always = 2,
}

/// <summary>A port of a gateway, and what it demands of clients.</summary>
/// <param name="Gateway">The gateway's <see cref="IGateway.Name"/>.</param>
/// <param name="EndPoint">The endpoint that it listens on, with the port that was taken.</param>
internal sealed record GatewayDoor(string Gateway, IPEndPoint EndPoint)
{
    /// <summary>Whether it has TLS.</summary>
    public bool IsEncrypted { get; init; }

    /// <summary>Whether it demands a password.</summary>
    public PasswordDemand Passwords { get; init; }

    /// <summary>Whether it demands a client's certificate.</summary>
    public bool DemandsCertificate { get; init; }

    /// <summary>Whether clients can become principals, for which rules are made, by a password or certificate also where none are enforced.
    /// AMQP's users have permissions of their own.</summary>
    public bool NamesPrincipals { get; init; }
}

/// <summary>A gateway that tells what its ports demand.</summary>
internal interface IGatewayDoors
{
    /// <summary>The ports. Asked once the gateway listens.</summary>
    IEnumerable<GatewayDoor> Doors { get; }
}
