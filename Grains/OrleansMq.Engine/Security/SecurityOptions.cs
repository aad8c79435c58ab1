using System.Collections.Immutable;
using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>Whether rules are enforced.</summary>
public enum AuthorizationMode
{
    /// <summary>Everything is allowed.</summary>
    Off = 0,
    /// <summary>Everything is allowed; what the rules would refuse is logged and counted.</summary>
    Warn = 1,
    /// <summary>What no rule allows is refused.</summary>
    Enforce = 2,
}

/// <summary>Users and access control of a broker.</summary>
public sealed record SecurityOptions
{
    /// <summary>Whether rules are enforced: off.</summary>
    public AuthorizationMode Authorization { get; init; }

    /// <summary>Principals that may do everything, such as <c>User:admin</c>: none, <c>super.users</c>.</summary>
    public ImmutableHashSet<string> SuperUsers { get; init; } = [];

    /// <summary>Whether everyone may do everything with a resource that no rule is about: false,
    /// <c>allow.everyone.if.no.acl.found</c>.</summary>
    public bool AllowEveryoneIfNoAclFound { get; init; }

    /// <summary>The SASL mechanisms that are offered, <c>sasl.enabled.mechanisms</c>: all. <c>OAUTHBEARER</c> is offered where tokens are
    /// accepted.</summary>
    public ImmutableArray<string> SaslMechanisms { get; init; } = [.. SaslExchange.Known];

    /// <summary>The administrator that an installation begins with; null for none. Where rules are enforced, AMQP has it, too, in the
    /// place of guest.</summary>
    internal (string Name, string Password)? FirstUser { get; init; }

    /// <summary>Whether a user's name is a super user's, while rules are enforced. A user of AMQP has none of its rights.</summary>
    internal bool IsSuperUser(string user) =>
        Authorization == AuthorizationMode.Enforce && SuperUsers.Contains(BrokerSecurity.PrincipalOf(user));

    /// <summary>Verifies tokens; null where none are accepted.</summary>
    internal ITokenVerifier? Tokens { get; init; }

    /// <summary>The principal of Orleans clients that have not logged in: <see cref="BrokerSession.Anonymous"/>. Certificates of the
    /// cluster decide who is one.</summary>
    public string OrleansPrincipal { get; init; } = BrokerSession.Anonymous;

    /// <summary>Whether grain calls without a good ticket of a broker or client are only logged and counted, as with
    /// <see cref="AuthorizationMode.Warn"/>: false. It is for a host with an <see cref="IAuthorizer"/> of its own, whose decisions stay in
    /// force, while its brokers are updated one by one.</summary>
    public bool OnlyWarnsOfTickets { get; init; }

    /// <summary>Whether bad tickets are refused.</summary>
    internal bool RefusesBadTickets => Authorization != AuthorizationMode.Warn && !OnlyWarnsOfTickets;

    /// <summary>Rules of the cluster: 20,000 at most; no more are created.</summary>
    public int MaxAcls { get; init; } = 20_000;

    /// <summary>Users of the cluster: 10,000 at most; no more are created.</summary>
    public int MaxUsers { get; init; } = 10_000;
}
