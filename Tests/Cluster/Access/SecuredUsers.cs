using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Access;
using OrleansMq.Brokers;
using OrleansMq.Grains.Security;
using OrleansMq.Security;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>The users of brokers with access control: alice may do everything with topic and group <c>orders</c>, root with all.</summary>
internal static class SecuredUsers
{
    public const string Topic = "orders";
    public const string Password = "correct horse";

    /// <summary>Only what rules allow is allowed.</summary>
    public static BrokerOptions Enforce(BrokerOptions options) => options with
    {
        Security = new SecurityOptions
        {
            Authorization = AuthorizationMode.Enforce,
            SuperUsers = ["User:root"],
            OrleansPrincipal = "User:strangers",
        },
    };

    /// <summary>Creates users and rules.</summary>
    public static async Task CreateAsync(IServiceProvider services)
    {
        var users = services.GetRequiredService<SiloSecurity>().Users;
        await users.AlterUserAsync(BrokerSecurity.OfPassword("alice", Password));
        await users.AlterUserAsync(BrokerSecurity.OfPassword("root", Password));
        await users.CreateAclsAsync([RuleOf(ResourceType.Topic), RuleOf(ResourceType.Group)]);
    }

    private static AclRule RuleOf(ResourceType type) => new(type, AclPattern.Literal, Topic, "User:alice", AclRule.Anything,
        AccessOperation.All, AclPermission.Allow);
}
