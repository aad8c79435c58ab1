using System.Text.Json;
using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class TopologyStorageTests(ITestOutputHelper output)
{
    [Fact]
    public void Declare_and_bind_write_one_small_shard_in_a_large_host()
    {
        var rig = new HostRig();
        rig.Exchange("events", ExchangeTypes.Topic);
        for (var queue = 0; queue < 10_000; queue++)
        {
            rig.DoUnstored(rig.Declare($"service-{queue:d5}"));
            for (var binding = 0; binding < 10; binding++)
                Assert.Single(rig.DoUnstored(rig.Topology.Bind(new BindingRequest("events", DestinationKind.Queue, $"service-{queue:d5}",
                    $"orders.{queue}.{binding}.*"), null)).WritesBefore);
        }
        rig.WriteLater();
        Assert.Single(rig.Declare("one-more").WritesBefore);
        Assert.Single(rig.Topology.DeleteQueue("service-00001", null).WritesBefore);
        Assert.Single(rig.Topology.DeleteExchange("events").WritesBefore);
        output.WriteLine($"{rig.StoredShards} shards, the largest has {rig.LargestDocument} bytes");
        Assert.True(rig.LargestDocument < 128 << 10);
        var (loaded, repairs) = rig.Load();
        Assert.Empty(repairs);
        Assert.Equal(HostRig.Durable(rig.Topology), HostRig.Durable(loaded));
    }

    [Fact]
    public void What_is_not_durable_is_not_stored()
    {
        var rig = new HostRig();
        rig.Queue("t", durable: false).Exchange("y", durable: false).Bind("amq.topic", "t", "#");
        rig.Queue("d").Bind("y", "d");
        Assert.Equal(1, rig.StoredShards);
        Assert.Equal(["d"], rig.Load().Topology.Queues.Select(queue => queue.Name));
        Assert.Empty(rig.Load().Repairs);
    }

    // A crash after any write leaves a state that the next owner completes to that before or that after the decision.
    [Fact]
    public void Crash_between_the_writes_of_a_decision_is_repaired()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var round = 0; round < 10; round++)
        {
            var rig = new HostRig();
            for (var step = 0; step < 150; step++)
            {
                var decision = Any(rig, random);
                if (!decision.IsAccepted)
                    continue;
                var (before, after) = (HostRig.Durable(rig.Topology), HostRig.Durable(decision.Next));
                for (var writes = 0; writes <= decision.WritesBefore.Length; writes++)
                {
                    rig.WriteFirst(decision, writes);
                    var (loaded, _) = rig.Load();
                    var state = HostRig.Durable(loaded.EndUnboundExchanges().Next);
                    Assert.True(state == before && writes < decision.WritesBefore.Length || state == after,
                        $"{Seeds.Replay(seed)}, after {writes} writes of {string.Join(", ", decision.Edits)}:\n{state}");
                }
                rig.Do(decision);
                if (random.Next(10) == 0)
                    rig.WriteLater();
                Assert.True(rig.Topology.Bindings.All(rig.Topology.IsInForce), Seeds.Replay(seed));
                Assert.Equal(rig.Topology.Queues.Count(), rig.Topology.QueueCount);
            }
        }
    }

    [Fact]
    public void Exchange_with_a_binding_but_no_mark_gets_the_mark()
    {
        var rig = new HostRig();
        rig.Queue("q").Exchange("x", autoDelete: true);
        rig.WriteFirst(rig.Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "q", "k"), null), 1);
        var (loaded, repairs) = rig.Load();
        Assert.True(loaded.FindExchange("x")!.WasBound);
        Assert.Equal([VirtualHostShard.Of("x")], repairs);
    }

    [Fact]
    public void Values_keep_their_types_when_stored()
    {
        var all = FieldTable.Of(
            ("void", VoidValue.Instance), ("bool", new BooleanValue(true)), ("text", new TextValue("é")),
            ("long", new IntegerValue(long.MinValue)), ("int", new IntegerValue(5, IntegerKind.Int32)),
            ("uint", new IntegerValue(uint.MaxValue, IntegerKind.UInt32)), ("byte", new IntegerValue(1, IntegerKind.UInt8)),
            ("double", new FloatingValue(5)), ("float", new FloatingValue(double.NaN, IsSingle: true)),
            ("decimal", new DecimalValue(2, 314)), ("bytes", new BinaryValue([1, 2])), ("raw", new BinaryValue([0xff], IsText: true)),
            ("time", new TimestampValue(1_700_000_000)), ("array", new ArrayValue([new IntegerValue(1), new TextValue("a")])),
            ("table", new TableValue(FieldTable.Of(("!int32", new TextValue("not a mark"))))),
            ("empty", new TableValue(FieldTable.Empty)));
        var rig = new HostRig();
        rig.Queue("q", arguments: all);
        Assert.Equal(all, rig.Load().Topology.FindQueue("q")!.Arguments);
        Assert.Equal("{\"a\":{\"!int32\":5},\"b\":6}", JsonSerializer.Serialize(
            FieldTable.Of(("b", new IntegerValue(6)), ("a", new IntegerValue(5, IntegerKind.Int32)))));
    }

    [Theory]
    [InlineData("{\"!int32\":\"5\"}", "int32")]
    [InlineData("{\"!int99\":5}", "!int99")]
    [InlineData("{\"!decimal\":\"5\"}", "!decimal")]
    public void Damaged_value_is_named(string json, string name) => Assert.Contains(name,
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<FieldValue>(json)).Message, StringComparison.Ordinal);

    private static TopologyDecision Any(HostRig rig, Random random)
    {
        string Name(string prefix) => $"{prefix}{random.Next(4)}";
        var topology = rig.Topology;
        var binding = random.Next(2) == 0
            ? new BindingRequest(Name("x"), DestinationKind.Queue, Name("q"), Name("k"))
            : new BindingRequest(Name("x"), DestinationKind.Exchange, Name("x"), Name("k"));
        return random.Next(12) switch
        {
            0 => topology.DeleteExchange(Name("x")),
            1 => topology.DeleteQueue(Name("q"), null),
            2 or 3 => rig.Declare(Name("q")),
            4 or 5 => topology.DeclareExchange(new ExchangeDeclaration
            {
                Name = Name("x"),
                Durable = true,
                AutoDelete = random.Next(2) == 0,
            }, rig.NextId()),
            6 or 7 => topology.Unbind(binding, null),
            _ => topology.Bind(binding, null),
        };
    }
}
