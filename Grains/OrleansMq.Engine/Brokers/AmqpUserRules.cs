using OrleansMq.Security;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Brokers;

/// <summary>What a broker's security means for the users of AMQP.</summary>
internal static class AmqpUserRules
{
    /// <summary>Returns the rules: where authorization is enforced, the first administrator takes guest's place, and the names of super
    /// users are reserved.</summary>
    public static UserRules Of(SecurityOptions security) => new()
    {
        IsReserved = security.IsReservedUserName,
        First = security is { Authorization: AuthorizationMode.Enforce, AdminPassword: { } password }
            ? new FirstUser(SecurityOptions.AdminUser, password) : null,
    };
}
