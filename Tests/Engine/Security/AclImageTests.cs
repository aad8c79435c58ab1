using OrleansMq.Access;
using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>Decisions by rules.</summary>
public sealed class AclImageTests
{
    private const string Alice = "User:alice";

    [Theory]
    [InlineData(AccessOperation.Read, "orders", AclReason.Allowed)]
    [InlineData(AccessOperation.Describe, "orders", AclReason.Allowed)]
    [InlineData(AccessOperation.Write, "orders", AclReason.NoMatch)]
    [InlineData(AccessOperation.DescribeConfigs, "orders", AclReason.NoMatch)]
    [InlineData(AccessOperation.Read, "order", AclReason.NoRules)]
    [InlineData(AccessOperation.Read, "orders2", AclReason.NoRules)]
    public void Grant_allows_its_operation_and_the_description(AccessOperation operation, string topic, AclReason reason) =>
        Assert.Equal(reason, Decide(operation, topic, Rule(Alice, AccessOperation.Read, "orders")).Reason);

    [Theory]
    [InlineData(AccessOperation.Write)]
    [InlineData(AccessOperation.Delete)]
    [InlineData(AccessOperation.Alter)]
    public void Other_grants_allow_the_description(AccessOperation granted) =>
        Assert.True(Decide(AccessOperation.Describe, "orders", Rule(Alice, granted, "orders")).IsAllowed);

    [Fact]
    public void Alteration_of_configs_allows_their_description() =>
        Assert.True(Decide(AccessOperation.DescribeConfigs, "orders", Rule(Alice, AccessOperation.AlterConfigs, "orders")).IsAllowed);

    [Fact]
    public void Denial_of_reading_denies_no_description() => Assert.True(Decide(AccessOperation.Describe, "orders",
        Rule(Alice, AccessOperation.Read, "orders", permission: AclPermission.Deny),
        Rule(Alice, AccessOperation.Write, "orders")).IsAllowed);

    [Fact]
    public void Denial_for_an_address_is_about_callers_whose_address_is_not_known_and_a_grant_is_not()
    {
        var image = new AclImage([Rule(Alice, AccessOperation.Read, "orders"), Rule(Alice, AccessOperation.Read, "orders",
            permission: AclPermission.Deny) with { Host = "10.0.0.7" },
            Rule(Alice, AccessOperation.Write, "orders") with { Host = "10.0.0.7" }]);
        foreach (var (host, reads, writes) in new[] { ("10.0.0.8", true, false), ("10.0.0.7", false, true), ("", false, false) })
        {
            Assert.Equal(reads, image.Decide(Alice, host, AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
            Assert.Equal(writes, image.Decide(Alice, host, AccessOperation.Write, ResourceType.Topic, "orders").IsAllowed);
        }
    }

    [Theory]
    [InlineData("orders", AclPattern.Literal, Alice, "*")]
    [InlineData("*", AclPattern.Literal, Alice, "*")]
    [InlineData("ord", AclPattern.Prefixed, Alice, "*")]
    [InlineData("orders", AclPattern.Prefixed, Alice, "*")]
    [InlineData("orders", AclPattern.Literal, "User:*", "*")]
    [InlineData("orders", AclPattern.Literal, Alice, "10.0.0.7")]
    public void Denial_wins_over_every_grant(string name, AclPattern pattern, string principal, string host)
    {
        var denial = new AclRule(ResourceType.Topic, pattern, name, principal, host, AccessOperation.Read, AclPermission.Deny);
        var decision = Decide(AccessOperation.Read, "orders", Rule(Alice, AccessOperation.All, "orders"), denial,
            Rule(Alice, AccessOperation.Read, "*"));
        Assert.Equal((AclReason.Denied, denial), (decision.Reason, decision.Rule));
    }

    [Theory]
    [InlineData("order", AclPattern.Literal, Alice, "*", ResourceType.Topic)]
    [InlineData("orders-", AclPattern.Prefixed, Alice, "*", ResourceType.Topic)]
    [InlineData("orders", AclPattern.Literal, "User:bob", "*", ResourceType.Topic)]
    [InlineData("orders", AclPattern.Literal, "User:", "*", ResourceType.Topic)]
    [InlineData("orders", AclPattern.Literal, "Group:*", "*", ResourceType.Topic)]
    [InlineData("orders", AclPattern.Literal, Alice, "10.0.0.8", ResourceType.Topic)]
    [InlineData("orders", AclPattern.Literal, Alice, "*", ResourceType.Group)]
    public void Rule_about_something_else_allows_nothing(string name, AclPattern pattern, string principal, string host,
        ResourceType type) => Assert.False(Decide(AccessOperation.Read, "orders",
            new AclRule(type, pattern, name, principal, host, AccessOperation.Read, AclPermission.Allow)).IsAllowed);

    [Fact]
    public void Decision_is_that_of_every_rule_looked_at_one_by_one()
    {
        var seed = System.Random.Shared.Next();
        for (var round = 0; round < 300; round++)
        {
            var random = new Random(seed + round);
            AclRule[] rules = [.. Enumerable.Range(0, random.Next(12)).Select(_ => RandomRule(random))];
            var image = new AclImage(rules);
            for (var question = 0; question < 40; question++)
            {
                var (principal, host) = ($"User:{random.Next(3)}", $"10.0.0.{random.Next(3)}");
                var operation = (AccessOperation)random.Next(3, 13);
                var (type, name) = ((ResourceType)random.Next(2, 4), Name(random));
                var about = rules.Where(rule => rule.ResourceType == type && (rule.Pattern == AclPattern.Prefixed
                    ? name.StartsWith(rule.ResourceName, StringComparison.Ordinal)
                    : rule.ResourceName is "*" || rule.ResourceName == name)).ToArray();
                var mine = about.Where(rule => (rule.Principal == "User:*" || rule.Principal == principal)
                    && (rule.Host == "*" || rule.Host == host)).ToArray();
                bool Of(AclRule rule) => rule.Operation == operation || rule.Operation == AccessOperation.All;
                var isDenied = mine.Any(rule => rule.Permission == AclPermission.Deny && Of(rule));
                var isAllowed = !isDenied && mine.Any(rule => rule.Permission == AclPermission.Allow && (Of(rule)
                    || (operation == AccessOperation.Describe && rule.Operation is AccessOperation.Read or AccessOperation.Write
                        or AccessOperation.Delete or AccessOperation.Alter && operation == AccessOperation.Describe)
                    || (operation == AccessOperation.DescribeConfigs && rule.Operation == AccessOperation.AlterConfigs)));
                var decision = image.Decide(principal, host, operation, type, name);
                Assert.True(isAllowed == decision.IsAllowed && about.Length == 0 == (decision.Reason == AclReason.NoRules)
                    && isDenied == (decision.Reason == AclReason.Denied), $"seed {seed} round {round} question {question}: {decision}");
                // What is allowed for some resource is not refused for every one.
                if (isAllowed)
                    Assert.True(image.AllowsAny(principal, host, operation, type), $"seed {seed} round {round} question {question}");
            }
        }
    }

    [Theory]
    [InlineData("orders", AclPattern.Literal, false)]
    [InlineData("*", AclPattern.Literal, true)]
    [InlineData("ord", AclPattern.Prefixed, true)]
    [InlineData("bills", AclPattern.Literal, true)]
    public void Some_resource_is_allowed_unless_a_denial_covers_the_grant(string granted, AclPattern pattern, bool isAllowed) =>
        Assert.Equal(isAllowed, new AclImage(
        [
            new AclRule(ResourceType.Topic, pattern, granted, Alice, "*", AccessOperation.Write, AclPermission.Allow),
            Rule("User:*", AccessOperation.Write, "orders", permission: AclPermission.Deny),
        ]).AllowsAny(Alice, "10.0.0.7", AccessOperation.Write, ResourceType.Topic));

    [Fact]
    public void No_resource_is_allowed_where_all_are_denied() => Assert.False(new AclImage(
        [Rule(Alice, AccessOperation.Write, "orders"), Rule(Alice, AccessOperation.All, "*", permission: AclPermission.Deny)])
        .AllowsAny(Alice, "10.0.0.7", AccessOperation.Write, ResourceType.Topic));

    [Theory]
    [InlineData(ResourceType.Any, AclPattern.Literal, "x", Alice, "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Match, "x", Alice, "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "", Alice, "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Cluster, AclPattern.Literal, "x", Alice, "*", AccessOperation.Alter, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", "alice", "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", "User:", "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", ":alice", "*", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "localhost", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "10.0.0.0/8", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "2001:DB8::1", AccessOperation.Read, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "*", AccessOperation.Any, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "*", (AccessOperation)99, AclPermission.Allow)]
    [InlineData(ResourceType.Topic, AclPattern.Literal, "x", Alice, "*", AccessOperation.Read, AclPermission.Any)]
    public void Malformed_rule_has_a_fault(ResourceType type, AclPattern pattern, string name, string principal, string host,
        AccessOperation operation, AclPermission permission) =>
        Assert.NotNull(new AclRule(type, pattern, name, principal, host, operation, permission).Fault());

    [Fact]
    public void Filter_selects_by_each_field()
    {
        var (literal, all, prefixed) = (Rule(Alice, AccessOperation.Read, "orders"), Rule(Alice, AccessOperation.Read, "*"),
            Rule("User:bob", AccessOperation.Write, "ord") with { Pattern = AclPattern.Prefixed });
        Assert.Equal([literal, all, prefixed], Selected(new AclFilter()));
        Assert.Equal([literal, all, prefixed], Selected(new AclFilter(Pattern: AclPattern.Match, ResourceName: "orders")));
        Assert.Equal([literal], Selected(new AclFilter(Pattern: AclPattern.Any, ResourceName: "orders")));
        Assert.Equal([all], Selected(new AclFilter(Pattern: AclPattern.Literal, ResourceName: "*")));
        Assert.Equal([prefixed], Selected(new AclFilter(Pattern: AclPattern.Prefixed)));
        Assert.Equal([], Selected(new AclFilter(Pattern: AclPattern.Prefixed, ResourceName: "orders")));
        Assert.Equal([prefixed], Selected(new AclFilter(Principal: "User:bob")));
        Assert.Equal([], Selected(new AclFilter(Host: "10.0.0.7")));
        Assert.Equal([], Selected(new AclFilter(ResourceType: ResourceType.Group)));
        Assert.Equal([prefixed], Selected(new AclFilter(Operation: AccessOperation.Write)));
        Assert.Equal([], Selected(new AclFilter(Permission: AclPermission.Deny)));
        Assert.Equal([literal], Selected(AclFilter.Of(literal)));

        AclRule[] Selected(AclFilter filter) => [.. new[] { literal, all, prefixed }.Where(filter.Selects)];
    }

    private static AclDecision Decide(AccessOperation operation, string topic, params AclRule[] rules) =>
        new AclImage(rules).Decide(Alice, "10.0.0.7", operation, ResourceType.Topic, topic);

    private static AclRule Rule(string principal, AccessOperation operation, string topic,
        AclPermission permission = AclPermission.Allow) =>
        new(ResourceType.Topic, AclPattern.Literal, topic, principal, "*", operation, permission);

    private static AclRule RandomRule(Random random) => new((ResourceType)random.Next(2, 4),
        random.Next(2) == 0 ? AclPattern.Literal : AclPattern.Prefixed, random.Next(5) == 0 ? "*" : Name(random),
        random.Next(4) == 0 ? "User:*" : $"User:{random.Next(3)}", random.Next(2) == 0 ? "*" : $"10.0.0.{random.Next(3)}",
        random.Next(4) == 0 ? AccessOperation.All : (AccessOperation)random.Next(3, 13),
        random.Next(3) == 0 ? AclPermission.Deny : AclPermission.Allow);

    private static string Name(Random random) => "aab"[..random.Next(1, 4)] + (random.Next(2) == 0 ? "" : "c");
}
