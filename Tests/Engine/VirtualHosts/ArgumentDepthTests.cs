using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>Arguments with tables and arrays in each other: what is accepted can be written in every document that has it.</summary>
public sealed class ArgumentDepthTests
{
    // As deep as a frame may have them.
    private const int MostReceived = 64;

    private readonly HostRig _rig = new();

    /// <summary>Arguments of that depth. Each name needs a mark in JSON, which costs a further level, and so does the innermost
    /// value.</summary>
    internal static FieldTable Nested(int depth)
    {
        FieldValue value = new IntegerValue(7, IntegerKind.UInt8);
        for (var level = 1; level < depth; level++)
            value = new TableValue(FieldTable.Of(("!name", value)));
        return FieldTable.Of(("!name", value));
    }

    [Fact]
    public void Arguments_count_tables_and_arrays_as_levels()
    {
        Assert.Equal(1, FieldTable.Empty.Depth);
        Assert.Equal(1, FieldTable.Of(("x", new TextValue("y"))).Depth);
        Assert.Equal(3, FieldTable.Of(("x", new TextValue("y")), ("z", new ArrayValue([new TableValue(FieldTable.Empty)]))).Depth);
        Assert.Equal(MostReceived, Nested(MostReceived).Depth);
    }

    [Fact]
    public void Arguments_that_are_nested_too_deep_are_refused()
    {
        _rig.Queue("q").Exchange("x").Queue("deep", arguments: Nested(FieldTable.MaxDepth));
        var deep = Nested(FieldTable.MaxDepth + 1);
        Refused(_rig.Declare("new", arguments: deep), "queue 'new' in vhost '/'");
        Refused(_rig.Topology.DeclareExchange(new ExchangeDeclaration { Name = "new", Arguments = deep }, 7),
            "exchange 'new' in vhost '/'");
        Refused(_rig.Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "q", "k", deep), null), "a binding");
    }

    [Fact]
    public void Policy_whose_setting_is_nested_too_deep_is_refused()
    {
        Assert.Null(PolicyKeys.FaultOf("ha-params", new TableValue(Nested(FieldTable.MaxDepth - 1))));
        Assert.Equal("is nested 17 deep; 16 are allowed: have fewer tables and arrays in each other",
            PolicyKeys.FaultOf("ha-params", new TableValue(Nested(FieldTable.MaxDepth))));
    }

    [Theory]
    [InlineData(FieldTable.MaxDepth)]
    [InlineData(MostReceived)]
    public void Arguments_are_read_from_every_document_that_has_them(int depth)
    {
        var arguments = Nested(depth);
        var declare = new DeclareQueue(new QueueDeclaration { Name = "q", Durable = true, Arguments = arguments }, "c");
        Assert.Equal(declare, VirtualHostCommand.Parse(declare.ToBytes()));
        var request = new VirtualHostRequest { VirtualHost = "/", Command = new Bind(
            new BindingRequest("x", DestinationKind.Queue, "q", "k", arguments), "c") };
        Assert.Equal(request, VirtualHostRequest.Parse(request.ToBytes()));

        var queue = new QueueState { Name = "q", Id = 1, Durable = true, Arguments = arguments };
        var exchange = new ExchangeState { Name = "x", Id = 2, Type = ExchangeTypes.Direct, Durable = true, Arguments = arguments };
        var binding = new BindingState { Source = "x", SourceId = 2, Destination = "q", DestinationId = 1, Kind = DestinationKind.Queue,
            RoutingKey = "k", Arguments = arguments };
        var shard = VirtualHostShardDocument.Parse(
            new VirtualHostShardDocument { Exchanges = [exchange], Queues = [queue], Bindings = [binding] }.ToBytes());
        Assert.Equal((exchange, queue, binding), (shard.Exchanges[0], shard.Queues[0], shard.Bindings[0]));

        TopologyEdit[] edits = [new PutExchange(exchange), new PutQueue(queue), new AddBinding(binding)];
        var policy = new Policy { Name = "p", Pattern = SafePattern.Parse(".*"),
            Definition = FieldTable.Of(("ha-params", new TableValue(arguments))) };
        var settings = new VirtualHostSettings { Name = "/", Policies = new PolicySet
        {
            Policies = PolicySet.Empty.Policies.SetItem("p", policy),
        } };
        var delta = new VirtualHostsDelta { To = 1, Hosts = [new VirtualHostDelta("/", 1, settings, [.. edits])] };
        var reply = VirtualHostReply.Parse(
            new VirtualHostReply { Newer = delta, Answer = new VirtualHostAnswer { Queue = queue } }.ToBytes());
        Assert.Equal(queue, reply.Answer!.Queue);
        foreach (var read in new[] { VirtualHostsDelta.Parse(delta.ToBytes()), reply.Newer! })
        {
            Assert.Equal(edits, read.Hosts[0].Edits);
            Assert.Equal(policy.Definition, read.Hosts[0].Settings!.Policies.Policies["p"].Definition);
        }
    }

    /// <summary>The journal takes shards unchecked: their files must be able to have them.</summary>
    [Fact]
    public async Task Deepest_arguments_are_read_from_the_file_of_their_shard()
    {
        var arguments = Nested(FieldTable.MaxDepth);
        var shard = new VirtualHostShardDocument
        {
            Exchanges = [new ExchangeState { Name = "x", Id = 2, Type = ExchangeTypes.Direct, Durable = true, Arguments = arguments }],
            Bindings = [new BindingState { Source = "x", SourceId = 2, Destination = "q", DestinationId = 1, Arguments = arguments }],
        };
        var files = new MemoryFileSystem();
        var store = JournaledStateStore.Open(files, "/journal", FileStateStore.Open(files, "/state"), EngineLog.Silent);
        await new VirtualHostDocuments(store, "/").WriteShardAsync(7, shard);
        await store.DisposeAsync();
        var stored = await FileStateStore.Open(files, "/state").ReadAsync(VirtualHostShard.KeyOf("/", 7));
        var read = VirtualHostShardDocument.Parse(stored!.Value.Span);
        Assert.Equal((shard.Exchanges[0], shard.Bindings[0]), (read.Exchanges[0], read.Bindings[0]));
    }

    private static void Refused(TopologyDecision decision, string resource) => Assert.Equal((AmqpCode.PreconditionFailed,
        $"the arguments of {resource} are nested 17 deep; 16 are allowed: have fewer tables and arrays in each other"),
        (decision.Refusal?.Code, decision.Refusal?.Text));
}
