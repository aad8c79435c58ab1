using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Security;
using OrleansMq.Security;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Orleans clients have a principal of their own, which rules are about.</summary>
public sealed class PrincipalTests
{
    [Fact]
    public async Task Orleans_clients_may_do_what_rules_allow_to_their_principal()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, configure: static options => options with
        {
            Security = new SecurityOptions { Authorization = AuthorizationMode.Enforce, OrleansPrincipal = "User:services" },
        });
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await silo.Outside.CreateTopicAsync(new NewTopic("orders")));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refused.Code);
        Assert.Contains("User:services", refused.Message, StringComparison.Ordinal);
        var users = silo.Services.GetRequiredService<SiloSecurity>().Users;
        await users.CreateAclsAsync([RuleFor(BrokerSession.Anonymous)]);
        await Assert.ThrowsAsync<BrokerException>(async () => await silo.Outside.CreateTopicAsync(new NewTopic("orders")));
        await users.CreateAclsAsync([RuleFor("User:services")]);
        Assert.Equal("orders", (await silo.Outside.CreateTopicAsync(new NewTopic("orders"))).Name);
    }

    private static AclRule RuleFor(string principal) => new(ResourceType.Topic, AclPattern.Literal, "orders", principal, AclRule.Anything,
        AccessOperation.All, AclPermission.Allow);
}
