using System.Net;
using OrleansMq.Brokers;
using OrleansMq.Security;

namespace OrleansMq.Hosting;

/// <summary>What a broker's host warns of when its gateways listen: ports that let everyone in, passwords in clear text, clients that
/// authenticate though no rules are enforced, and rules without an administrator.</summary>
internal static class OpenDoors
{
    /// <summary>Returns the ports of gateways that tell of them.</summary>
    public static IEnumerable<GatewayDoor> Of(IEnumerable<IGateway> gateways) =>
        gateways.OfType<IGatewayDoors>().SelectMany(static gateway => gateway.Doors);

    /// <summary>Returns the warnings, one line each; none where nothing is to be warned of.</summary>
    /// <param name="doors">The ports of all gateways.</param>
    /// <param name="options">The broker's options.</param>
    public static IReadOnlyList<string> WarningsOf(IReadOnlyCollection<GatewayDoor> doors, BrokerOptions options)
    {
        var warnings = doors.Where(static door => !IPAddress.IsLoopback(door.EndPoint.Address))
            .Select(door => WarningOf(door, options)).OfType<string>().ToList();
        if (HasCredentialsWithoutRules(doors, options))
            warnings.Add("WHO AUTHENTICATES CAN READ, WRITE AND DELETE EVERY TOPIC: no rules are enforced. Set --authorization enforce "
                + "with --super-users or --admin-password; --authorization off says that it is meant (in code: Authorization, SuperUsers "
                + "and AdminPassword of BrokerOptions.Security).");
        // Elsewhere everyone may add the first rules.
        if (options.Security is { EnforcesWithoutAdministrator: true, AllowEveryoneIfNoAclFound: false })
            warnings.Add("RULES ARE ENFORCED WITHOUT AN ADMINISTRATOR, since tokens or certificates name clients: what no stored rule "
                + "allows is refused, adding a rule included. Set --super-users or --admin-password; --authorization enforce says that the "
                + "stored rules are enough, --authorization off enforces none (in code: SuperUsers, AdminPassword and Authorization of "
                + "BrokerOptions.Security).");
        return warnings;
    }

    private static string? WarningOf(GatewayDoor door, BrokerOptions options)
    {
        var isEnforced = options.Security.Authorization == AuthorizationMode.Enforce;
        if (door.Passwords == PasswordDemand.Always || (door.Passwords == PasswordDemand.WhereEnforced && isEnforced))
            return door.IsEncrypted ? null : $"Passwords and messages reach {door.EndPoint} unencrypted, since the gateway {door.Gateway} "
                + "has no TLS. Bind 127.0.0.1, or keep the network to yourself.";
        // Where rules are enforced, a client without a name may do what they allow everyone. An authorizer of the host's own counts while
        // rules are off: rules that are switched on, if only to warn, take its place.
        return door.DemandsCertificate || isEnforced || options.Security is { Authorization: AuthorizationMode.Off, HasOwnAuthorizer: true }
            ? null
            : $"ANYONE WHO CAN REACH {door.EndPoint} CAN READ, WRITE AND DELETE EVERY TOPIC: the gateway {door.Gateway} demands no "
            + "password or certificate, and no rules are enforced. Bind 127.0.0.1, put a firewall in front, or set --admin-password (in "
            + "code: BrokerOptions.Security.AdminPassword).";
    }

    private static bool HasCredentialsWithoutRules(IReadOnlyCollection<GatewayDoor> doors, BrokerOptions options) =>
        options.Security is { Authorization: AuthorizationMode.Off, IsAuthorizationSet: false, HasOwnAuthorizer: false }
        && doors.Any(static door => door.NamesPrincipals);
}
