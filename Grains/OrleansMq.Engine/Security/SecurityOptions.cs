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
    /// <summary>The user that <see cref="AdminPassword"/> creates.</summary>
    internal const string AdminUser = "admin";

    private const int MaxPasswordLength = 1_024;

    private static readonly string AdminPrincipal = BrokerSecurity.PrincipalOf(AdminUser);

    private readonly AuthorizationMode? _authorization;

    /// <summary>Whether rules are enforced. Unless it is set, they are where there are <see cref="SuperUsers"/> or an
    /// <see cref="AdminPassword"/>, and where a host without an <see cref="IAuthorizer"/> of its own accepts tokens; elsewhere it is
    /// off.</summary>
    public AuthorizationMode Authorization
    {
        get => _authorization ?? (HasAdministrator || NamesClients ? AuthorizationMode.Enforce : AuthorizationMode.Off);
        init => _authorization = value;
    }

    /// <summary>Whether <see cref="Authorization"/> is set, so that off is meant.</summary>
    internal bool IsAuthorizationSet => _authorization is not null;

    /// <summary>Whether rules are enforced by default alone, since tokens or certificates name clients, and no administrator is
    /// set.</summary>
    internal bool EnforcesWithoutAdministrator => !IsAuthorizationSet && NamesClients && !HasAdministrator;

    /// <summary>Principals that may do everything, such as <c>User:admin</c>: none, <c>super.users</c>.</summary>
    public ImmutableHashSet<string> SuperUsers { get; init; } = [];

    /// <summary>Whether everyone may do everything with a resource that no rule is about: false,
    /// <c>allow.everyone.if.no.acl.found</c>.</summary>
    public bool AllowEveryoneIfNoAclFound { get; init; }

    /// <summary>The SASL mechanisms that are offered, <c>sasl.enabled.mechanisms</c>: all. <c>OAUTHBEARER</c> is offered where tokens are
    /// accepted.</summary>
    public ImmutableArray<string> SaslMechanisms { get; init; } = [.. SaslExchange.Known];

    /// <summary>The password with which the user <c>admin</c> is created at the start, unless there is one: 1 to 1,024 characters without
    /// control characters. The user may do everything. Where rules are enforced, a new broker has it in AMQP, too, in the place of guest.
    /// Null, the default: no user is created. If it cannot be created, the start fails with a <see cref="BrokerException"/>.</summary>
    public string? AdminPassword { get; init; }

    /// <summary>Whether a principal may do everything.</summary>
    internal bool IsSuperUser(string principal) =>
        SuperUsers.Contains(principal) || (AdminPassword is not null && principal == AdminPrincipal);

    /// <summary>Whether a user's name is a super user's, while rules are enforced. A user of AMQP has none of its rights.</summary>
    internal bool IsReservedUserName(string user) =>
        Authorization == AuthorizationMode.Enforce && IsSuperUser(BrokerSecurity.PrincipalOf(user));

    /// <summary>Whether a text can be <see cref="AdminPassword"/>.</summary>
    internal static bool IsAdminPassword(string text) => text.Length is > 0 and <= MaxPasswordLength && !text.Any(char.IsControl);

    /// <summary>Creates what verifies tokens; null where none are accepted. Each broker of these options creates its own, and disposes of
    /// it.</summary>
    internal Func<ITokenVerifier>? Tokens { get; init; }

    /// <summary>Whether a gateway asks clients for certificates: false. Only the program sets it; in code gateways are added after these
    /// options are made.</summary>
    internal bool HasClientCertificates { get; init; }

    /// <summary>Whether the host has an <see cref="IAuthorizer"/> of its own. Tokens and certificates do not replace it by rules.</summary>
    internal bool HasOwnAuthorizer { get; init; }

    private bool HasAdministrator => SuperUsers.Count > 0 || AdminPassword is not null;

    private bool NamesClients => (Tokens is not null || HasClientCertificates) && !HasOwnAuthorizer;

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

    /// <summary>Omits the values, since one of them is a password.</summary>
    public override string ToString() => nameof(SecurityOptions);
}
