using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class PolicyTests
{
    private static readonly FieldTable Quorum = FieldTable.Of(("x-queue-type", new TextValue("quorum")));

    private static QueueState Queue(string name = "orders.new", QueueType type = QueueType.Classic, FieldTable? arguments = null) =>
        new() { Name = name, Id = 7, Type = type, Durable = true, Arguments = arguments ?? FieldTable.Empty };

    private static FieldTable Fields(params (string Name, object Value)[] fields) => FieldTable.Of([.. fields.Select(field => (field.Name,
        field.Value switch
        {
            int integer => new IntegerValue(integer),
            long integer => new IntegerValue(integer),
            bool boolean => new BooleanValue(boolean),
            var text => (FieldValue)new TextValue((string)text),
        }))]);

    private static Policy Policy(string name, string pattern, FieldTable definition, int priority = 0, PolicyTarget target = default) =>
        new() { Name = name, Pattern = SafePattern.Parse(pattern), Definition = definition, Priority = priority, ApplyTo = target };

    private static QueueSettings Settings(QueueState queue, Policy[] policies, params Policy[] limits) => (PolicySet.Empty with
    {
        Policies = PolicySet.Empty.Policies.AddRange(policies.Select(policy => KeyValuePair.Create(policy.Name, policy))),
        OperatorPolicies = PolicySet.Empty.Policies.AddRange(limits.Select(policy => KeyValuePair.Create(policy.Name, policy))),
    }).SettingsOf(queue);

    [Fact]
    public void Policy_with_the_highest_priority_applies_alone()
    {
        Policy[] policies = [Policy("low", "^orders", Fields(("message-ttl", 1), ("max-length", 5))), Policy("other", "^bills",
            Fields(("message-ttl", 2)), 9), Policy("high", "new$", Fields(("message-ttl", 3)), 2), Policy("z", "", Fields(), 2)];
        var settings = Settings(Queue(), policies);
        Assert.Equal(("high", TimeSpan.FromMilliseconds(3), null), (settings.Policy, settings.MessageTtl, settings.MaxLength));
        Assert.Equal("z", Settings(Queue("other"), policies).Policy);
        Assert.Null(Settings(Queue("other"), policies[..3]).Policy);
    }

    [Theory]
    [InlineData(nameof(PolicyTarget.All), "classic quorum stream exchange")]
    [InlineData(nameof(PolicyTarget.Queues), "classic quorum stream")]
    [InlineData(nameof(PolicyTarget.ClassicQueues), "classic")]
    [InlineData(nameof(PolicyTarget.QuorumQueues), "quorum")]
    [InlineData(nameof(PolicyTarget.Streams), "stream")]
    [InlineData(nameof(PolicyTarget.Exchanges), "exchange")]
    public void Policy_applies_to_what_it_names(string target, string expected)
    {
        var policy = Policy("p", "orders", Fields(), target: Enum.Parse<PolicyTarget>(target));
        var applies = Enum.GetValues<QueueType>().Where(type => policy.AppliesTo(Queue(type: type))).Select(QueueArguments.NameOf);
        if (policy.AppliesTo(new ExchangeState { Name = "orders", Id = 7, Type = "topic" }))
            applies = applies.Append("exchange");
        Assert.Equal(expected, string.Join(' ', applies));
        Assert.False(policy.AppliesTo(Queue("bills")));
    }

    [Fact]
    public void Lower_number_of_argument_policy_and_operator_counts()
    {
        var policy = Policy("p", "", Fields(("max-length", 100), ("message-ttl", 100), ("expires", 100)));
        var limits = Policy("o", "", Fields(("max-length", 50), ("message-ttl", 500), ("max-length-bytes", 9)));
        var settings = Settings(Queue(arguments: Fields(("x-max-length", 70), ("x-message-ttl", 30))), [policy], limits);
        Assert.Equal((50L, 30.0, 100.0, 9L, "o"), (settings.MaxLength, settings.MessageTtl!.Value.TotalMilliseconds,
            settings.Expires!.Value.TotalMilliseconds, settings.MaxLengthBytes, settings.OperatorPolicy));
    }

    [Fact]
    public void Argument_counts_for_dead_letters_and_the_policy_for_a_quorum_queues_overflow()
    {
        Policy[] policies = [Policy("p", "", Fields(("overflow", "reject-publish"), ("dead-letter-exchange", "policy"),
            ("dead-letter-routing-key", "key"), ("dead-letter-strategy", "at-least-once"), ("delayed-retry-type", "failed"),
            ("delayed-retry-min", 10)))];
        var arguments = Fields(("x-overflow", "drop-head"), ("x-dead-letter-exchange", "argument"));
        var quorum = Settings(Queue(type: QueueType.Quorum, arguments: arguments), policies);
        Assert.Equal(("argument", "key", OverflowBehavior.RejectPublish, true, DelayedRetry.Failed),
            (quorum.DeadLetterExchange, quorum.DeadLetterRoutingKey, quorum.Overflow, quorum.DeadLettersAtLeastOnce, quorum.DelayedRetry));
        var classic = Settings(Queue(arguments: arguments), policies);
        Assert.Equal((OverflowBehavior.DropHead, false, DelayedRetry.Disabled),
            (classic.Overflow, classic.DeadLettersAtLeastOnce, classic.DelayedRetry));
        Assert.Equal(OverflowBehavior.RejectPublishDeadLetter,
            Settings(Queue(arguments: Fields(("x-overflow", "reject-publish-dlx"))), []).Overflow);
    }

    [Theory]
    [InlineData(null, null, 20)]
    [InlineData(5, null, 5)]
    [InlineData(null, 7, 7)]
    [InlineData(5, 7, 5)]
    [InlineData(-1, null, null)]
    [InlineData(-1, 7, 7)]
    [InlineData(-1, -1, null)]
    public void Delivery_limit_of_a_quorum_queue(int? argument, int? policy, int? expected)
    {
        var arguments = argument is { } set ? Quorum.With("x-delivery-limit", new IntegerValue(set)) : Quorum;
        var queue = Queue(type: QueueType.Quorum, arguments: arguments);
        Policy[] policies = policy is { } limit ? [Policy("p", "", Fields(("delivery-limit", limit)))] : [];
        Assert.Equal(expected, Settings(queue, policies).DeliveryLimit);
        Assert.Null(Settings(Queue(), policies).DeliveryLimit);
    }

    [Fact]
    public void Stream_has_only_what_streams_have()
    {
        var settings = Settings(Queue(type: QueueType.Stream, arguments: Fields(("x-max-age", "7D"))),
            [Policy("p", "", Fields(("max-age", "24h"), ("message-ttl", 5), ("max-length-bytes", 9), ("dead-letter-exchange", "x")))]);
        Assert.Equal((TimeSpan.FromDays(1), null, 9L, null),
            (settings.MaxAge, settings.MessageTtl, settings.MaxLengthBytes, settings.DeadLetterExchange));
    }

    [Fact]
    public void Arguments_that_no_policy_has()
    {
        var settings = Settings(Queue(arguments: Fields(("x-single-active-consumer", true), ("x-max-priority", 5))), []);
        Assert.Equal((true, 5), (settings.SingleActiveConsumer, settings.MaxPriority));
        Assert.Equal(new QueueSettings(), Settings(Queue(), []));
    }

    [Fact]
    public void Alternate_exchange_by_argument_or_policy()
    {
        var policies = PolicySet.Empty with
        {
            Policies = PolicySet.Empty.Policies.Add("p", Policy("p", "^x", Fields(("alternate-exchange", "policy")))),
        };
        var exchange = new ExchangeState { Name = "x", Id = 7, Type = "topic" };
        Assert.Equal("policy", policies.AlternateOf(exchange));
        Assert.Equal("argument", policies.AlternateOf(exchange with { Arguments = Fields(("alternate-exchange", "argument")) }));
        Assert.Null(policies.AlternateOf(exchange with { Name = "y" }));
    }

    [Theory]
    [InlineData("max-length", -1, "0 or more")]
    [InlineData("expires", 0, "above 0")]
    [InlineData("expires", 315_360_000_001L, "ten years")]
    [InlineData("message-ttl", 315_360_000_001L, "ten years")]
    [InlineData("delivery-limit", -2, "-1 or more")]
    [InlineData("overflow", "drop", "drop-head, reject-publish")]
    [InlineData("max-age", "7", "7D")]
    [InlineData("dead-letter-exchange", 5, "text")]
    [InlineData("max-lenght", 5, "not a setting")]
    public void Setting_that_is_wrong_says_why(string key, object value, string said) =>
        Assert.Contains(said, PolicyKeys.FaultOf(key, Fields((key, value))[key]!), StringComparison.Ordinal);

    [Fact]
    public void Routing_key_of_dead_letters_has_at_most_255_bytes()
    {
        Assert.Null(PolicyKeys.FaultOf("dead-letter-routing-key", new TextValue(new string('k', 255))));
        Assert.Equal("must be shorter: it has 256 bytes, at most 255 are allowed",
            PolicyKeys.FaultOf("dead-letter-routing-key", new TextValue(new string('é', 128))));
    }

    [Theory]
    [InlineData("max-length", 0)]
    [InlineData("delivery-limit", -1)]
    [InlineData("max-age", "7D")]
    [InlineData("ha-mode", "all")]
    public void Setting_that_is_right_has_no_fault(string key, object value) =>
        Assert.Null(PolicyKeys.FaultOf(key, Fields((key, value))[key]!));

    [Theory]
    [InlineData(@"^(?!amq\.).*", "orders", "amq.gen-1")]
    [InlineData(@"^(?!amq\.)", "orders", "amq.gen-1")]
    [InlineData(@"^(?!amq\.|test).+$", "orders", "test.a")]
    [InlineData(@"^(?!.*\.dlq$).*$", "orders", "orders.dlq")]
    [InlineData(@"^(?!amq\.)(?!a[)]b)(?=o)orders", "orders.new", "oops")]
    [InlineData(@"^(?=.*new)(?!(?:bills|x\))).*", "orders.new", "bills.new")]
    public void Lookaheads_at_the_beginning_need_no_backtracking(string text, string matching, string other)
    {
        var pattern = SafePattern.Parse(text);
        Assert.False(pattern.Backtracks);
        Assert.True(pattern.Matches(matching));
        Assert.False(pattern.Matches(other));
    }

    [Theory]
    [InlineData("^(?!a)b|c", "ac")]
    [InlineData("^(?!a)*c", "c")]
    [InlineData("^(?!(?#()a)b", "b")]
    [InlineData("^(?!(?x)a#)\n)b", "b")]
    [InlineData("(?!a)b", "ab")]
    [InlineData(@"^(a)\1", "aa")]
    [InlineData("^(?![]a)-[b]])c", "c")]
    public void Other_patterns_match_with_backtracking_as_they_say(string text, string name)
    {
        Assert.Equal(System.Text.RegularExpressions.Regex.IsMatch(name, text), SafePattern.Parse(text).Matches(name));
    }

    [Fact]
    public void Pattern_that_takes_too_long_for_some_names_still_matches_others()
    {
        var slow = SafePattern.Parse("^(?=(a+)+!)(a)\\2");
        Assert.True(slow.Backtracks);
        var name = new string('a', 200);
        for (var time = 0; time < 4; time++)
        {
            Assert.False(slow.Matches(name));
            Assert.True(slow.HasOverrun);
            Assert.True(slow.Matches("aaa!"));
        }
    }

    [Fact]
    public void Operator_policy_whose_pattern_needs_backtracking_is_refused_and_a_known_one_can_change()
    {
        var known = new VirtualHostSettings
        {
            Name = "/",
            Policies = PolicySet.Empty with { OperatorPolicies = PolicySet.Empty.Policies.Add("o", Policy("o", @"(a)\1", Fields())) },
        };
        Assert.Contains(@"pattern: '^app\.(?!x)' of the operator policy 'new' needs backtracking. Use one without references",
            Assert.Throws<DefinitionsException>(() => Apply(Policy("new", @"^app\.(?!x)", Fields()))).Message, StringComparison.Ordinal);
        Assert.Throws<DefinitionsException>(() => Apply(Policy("o", @"(b)\1", Fields())));
        Assert.Equal(7, Apply(Policy("o", @"(a)\1", Fields(), priority: 7)).Policies.OperatorPolicies["o"].Priority);
        Assert.True(Apply(Policy("new", @"^(?!amq\.)", Fields())).Policies.OperatorPolicies.ContainsKey("new"));

        VirtualHostSettings Apply(Policy policy) =>
            SettingsDecision.Apply(new SetPolicy("/", policy, IsOperator: true), known, UserDirectory.Empty);
    }

    [Fact]
    public void Virtual_host_has_a_limit_of_policies_and_keeps_what_it_has()
    {
        var full = new VirtualHostSettings
        {
            Name = "/",
            Policies = PolicySet.Empty with
            {
                Policies = PolicySet.Empty.Policies.AddRange(Enumerable.Range(0, PolicySet.MaxPolicies).Select(number =>
                    KeyValuePair.Create($"p{number}", Policy($"p{number}", number < PolicySet.MaxBacktracking ? @"(a)\1" : "x",
                        Fields())))),
            },
        };
        Assert.Contains("1001 policies, at most 1000", Refusal(Policy("more", "x", Fields()), isOperator: false), StringComparison.Ordinal);
        Assert.Contains("51 policies whose patterns need backtracking",
            Refusal(Policy("p999", @"(a)\1", Fields()), isOperator: false), StringComparison.Ordinal);
        var changed = SettingsDecision.Apply(new SetPolicy("/", Policy("p7", "y", Fields())), full, UserDirectory.Empty);
        Assert.Equal("y", changed.Policies.Policies["p7"].Pattern.Text);

        string Refusal(Policy policy, bool isOperator) => Assert.Throws<DefinitionsException>(() =>
            SettingsDecision.Apply(new SetPolicy("/", policy, isOperator), full, UserDirectory.Empty)).Message;
    }

    [Fact]
    public void Pattern_of_an_operator_cannot_stop_the_broker()
    {
        var name = new string('a', 255) + "!";
        Assert.False(SafePattern.Parse("^(a+)+$").Matches(name));
        Assert.False(SafePattern.Parse("^(?!b)(a+)+$").Matches(name));
        Assert.True(SafePattern.Parse(@"^(?!amq\.).*").Matches("orders"));
        Assert.False(SafePattern.Parse(@"^(?!amq\.).*").Matches("amq.gen-1"));
        Assert.Contains("no regular expression", Assert.Throws<FormatException>(() => SafePattern.Parse("(")).Message,
            StringComparison.Ordinal);
        Assert.Throws<FormatException>(() => SafePattern.Parse("((a{1000}){1000}){1000}"));
        Assert.Throws<FormatException>(() => SafePattern.Parse("a{99999999999999999999}"));
        Assert.Throws<FormatException>(() => SafePattern.Parse(new string('a', 1025)));
    }
}
