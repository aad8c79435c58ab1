using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class RoutingTests(ITestOutputHelper output)
{
    private readonly HostRig _rig = new();
    private readonly RouteCollector _collector = new();

    private string Route(string exchange, string key = "", FieldTable? headers = null, params string[] more) =>
        Route(Table(), exchange, key, headers, more);

    private RoutingTable Table() => RoutingTable.Of(_rig.Topology, exchange => exchange.Arguments.Text(ExchangeTypes.Alternate));

    private string Route(RoutingTable table, string exchange, string key = "", FieldTable? headers = null, params string[] more)
    {
        table.Route(exchange, new RoutedMessage(key, headers ?? FieldTable.Empty, more), _collector);
        return string.Join(' ', _collector.Targets.Select(queue => queue.Name).Order(StringComparer.Ordinal));
    }

    private static FieldTable Fields(params (string Name, FieldValue Value)[] fields) => FieldTable.Of(fields);

    [Fact]
    public void Default_exchange_routes_by_the_queues_name()
    {
        _rig.Queue("a").Queue("b");
        Assert.Equal("a", Route("", "a"));
        Assert.Equal("", Route("", "c"));
        Assert.Equal("a b", Route("", "c", null, "a", "b", "a"));
    }

    [Fact]
    public void Direct_exchange_routes_by_the_equal_key_to_each_queue_once()
    {
        _rig.Queue("a").Queue("b").Bind("amq.direct", "a", "k").Bind("amq.direct", "b", "k").Bind("amq.direct", "b", "l");
        Assert.Equal("a b", Route("amq.direct", "k"));
        Assert.Equal("b", Route("amq.direct", "l"));
        Assert.Equal("a b", Route("amq.direct", "l", null, "k"));
        Assert.Equal("", Route("amq.direct", "K"));
        Assert.Equal("", Route("missing", "k"));
    }

    [Fact]
    public void Fanout_queue_bound_twice_stays_until_both_bindings_are_gone()
    {
        _rig.Queue("a").Queue("b").Bind("amq.fanout", "a", "1").Bind("amq.fanout", "a", "2").Bind("amq.fanout", "b");
        Assert.Equal("a b", Route("amq.fanout", "any"));
        _rig.Do(_rig.Topology.Unbind(new BindingRequest("amq.fanout", DestinationKind.Queue, "a", "1"), null));
        Assert.Equal("a b", Route("amq.fanout"));
        _rig.Do(_rig.Topology.Unbind(new BindingRequest("amq.fanout", DestinationKind.Queue, "a", "2"), null));
        Assert.Equal("b", Route("amq.fanout"));
    }

    [Theory]
    [InlineData("#", "", true)]
    [InlineData("#", "a.b", true)]
    [InlineData("", "", true)]
    [InlineData("*", "", false)]
    [InlineData("*", "a", true)]
    [InlineData("*", "a.b", false)]
    [InlineData("a.#", "a", true)]
    [InlineData("#.a", "a", true)]
    [InlineData("a.*.#", "a", false)]
    [InlineData("a.*.#", "a.b", true)]
    [InlineData("#.b.#", "a.b.c", true)]
    [InlineData("#.#", "", true)]
    [InlineData("#.*.#", "", false)]
    [InlineData("#.*.#", "x", true)]
    [InlineData("a..b", "a..b", true)]
    [InlineData("a.*.b", "a..b", true)]
    [InlineData("a*", "ab", false)]
    public void Topic_pattern_matches_words(string pattern, string key, bool matches)
    {
        _rig.Queue("q").Bind("amq.topic", "q", pattern);
        Assert.Equal(matches ? "q" : "", Route("amq.topic", key));
        Assert.Equal(matches, MatchesNaively(pattern, key));
    }

    [Fact]
    public void Repeated_hash_is_one_and_its_binding_can_be_removed()
    {
        _rig.Queue("q").Bind("amq.topic", "q", "a.#.#.#").Bind("amq.topic", "q", "a.#").Bind("amq.topic", "q", "#.#.b.#.#");
        Assert.Equal(["#.#.b.#.#", "a.#", "a.#.#.#"],
            _rig.Topology.BindingsFrom("amq.topic").Select(static binding => binding.RoutingKey).Order(StringComparer.Ordinal));
        Unbind("a.#.#.#");
        Assert.Equal("q", Route("amq.topic", "a.c"));
        // One node for the repeated ones of each pattern.
        Assert.Equal(2, _collector.Open.Count);
        Unbind("a.#");
        Assert.Equal("", Route("amq.topic", "a.c"));
        Assert.Equal("q", Route("amq.topic", "c.b.c"));
        Unbind("#.#.b.#.#");
        Assert.Equal("", Route("amq.topic", "c.b.c"));

        void Unbind(string key) => _rig.Do(_rig.Topology.Unbind(new BindingRequest("amq.topic", DestinationKind.Queue, "q", key), null));
    }

    [Fact]
    public void Routing_that_takes_too_many_steps_is_told()
    {
        _rig.Queue("q");
        // 60 nodes stay open behind each of the first words.
        for (var first = 0; first < 20; first++)
            _rig.Bind("amq.topic", "q", "#." + string.Join('.', Enumerable.Repeat($"{(char)('a' + first)}.#", 60)));
        var table = Table();
        var key = string.Join('.', Enumerable.Range(0, 126).Select(static word => (char)('a' + (word % 20))));
        Assert.True(table.Route("amq.topic", new RoutedMessage(key, FieldTable.Empty), _collector));
        Assert.False(table.Route("amq.topic", new RoutedMessage(key, FieldTable.Empty, [.. Enumerable.Repeat(key, 900)]), _collector));
        Assert.True(table.Route("amq.topic", new RoutedMessage("z", FieldTable.Empty), _collector));
    }

    [Fact]
    public void Hash_exchange_with_the_largest_weights_has_few_points_and_keeps_their_shares()
    {
        _rig.Exchange("x", "x-consistent-hash").Queue("a").Queue("b").Bind("x", "a", "2147483647").Bind("x", "b", "1073741824");
        var table = Table();
        table.Route("x", new RoutedMessage("1", FieldTable.Empty), _collector);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.NotEmpty(Route(Table(), "x", "1"));
        // A ring of a million points takes 16 MiB, and its sorting twice as much.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        Assert.InRange(Enumerable.Range(0, 9_000).Count(key => Route(table, "x", $"k{key}") == "a"), 5_700, 6_300);
    }

    [Fact]
    public void Headers_exchange_matches_as_the_binding_says()
    {
        var (one, two) = (("a", new IntegerValue(1)), ("b", new TextValue("2")));
        _rig.Queue("all").Queue("any").Queue("void").Queue("x-any").Queue("nothing").Queue("everything")
            .Bind("amq.headers", "all", arguments: Fields(one, two, ("x-extra", new TextValue("ignored"))))
            .Bind("amq.headers", "any", arguments: Fields(one, two).With("x-match", new TextValue("any")))
            .Bind("amq.headers", "void", arguments: Fields(("a", VoidValue.Instance)))
            .Bind("amq.headers", "x-any", arguments: Fields(("x-extra", new TextValue("1"))).With("x-match", new TextValue("any-with-x")))
            .Bind("amq.headers", "nothing", arguments: Fields(("x-match", new TextValue("any"))))
            .Bind("amq.headers", "everything");
        Assert.Equal("all any everything void", Route("amq.headers", "", Fields(one, two)));
        Assert.Equal("any everything", Route("amq.headers", "", Fields(two)));
        Assert.Equal("everything void", Route("amq.headers", "", Fields(("a", new TextValue("1")))));
        Assert.Equal("any everything void", Route("amq.headers", "", Fields(("a", new IntegerValue(1, IntegerKind.UInt8)))));
        Assert.Equal("everything x-any", Route("amq.headers", "", Fields(("x-extra", new TextValue("1")))));
        Assert.Equal("everything", Route("amq.headers"));
    }

    [Fact]
    public void Headers_binding_costs_a_step_for_each_argument_and_for_what_is_compared_of_it()
    {
        var any = FieldTable.Of(Enumerable.Range(0, 254).Select(static number =>
            KeyValuePair.Create<string, FieldValue>($"h{number}", VoidValue.Instance))).With("x-match", new TextValue("any"));
        _rig.Queue("q");
        for (var binding = 0; binding < 10; binding++)
            _rig.Bind("amq.headers", "q", $"{binding}", any);
        Assert.Equal("", Route("amq.headers"));
        // One for the exchange.
        Assert.Equal(1 + (10 * 255), _collector.Steps);
        Assert.Equal(1 + 101, HeadersPattern.Of(Fields(("h", new TextValue(new string('v', 6_400))))).Steps);
        Assert.Equal(1 + 4, HeadersPattern.Of(Fields(("h", new ArrayValue([VoidValue.Instance, VoidValue.Instance, VoidValue.Instance]))))
            .Steps);
        Assert.Equal("a binding of a headers exchange has at most 255 arguments, not 256", _rig.Topology.Bind(new BindingRequest(
            "amq.headers", DestinationKind.Queue, "q", "", any.With("one more", VoidValue.Instance)), null).Refusal!.Text);
    }

    [Fact]
    public void Exchanges_bound_in_a_circle_are_visited_once()
    {
        _rig.Queue("q").Queue("r").Exchange("x", "fanout").Exchange("y", "topic").Exchange("z", "fanout", isInternal: true)
            .BindExchange("x", "y", "ignored").BindExchange("y", "z", "#").BindExchange("z", "x")
            .Bind("z", "q").Bind("x", "q").Bind("y", "r", "k");
        Assert.Equal("q", Route("x", "l"));
        Assert.Equal("q r", Route("x", "k"));
        Assert.Equal("q r", Route("z", "k"));
    }

    [Fact]
    public void Alternate_exchange_takes_what_matches_nothing()
    {
        _rig.Queue("q").Queue("rest").Exchange("x", arguments: Fields(("alternate-exchange", new TextValue("y"))))
            .Exchange("y", "fanout", arguments: Fields(("alternate-exchange", new TextValue("x")))).Bind("x", "q", "k");
        Assert.Equal("", Route("x", "l"));
        _rig.Bind("y", "rest");
        Assert.Equal("rest", Route("x", "l"));
        Assert.Equal("q", Route("x", "k"));
        // A further key that matches is a match of the message.
        Assert.Equal("q", Route("x", "l", null, "k"));
        var table = Table();
        Assert.Equal("", Route(table.WithAlternates(_ => null), "x", "l"));
        Assert.Equal("rest", Route(table.WithAlternates(_ => null).WithAlternates(_ => "amq.direct").WithAlternates(_ => "y"), "x", "l"));
        _rig.Do(_rig.Topology.DeleteExchange("y"));
        Assert.Equal("", Route("x", "l"));
    }

    [Fact]
    public void Delayed_exchange_routes_as_its_type_says()
    {
        _rig.Queue("q").Exchange("x", "x-delayed-message", arguments: Fields(("x-delayed-type", new TextValue("topic"))))
            .Bind("x", "q", "a.*");
        Assert.Equal("q", Route("x", "a.b"));
        Assert.Equal("Invalid argument, 'x-delayed-type' must be an existing exchange type", _rig.Topology.DeclareExchange(
            new ExchangeDeclaration { Name = "y", Type = "x-delayed-message" }, 7).Refusal!.Text);
    }

    [Fact]
    public void Exchange_that_delays_a_message_is_a_target_by_bindings_and_as_an_alternate_exchange()
    {
        _rig.Queue("now").Queue("q").Exchange("late", "x-delayed-message", arguments: Fields(
                ("x-delayed-type", new TextValue("fanout")), ("alternate-exchange", new TextValue("amq.fanout"))))
            .Exchange("x", "fanout").BindExchange("x", "late").Bind("x", "now").Bind("late", "q").Bind("amq.fanout", "now")
            .Exchange("y", arguments: Fields(("alternate-exchange", new TextValue("late"))));
        Assert.Equal("late now", RouteDelayed("x"));
        Assert.Equal("late", RouteDelayed("y"));
        Assert.Equal("late", RouteDelayed("late"));
        Assert.Equal("now q", Route("x"));
        Assert.Equal("q", Route("y"));

        string RouteDelayed(string exchange)
        {
            Assert.True(Table().Route(exchange, new RoutedMessage("k", FieldTable.Empty, IsDelayed: true), _collector));
            return string.Join(' ', _collector.Targets.Select(static target => target.Name).Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public void Hash_exchange_spreads_keys_by_weight_and_moves_few()
    {
        _rig.Exchange("x", "x-consistent-hash");
        foreach (var (queue, weight) in new[] { ("a", "1"), ("b", "1"), ("c", "2") })
            _rig.Queue(queue).Bind("x", queue, weight);
        var before = Keys(Table());
        foreach (var (queue, share) in new[] { ("a", 0.25), ("b", 0.25), ("c", 0.5) })
            Assert.InRange(before.Count(routed => routed == queue), share * 20_000 * 0.7, share * 20_000 * 1.3);
        _rig.Queue("d").Bind("x", "d", "1");
        var after = Keys(Table());
        Assert.All(before.Zip(after), pair => Assert.True(pair.First == pair.Second || pair.Second == "d"));
        Assert.InRange(after.Count(routed => routed == "d"), 20_000 * 0.2 * 0.7, 20_000 * 0.2 * 1.3);
        _rig.Do(_rig.Topology.DeleteQueue("d", null));
        Assert.Equal(before, Keys(Table()));

        List<string> Keys(RoutingTable table) => [.. Enumerable.Range(0, 20_000).Select(key => Route(table, "x", $"key-{key}"))];
    }

    [Fact]
    public void Hash_exchange_hashes_the_header_that_it_names()
    {
        _rig.Exchange("x", "x-consistent-hash", arguments: Fields(("hash-header", new TextValue("customer"))));
        Assert.Equal("", Route("x"));
        for (var queue = 0; queue < 8; queue++)
            _rig.Queue($"q{queue}").Bind("x", $"q{queue}", queue == 0 ? "2000000000" : "1000000000");
        Assert.Single(Enumerable.Range(0, 50).Select(key => Route("x", $"{key}", Fields(("customer", new TextValue("7"))))).Distinct());
        Assert.True(Enumerable.Range(0, 50).Select(key => Route("x", "", Fields(("customer", new IntegerValue(key)))))
            .Distinct().Count() > 3);
    }

    // Random bindings, keys and changes: the table that edits made routes as a naive matcher over all bindings.
    [Fact]
    public void Table_changed_by_edits_routes_as_a_naive_matcher()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var round = 0; round < 10; round++)
        {
            var rig = new HostRig();
            string[] types = ["direct", "fanout", "topic", "headers", "topic"];
            for (var exchange = 0; exchange < types.Length; exchange++)
                rig.Exchange($"x{exchange}", types[exchange], durable: false, autoDelete: false,
                    arguments: random.Next(3) == 0 ? Fields(("alternate-exchange", new TextValue($"x{random.Next(5)}"))) : null);
            var table = RoutingTable.Of(rig.Topology, exchange => exchange.Arguments.Text(ExchangeTypes.Alternate));
            for (var step = 0; step < 400; step++)
            {
                var decision = Any(rig, random);
                if (!decision.IsAccepted)
                    continue;
                rig.Do(decision);
                table = decision.Edits.Aggregate(table, (made, edit) => made.Apply(edit));
                var (source, key, other) = ($"x{random.Next(5)}", Key(random, "ab"), Key(random, "ab"));
                var headers = Headers(random);
                var routed = Route(table, source, key, headers, other);
                Assert.True(routed == Naive(rig.Topology, source, [key, other], headers),
                    $"{Seeds.Replay(seed)}, step {step}: '{key}' and '{other}' from {source} went to '{routed}'");
            }
        }
    }

    private static TopologyDecision Any(HostRig rig, Random random)
    {
        var request = random.Next(4) == 0
            ? new BindingRequest($"x{random.Next(5)}", DestinationKind.Exchange, $"x{random.Next(5)}", Key(random, "ab*#"), Pattern(random))
            : new BindingRequest($"x{random.Next(5)}", DestinationKind.Queue, $"q{random.Next(6)}", Key(random, "ab*#"), Pattern(random));
        return random.Next(10) switch
        {
            0 => rig.Topology.DeleteQueue($"q{random.Next(6)}", null),
            1 or 2 => rig.Declare($"q{random.Next(6)}"),
            3 or 4 when rig.Topology.Bindings.ToArray() is { Length: > 0 } all && all[random.Next(all.Length)] is var some =>
                rig.Topology.Unbind(new BindingRequest(some.Source, some.Kind, some.Destination, some.RoutingKey, some.Arguments), null),
            _ => rig.Topology.Bind(request, null),
        };
    }

    private static string Key(Random random, string words) =>
        string.Join('.', Enumerable.Range(0, random.Next(5)).Select(_ => words[random.Next(words.Length)]));

    private static FieldTable Headers(Random random) => FieldTable.Of(Enumerable.Range(0, random.Next(3))
        .Select(_ => KeyValuePair.Create<string, FieldValue>($"h{random.Next(3)}", new IntegerValue(random.Next(2)))));

    private static FieldTable Pattern(Random random)
    {
        var pattern = Headers(random);
        if (random.Next(3) == 0)
            pattern = pattern.With($"h{random.Next(3)}", VoidValue.Instance);
        return random.Next(2) == 0 ? pattern.With("x-match", new TextValue(random.Next(2) == 0 ? "any" : "all")) : pattern;
    }

    private static string Naive(VirtualHostTopology topology, string exchange, string[] keys, FieldTable headers)
    {
        var (queues, visited) = (new SortedSet<string>(StringComparer.Ordinal), new HashSet<string>());
        Visit(exchange);
        return string.Join(' ', queues);

        void Visit(string name)
        {
            if (!visited.Add(name) || topology.FindExchange(name) is not { } from)
                return;
            var met = topology.Bindings.Where(binding => binding.Source == name && from.Type switch
            {
                "direct" => keys.Contains(binding.RoutingKey),
                "fanout" => true,
                "topic" => keys.Any(key => MatchesNaively(binding.RoutingKey, key)),
                _ => MatchesNaively(binding.Arguments, headers),
            }).ToArray();
            foreach (var binding in met.Where(binding => binding.Kind == DestinationKind.Queue))
                queues.Add(binding.Destination);
            foreach (var binding in met.Where(binding => binding.Kind == DestinationKind.Exchange))
                Visit(binding.Destination);
            if (met.Length == 0 && from.Arguments.Text(ExchangeTypes.Alternate) is { } alternate)
                Visit(alternate);
        }
    }

    private static bool MatchesNaively(string pattern, string key)
    {
        return Match(pattern.Length == 0 ? [] : pattern.Split('.'), key.Length == 0 ? [] : key.Split('.'));

        static bool Match(ReadOnlySpan<string> pattern, ReadOnlySpan<string> words) => pattern switch
        {
            [] => words.IsEmpty,
            ["#", .. var rest] => Match(rest, words) || !words.IsEmpty && Match(pattern, words[1..]),
            [var word, .. var rest] => !words.IsEmpty && (word == "*" || word == words[0]) && Match(rest, words[1..]),
        };
    }

    private static bool MatchesNaively(FieldTable pattern, FieldTable headers)
    {
        var met = pattern.Fields.Where(field => field.Key != "x-match")
            .Select(field => headers[field.Key] is { } header && (field.Value is VoidValue || field.Value.Equals(header)));
        return pattern.Text("x-match") == "any" ? met.Any(one => one) : met.All(one => one);
    }
}
