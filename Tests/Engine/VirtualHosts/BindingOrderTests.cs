using System.Text;
using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>The order of the bindings of a shard, and which of them are stored.</summary>
public sealed class BindingOrderTests(ITestOutputHelper output)
{
    private static readonly FieldTable?[] SomeArguments =
    [
        null, FieldTable.Of(("a", new IntegerValue(5))), FieldTable.Of(("a", new IntegerValue(5, IntegerKind.Int32))),
        FieldTable.Of(("a", new TextValue("5"))), FieldTable.Of(("a", new TimestampValue(5))), FieldTable.Of(("a", new FloatingValue(5))),
        FieldTable.Of(("a", new FloatingValue(5, IsSingle: true))), FieldTable.Of(("a", new TextValue("true"))),
        FieldTable.Of(("a", new BooleanValue(true))), FieldTable.Of(("a", VoidValue.Instance)),
        FieldTable.Of(("a", new TextValue("undefined"))), FieldTable.Of(("a", new TableValue(FieldTable.Empty))),
        FieldTable.Of(("a", new ArrayValue([]))), FieldTable.Of(("b", new IntegerValue(5)), ("a", new IntegerValue(5))),
    ];

    private static BindingState Binding(string source, string destination, string key, FieldTable? arguments = null,
        DestinationKind kind = DestinationKind.Queue, long sourceId = 1, long destinationId = 1) => new()
        {
            Source = source,
            SourceId = sourceId,
            Destination = destination,
            DestinationId = destinationId,
            Kind = kind,
            RoutingKey = key,
            StoredArguments = arguments,
        };

    /// <summary>New objects each time: the order must not be that of references.</summary>
    private static IEnumerable<BindingState> All() =>
        from source in (string[])["x", "X"]
        from destination in (string[])["q", "é"]
        from key in (string[])["", "k"]
        from arguments in (FieldTable?[])[.. SomeArguments, FieldTable.Empty]
        from kind in (DestinationKind[])[DestinationKind.Queue, DestinationKind.Exchange]
        from ids in (long[])[1, long.MaxValue]
        select Binding(source, destination, key, arguments is null ? null : FieldTable.Of(arguments.Fields), kind, ids, -ids);

    [Fact]
    public void Bindings_are_the_same_to_the_order_exactly_if_they_are_equal()
    {
        var (order, some, others) = (BindingOrder.Instance, All().ToArray(), All().ToArray());
        foreach (var one in some)
        {
            foreach (var other in others)
            {
                var compared = order.Compare(one, other);
                if (one.Equals(other) != (compared == 0) || Math.Sign(compared) != -Math.Sign(order.Compare(other, one)))
                    Assert.Fail($"{one} and {other}: {compared}");
            }
        }
        Assert.Equal(some.Length, some.Order(order).Distinct().Count());
    }

    [Fact]
    public void Order_is_by_source_destination_key_and_the_text_of_the_arguments()
    {
        var bindings = All().ToArray();
        Assert.Equal(Texts(bindings.OrderBy(static binding => binding.Source, StringComparer.Ordinal)
            .ThenBy(static binding => binding.Destination, StringComparer.Ordinal)
            .ThenBy(static binding => binding.RoutingKey, StringComparer.Ordinal)
            .ThenBy(static binding => binding.Arguments.ToString(), StringComparer.Ordinal)),
            Texts(bindings.Order(BindingOrder.Instance)));

        static IEnumerable<(string, string, string, string)> Texts(IEnumerable<BindingState> bindings) => bindings.Select(
            static binding => (binding.Source, binding.Destination, binding.RoutingKey, binding.Arguments.ToString())).ToArray();
    }

    [Fact]
    public void Comparison_without_arguments_allocates_nothing()
    {
        var (one, other) = (Binding("x", "q", "k"), Binding("x", "q", "k", destinationId: 2));
        Assert.True(BindingOrder.Instance.Compare(one, other) < 0);
        Assert.Equal(0, Allocations.Of(() => BindingOrder.Instance.Compare(one, other)));
    }

    /// <summary>Random binds and unbinds between durable and other ends, the same in the documents as computed from all bindings.</summary>
    [Fact]
    public void Documents_have_the_durable_bindings_in_order()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        var rig = new HostRig();
        foreach (var isDurable in (bool[])[true, false])
        {
            for (var number = 0; number < 3; number++)
                rig.Exchange($"x{number}{isDurable}", durable: isDurable).Queue($"q{number}{isDurable}", isDurable);
        }
        for (var step = 0; step < 2000; step++)
        {
            var request = new BindingRequest(Any("x"), random.Next(2) == 0 ? DestinationKind.Queue : DestinationKind.Exchange, "",
                $"k{random.Next(3)}", SomeArguments[random.Next(SomeArguments.Length)]);
            request = request with { Destination = Any(request.Kind == DestinationKind.Queue ? "q" : "x") };
            rig.Do(random.Next(3) == 0 ? rig.Topology.Unbind(request, null) : rig.Topology.Bind(request, null));
        }
        var stored = 0;
        for (var shard = 0; shard < VirtualHostShard.Count; shard++)
        {
            var expected = rig.Topology.Bindings.Where(binding => VirtualHostShard.Of(binding) == shard && rig.Topology.IsDurable(binding))
                .Order(BindingOrder.Instance).ToArray();
            BindingState[] written = rig.Topology.DocumentOf(shard) is { } document ? [.. document.Bindings] : [];
            Assert.True(expected.SequenceEqual(written), Seeds.Replay(seed));
            stored += expected.Length;
        }
        Assert.InRange(stored, 1, rig.Topology.Bindings.Count() - 1);
        Assert.Equal(HostRig.Durable(rig.Topology), HostRig.Durable(rig.Load().Topology));

        string Any(string prefix) => $"{prefix}{random.Next(3)}{random.Next(2) == 0}";
    }

    [Fact]
    public void Binding_to_a_new_durable_queue_of_the_same_name_is_stored()
    {
        var rig = new HostRig();
        rig.Queue("q", durable: false).Bind("amq.topic", "q", "k");
        rig.Do(rig.Topology.DeleteQueue("q", HostRig.Connection));
        rig.Queue("q").Bind("amq.topic", "q", "k");
        Assert.Single(rig.Load().Topology.Bindings);
        rig.Do(rig.Topology.DeleteQueue("q", HostRig.Connection));
        rig.Queue("q", durable: false).Bind("amq.topic", "q", "k");
        rig.WriteLater();
        Assert.Empty(rig.Load().Topology.Bindings);
        Assert.Single(rig.Topology.Bindings);
    }

    [Fact]
    public void Zeros_of_both_signs_have_the_same_text_and_order()
    {
        foreach (var isSingle in (bool[])[false, true])
        {
            var (positive, negative) = (new FloatingValue(0.0, isSingle), new FloatingValue(-0.0, isSingle));
            Assert.Equal(positive, negative);
            Assert.Equal("0", negative.ToString());
            Assert.Equal(0, BindingOrder.Instance.Compare(Binding("x", "q", "", Deep(positive)), Binding("x", "q", "", Deep(negative))));
            Assert.Equal(Deep(positive).ToString(), Deep(negative).ToString());
        }

        static FieldTable Deep(FieldValue value) => FieldTable.Of(("a", new ArrayValue([value])),
            ("t", new TableValue(FieldTable.Of(("a", value)))));
    }

    [Fact]
    public void Binding_is_removed_by_one_with_a_zero_of_the_other_sign()
    {
        var rig = new HostRig();
        rig.Queue("q");
        for (var number = -5; number <= 5; number++)
            rig.Bind("amq.headers", "q", arguments: FieldTable.Of(("a", new FloatingValue(number))));
        var negative = FieldTable.Of(("a", new FloatingValue(-0.0)));
        rig.Bind("amq.headers", "q", arguments: negative);
        Assert.Equal(11, rig.Topology.Bindings.Count());
        rig.Do(rig.Topology.Unbind(new BindingRequest("amq.headers", DestinationKind.Queue, "q", "", negative), null));
        Assert.Equal(10, rig.Topology.Bindings.Count());
        Assert.Equal(10, rig.Load().Topology.Bindings.Count());
    }

    /// <summary>Documents of earlier builds have -0 as it came.</summary>
    [Theory]
    [InlineData("0")]
    [InlineData("-0")]
    [InlineData("-0.0")]
    public void Stored_bindings_of_zeros_are_one_and_an_unbind_finds_it(string zero)
    {
        var rig = new HostRig();
        rig.Queue("q");
        foreach (var number in (double[])[0, 5, 7])
            rig.Bind("amq.headers", "q", arguments: Of(number));
        var stored = HostRig.Durable(rig.Topology);
        Assert.Contains("\"5\"", stored, StringComparison.Ordinal);
        var topology = VirtualHostTopology.Load("/", stored.Replace("\"5\"", $"\"{zero}\"", StringComparison.Ordinal).Split('\n')
            .Select(static text => VirtualHostShardDocument.Parse(Encoding.UTF8.GetBytes(text)))).Topology;
        Assert.Equal(2, topology.Bindings.Count());
        Assert.Equal(topology.Bindings.ToHashSet(), topology.BindingsFrom("amq.headers").ToHashSet());
        foreach (var sign in (double[])[0.0, -0.0])
        {
            var unbound = topology.Unbind(new BindingRequest("amq.headers", DestinationKind.Queue, "q", "", Of(sign)), null);
            Assert.Equal(Of(7), Assert.Single(unbound.Next.Bindings).Arguments);
            Assert.Equal(Of(7), Assert.Single(unbound.Next.BindingsFrom("amq.headers")).Arguments);
            Assert.IsType<RemoveBinding>(Assert.Single(unbound.Next.EditsSince(topology)));
        }

        static FieldTable Of(double number) => FieldTable.Of(("a", new FloatingValue(number)));
    }

    [Fact]
    public void Topologies_whose_zeros_have_other_signs_have_no_edits_between_them()
    {
        var rig = new HostRig();
        rig.Queue("q");
        var topologies = new List<VirtualHostTopology>();
        foreach (var zero in (double[])[-0.0, 0.0])
        {
            var arguments = (FieldTable[])[Of(zero, 1), Of(zero, 2)];
            foreach (var one in arguments)
                rig.Bind("amq.headers", "q", arguments: one);
            topologies.Add(rig.Topology);
            foreach (var one in arguments)
                rig.Do(rig.Topology.Unbind(new BindingRequest("amq.headers", DestinationKind.Queue, "q", "", one), null));
        }
        Assert.All(topologies, static topology => Assert.Equal(2, topology.Bindings.Count()));
        Assert.Empty(topologies[0].EditsSince(topologies[1]));
        Assert.Empty(topologies[1].EditsSince(topologies[0]));

        static FieldTable Of(double zero, long number) =>
            FieldTable.Of(("p", new FloatingValue(zero)), ("q", new IntegerValue(number)));
    }

    [Fact]
    public void Edits_between_two_topologies_are_the_bindings_that_differ()
    {
        var rig = new HostRig();
        rig.Queue("q").Queue("t", durable: false);
        for (var number = 0; number < 1000; number++)
            rig.Bind("amq.topic", number % 2 == 0 ? "q" : "t", $"k{number}");
        var before = rig.Topology;
        for (var number = 0; number < 1000; number += 10)
            rig.Do(rig.Topology.Unbind(new BindingRequest("amq.topic", DestinationKind.Queue, "q", $"k{number}"), null));
        for (var number = 0; number < 50; number++)
            rig.Bind("amq.topic", "q", $"new{number}").Bind("amq.topic", "t", $"new{number}");
        var edits = rig.Topology.EditsSince(before);
        Assert.Equal((100, 100), (edits.OfType<RemoveBinding>().Count(), edits.OfType<AddBinding>().Count()));
        var after = edits.Aggregate(before, static (topology, edit) => topology.Apply(edit));
        Assert.Equal(HostRig.Durable(rig.Topology), HostRig.Durable(after));
        Assert.Empty(rig.Topology.EditsSince(after));
    }
}
