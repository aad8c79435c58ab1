using OrleansMq.Access;
using OrleansMq.Cli.Security;
using OrleansMq.Client;
using OrleansMq.Security;

namespace OrleansMq.Tests.Process.CommandLine;

/// <summary><c>omq acl explain</c> says what a decision counts for in the broker's mode.</summary>
public sealed class AclExplanationTests(StandaloneBroker standalone) : IClassFixture<StandaloneBroker>
{
    private static readonly AclBody Denial = new(ResourceType.Topic, "orders", "User:alice", AccessOperation.Write,
        Permission: AclPermission.Deny);

    [Theory]
    [InlineData(AuthorizationMode.Off, "Would be refused: by the rule ", "Authorization is off on this broker: no rule is enforced.")]
    [InlineData(AuthorizationMode.Warn, "Would be refused: by the rule ", "This refusal would only be logged and counted.")]
    [InlineData(AuthorizationMode.Enforce, "Refused: by the rule ", "Authorization is enforce on this broker: what no rule allows is")]
    public void Refusal_counts_as_the_mode_says(AuthorizationMode mode, string begin, string told)
    {
        var text = AclCommands.TextOf(new ExplanationBody(false, AclReason.Denied, Denial, mode));
        Assert.StartsWith(begin, text, StringComparison.Ordinal);
        Assert.Contains(told, text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AuthorizationMode.Off, "Would be allowed: the principal is a super user.\nAuthorization is off on this broker: ")]
    [InlineData(AuthorizationMode.Warn, "Would be allowed: the principal is a super user.\nAuthorization is warn on this broker: ")]
    [InlineData(AuthorizationMode.Enforce, "Allowed: the principal is a super user.\nAuthorization is enforce on this broker: ")]
    public void Grant_names_the_mode(AuthorizationMode mode, string begin)
    {
        var text = AclCommands.TextOf(new ExplanationBody(true, AclReason.SuperUser, null, mode));
        Assert.StartsWith(begin, text, StringComparison.Ordinal);
        Assert.DoesNotContain("This refusal", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Mode_that_a_broker_does_not_tell_is_left_out() =>
        Assert.Equal("Refused: no rule is about the resource.\n",
            AclCommands.TextOf(new ExplanationBody(false, AclReason.NoRules, null)));

    [Fact]
    public async Task Broker_without_authorization_is_told_of_in_text_and_json()
    {
        string[] question = ["acl", "explain", "User:alice", "write", "topic:orders"];
        var text = (await standalone.Broker.OmqAsync(question)).Expect(0).Text;
        Assert.Contains("Would be refused: no rule is about the resource.", text, StringComparison.Ordinal);
        Assert.Contains("Authorization is off on this broker", text, StringComparison.Ordinal);
        var json = (await standalone.Broker.OmqAsync([.. question, "--json"])).Expect(0).Text;
        Assert.Contains("\"authorization\":\"Off\"", json, StringComparison.Ordinal);
    }
}
