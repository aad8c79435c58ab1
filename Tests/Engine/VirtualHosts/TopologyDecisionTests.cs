using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class TopologyDecisionTests
{
    private readonly HostRig _rig = new();

    private VirtualHostTopology Topology => _rig.Topology;

    private static FieldTable Args(string name, object? value) => FieldTable.Of((name, Value(value)));

    private static FieldValue Value(object? value) => value switch
    {
        null => VoidValue.Instance,
        bool boolean => new BooleanValue(boolean),
        int integer => new IntegerValue(integer, IntegerKind.Int32),
        long integer => new IntegerValue(integer),
        _ => new TextValue((string)value),
    };

    private static void Refused(TopologyDecision decision, AmqpCode code, string text)
    {
        Assert.Equal((code, text), (decision.Refusal?.Code, decision.Refusal?.Text));
        Assert.Empty(decision.Edits);
    }

    [Fact]
    public void Every_host_has_the_predeclared_exchanges()
    {
        string[] names = ["amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic", "amq.rabbitmq.trace"];
        Assert.All(names, name => Assert.True(Topology.CheckExchange(name).IsAccepted));
        Assert.All(names, name => Refused(Topology.DeleteExchange(name), AmqpCode.AccessRefused,
            $"deletion of system exchange '{name}' in vhost '/' not allowed"));
        Assert.True(Topology.DeclareExchange(new ExchangeDeclaration { Name = "amq.topic", Type = "topic", Durable = true }, 7).IsAccepted);
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = "amq.mine" }, 7), AmqpCode.AccessRefused,
            "exchange name 'amq.mine' contains reserved prefix 'amq.*'");
    }

    [Fact]
    public void Default_exchange_is_not_declared_bound_or_deleted()
    {
        const string Text = "operation not permitted on the default exchange";
        _rig.Queue("q").Exchange("x");
        Refused(Topology.CheckExchange(""), AmqpCode.AccessRefused, Text);
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = "" }, 7), AmqpCode.AccessRefused, Text);
        Refused(Topology.DeleteExchange(""), AmqpCode.AccessRefused, Text);
        Refused(Topology.Bind(new BindingRequest("", DestinationKind.Queue, "q"), null), AmqpCode.AccessRefused, Text);
        Refused(Topology.Unbind(new BindingRequest("x", DestinationKind.Exchange, ""), null), AmqpCode.AccessRefused, Text);
    }

    [Theory]
    [InlineData("topic", true, false, false, "type", "topic", "direct")]
    [InlineData("direct", false, true, true, "durable", "false", "true")]
    [InlineData("direct", true, true, true, "auto_delete", "true", "false")]
    [InlineData("direct", true, false, true, "internal", "true", "false")]
    public void Exchange_declared_otherwise_is_refused(string type, bool durable, bool autoDelete, bool isInternal, string arg,
        string received, string current)
    {
        _rig.Exchange("x");
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = "x", Type = type, Durable = durable, AutoDelete = autoDelete,
            Internal = isInternal }, 7), AmqpCode.PreconditionFailed,
            $"inequivalent arg '{arg}' for exchange 'x' in vhost '/': received '{received}' but current is '{current}'");
    }

    [Fact]
    public void Exchange_declared_the_same_way_changes_nothing()
    {
        _rig.Exchange("x", arguments: Args("alternate-exchange", "y"));
        var same = new ExchangeDeclaration { Name = "x\r\n", Durable = true, Arguments = Args("alternate-exchange", "y").With("z",
            new IntegerValue(1)) };
        Assert.Empty(_rig.Do(Topology.DeclareExchange(same, 7)).Edits);
        Refused(Topology.DeclareExchange(same with { Arguments = FieldTable.Empty }, 7), AmqpCode.PreconditionFailed,
            "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none but current is the value 'y' of type "
                + "'longstr'");
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = "n", Type = "x-unknown" }, 7), AmqpCode.PreconditionFailed,
            "unknown exchange type 'x-unknown'");
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = "n", Arguments = Args("alternate-exchange", 5) }, 7),
            AmqpCode.PreconditionFailed, "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'n' in vhost '/'");
    }

    [Fact]
    public void What_is_missing_is_named()
    {
        _rig.Queue("q").Exchange("x");
        Refused(Topology.CheckExchange("n"), AmqpCode.NotFound, "no exchange 'n' in vhost '/'");
        Refused(Topology.UseQueue("n", HostRig.Connection), AmqpCode.NotFound, "no queue 'n' in vhost '/'");
        Refused(Topology.Bind(new BindingRequest("n", DestinationKind.Queue, "m"), null), AmqpCode.NotFound,
            "no exchange 'n' in vhost '/'");
        Refused(Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "m"), null), AmqpCode.NotFound, "no queue 'm' in vhost '/'");
        Refused(Topology.Bind(new BindingRequest("x", DestinationKind.Exchange, "m"), null), AmqpCode.NotFound,
            "no exchange 'm' in vhost '/'");
        Assert.Equal("no exchange 'n' in vhost '/'", Topology.CheckPublish("n")!.Text);
        Assert.Null(Topology.CheckPublish(""));
        Assert.Null(Topology.CheckPublish("x"));
        _rig.Exchange("hidden", isInternal: true);
        Assert.Equal(new AmqpRefusal(AmqpCode.AccessRefused, "cannot publish to internal exchange 'hidden' in vhost '/'"),
            Topology.CheckPublish("hidden"));
    }

    [Fact]
    public void Deletes_and_unbinds_of_what_is_missing_are_accepted()
    {
        _rig.Queue("q").Exchange("x");
        Assert.Empty(_rig.Do(Topology.DeleteExchange("n")).Edits);
        Assert.Empty(_rig.Do(Topology.DeleteQueue("n", HostRig.Connection)).Edits);
        Assert.Empty(_rig.Do(Topology.Unbind(new BindingRequest("x", DestinationKind.Queue, "q", "k"), null)).Edits);
        Assert.Empty(_rig.Do(Topology.Unbind(new BindingRequest("n", DestinationKind.Queue, "m", "k"), null)).Edits);
    }

    [Fact]
    public void Exclusive_queue_is_for_its_connection_only()
    {
        const string Text = "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another "
            + "connection or the exclusive property value does not match that of the original declaration.";
        _rig.Queue("q", exclusive: true).Queue("shared").Exchange("x");
        Assert.False(Topology.FindQueue("q")!.Durable);
        Assert.True(_rig.Declare("q", exclusive: true).IsAccepted);
        Refused(_rig.Declare("q", exclusive: true, connection: "c2"), AmqpCode.ResourceLocked, Text);
        // The exclusive flag is compared before all others.
        Refused(_rig.Declare("q", durable: true, autoDelete: true), AmqpCode.ResourceLocked, Text);
        Refused(Topology.UseQueue("q", "c2"), AmqpCode.ResourceLocked, Text);
        Refused(Topology.DeleteQueue("q", "c2"), AmqpCode.ResourceLocked, Text);
        Refused(Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "q"), "c2"), AmqpCode.ResourceLocked, Text);
        Refused(_rig.Declare("shared", exclusive: true), AmqpCode.ResourceLocked, Text.Replace("'q'", "'shared'",
            StringComparison.Ordinal));
        Assert.Equal("q", Topology.UseQueue("q", HostRig.Connection).Queue!.Name);
    }

    [Fact]
    public void Only_a_queue_that_is_not_durable_is_in_memory_and_commands_and_images_carry_that()
    {
        const string Connection = "i1/c1";
        foreach (var (name, isDurable, isExclusive, isInMemory) in new[]
        {
            ("own", false, true, true), ("shared", false, false, true), ("kept", true, false, false), ("durable own", true, true, true),
        })
        {
            Assert.Equal(isInMemory, DeclareInMemory(name, Connection, isDurable, isExclusive).InMemory);
            var delta = new VirtualHostsDelta { Hosts = [new VirtualHostDelta("/", 1, null, [new PutQueue(Topology.FindQueue(name)!)])] };
            var put = Assert.IsType<PutQueue>(Assert.Single(VirtualHostsDelta.Parse(delta.ToBytes()).Hosts[0].Edits));
            Assert.Equal((isInMemory, isInMemory ? Connection : null, isExclusive ? Connection : null),
                (put.Queue.InMemory, put.Queue.Keeper, put.Queue.Owner));
            Assert.Equal(isExclusive ? Connection : isInMemory ? "i1/" : null, put.Queue.EndsWith);
        }
        // Brokers of earlier builds do not ask for it.
        _rig.Queue("before", exclusive: true);
        Assert.Null(Topology.FindQueue("before")!.Keeper);
    }

    [Fact]
    public void Queue_in_memory_that_is_not_exclusive_ends_with_its_broker_and_not_with_its_connection()
    {
        DeclareInMemory("shared", "i1/c1");
        DeclareInMemory("own", "i1/c1", isExclusive: true);
        DeclareInMemory("elsewhere", "i2/c1");
        Assert.Equal(["i1/", "i1/c1", "i2/"], Topology.Connections.Order(StringComparer.Ordinal));
        _rig.Do(Topology.EndConnection("i1/c1"));
        Assert.Equal(["elsewhere", "shared"], Topology.Queues.Select(static queue => queue.Name).Order(StringComparer.Ordinal));
        // Its declarer may declare it again, as everybody may.
        Assert.Empty(Topology.DeclareQueue(new QueueDeclaration { Name = "shared", InMemory = true }, "i2/c2", 9, "").Edits);
        _rig.Do(Topology.EndConnection("i1/"));
        Assert.Equal(["elsewhere"], Topology.Queues.Select(static queue => queue.Name));
        _rig.Do(Topology.DeleteQueue("elsewhere", "i1/c3"));
        Assert.Empty(Topology.Connections);
    }

    // As another broker sends it.
    private QueueState DeclareInMemory(string name, string connection, bool isDurable = false, bool isExclusive = false)
    {
        var declared = new DeclareQueue(new QueueDeclaration
        {
            Name = name,
            Durable = isDurable,
            Exclusive = isExclusive,
            InMemory = true,
        }, connection);
        var carried = (DeclareQueue)VirtualHostCommand.Parse(declared.ToBytes());
        _rig.Do(Topology.DeclareQueue(carried.Queue, carried.Connection, _rig.NextId(), generated: ""));
        return Topology.FindQueue(name)!;
    }

    [Fact]
    public void Connection_that_ends_takes_its_exclusive_queues_with_it()
    {
        _rig.Queue("a", exclusive: true).Queue("b", exclusive: true).Queue("kept").Bind("amq.direct", "a", "k");
        _rig.Do(_rig.Declare("other", exclusive: true, connection: "c2"));
        var ended = _rig.Do(Topology.EndConnection(HostRig.Connection));
        Assert.Empty(ended.WritesBefore);
        Assert.Equal(["kept", "other"], Topology.Queues.Select(queue => queue.Name).Order());
        Assert.Empty(Topology.Bindings);
        Assert.Equal(2, Topology.QueueCount);
        Assert.Empty(Topology.EndConnection(HostRig.Connection).Edits);
    }

    [Theory]
    [InlineData(false, false, "durable", "false", "true")]
    [InlineData(true, true, "auto_delete", "true", "false")]
    public void Queue_declared_with_other_flags_is_refused(bool durable, bool autoDelete, string arg, string received, string current)
    {
        _rig.Queue("q");
        Refused(_rig.Declare("q", durable, autoDelete: autoDelete), AmqpCode.PreconditionFailed,
            $"inequivalent arg '{arg}' for queue 'q' in vhost '/': received '{received}' but current is '{current}'");
    }

    [Fact]
    public void Queue_declared_with_other_arguments_is_refused()
    {
        _rig.Queue("q").Queue("limited", arguments: Args("x-max-length", 10));
        Refused(_rig.Declare("q", arguments: Args("x-max-length", 10)), AmqpCode.PreconditionFailed,
            "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value '10' of type 'signedint' but current is none");
        Refused(_rig.Declare("limited", arguments: Args("x-max-length", 11L)), AmqpCode.PreconditionFailed,
            "inequivalent arg 'x-max-length' for queue 'limited' in vhost '/': received the value '11' of type 'long' but current is the "
                + "value '10' of type 'signedint'");
        Refused(_rig.Declare("limited"), AmqpCode.PreconditionFailed,
            "inequivalent arg 'x-max-length' for queue 'limited' in vhost '/': received none but current is the value '10' of type "
                + "'signedint'");
        Refused(_rig.Declare("q", arguments: Args("x-queue-type", "quorum")), AmqpCode.PreconditionFailed,
            "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is "
                + "none");
        // The same: another integer type, an argument that the type does not know, and the type that is the default.
        Assert.True(_rig.Declare("limited", arguments: Args("x-max-length", 10L)).IsAccepted);
        Assert.True(_rig.Declare("q", arguments: Args("x-mine", 10L)).IsAccepted);
        Assert.True(_rig.Declare("q", arguments: Args("x-queue-type", "classic")).IsAccepted);
    }

    [Theory]
    [InlineData("x-expires", 0, "{value_zero,0}")]
    [InlineData("x-expires", -1, "{value_negative,-1}")]
    [InlineData("x-expires", 315_360_000_001L, "{value_too_large,315360000001}")]
    [InlineData("x-expires", "5", "\"expected integer, got longstr\"")]
    [InlineData("x-message-ttl", -1, "{value_negative,-1}")]
    [InlineData("x-max-priority", 256, "{max_value_exceeded,256}")]
    [InlineData("x-max-length", -1, "{value_negative,-1}")]
    [InlineData("x-overflow", "drop", "invalid_overflow")]
    [InlineData("x-overflow", 5, "{unacceptable_type,signedint}")]
    [InlineData("x-single-active-consumer", "true", "{unacceptable_type,longstr}")]
    [InlineData("x-dead-letter-exchange", 5, "{unacceptable_type,signedint}")]
    [InlineData("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined")]
    [InlineData("x-queue-type", "x", "\"unsupported queue type 'x'\"")]
    public void Invalid_argument_is_refused(string name, object value, string fault) =>
        Refused(_rig.Declare("q", arguments: Args(name, value)), AmqpCode.PreconditionFailed,
            $"invalid arg '{name}' for queue 'q' in vhost '/': {fault}");

    [Fact]
    public void Routing_key_of_dead_letters_that_no_delivery_can_carry_is_refused()
    {
        var exchange = Args("x-dead-letter-exchange", "");
        // Bytes count, of which this letter has two.
        Refused(_rig.Declare("q", arguments: exchange.With("x-dead-letter-routing-key", new TextValue(new string('é', 128)))),
            AmqpCode.PreconditionFailed, "invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': "
            + "\"the routing key has 256 bytes, at most 255 are allowed\"");
        var longest = exchange.With("x-dead-letter-routing-key", new TextValue(new string('k', 255)));
        Assert.True(_rig.Declare("q", arguments: longest).IsAccepted);
    }

    [Theory]
    [InlineData("x-dead-letter-strategy", "maybe", "quorum", "invalid_dlx_strategy")]
    [InlineData("x-max-age", "7", "stream", "invalid_max_age")]
    [InlineData("x-max-age", "7X", "stream", "invalid_max_age")]
    [InlineData("x-max-age", "999999999Y", "stream", "invalid_max_age")]
    public void Invalid_argument_of_a_type_is_refused(string name, string value, string type, string fault) =>
        Refused(_rig.Declare("q", arguments: Args(name, value).With("x-queue-type", new TextValue(type))), AmqpCode.PreconditionFailed,
            $"invalid arg '{name}' for queue 'q' in vhost '/': {fault}");

    [Theory]
    [InlineData("x-max-priority", 5, "quorum")]
    [InlineData("x-delivery-limit", 5, "classic")]
    [InlineData("x-message-ttl", 5, "stream")]
    [InlineData("x-max-age", "7D", "quorum")]
    public void Argument_of_another_type_is_refused(string name, object value, string type) =>
        Refused(_rig.Declare("q", arguments: Args(name, value).With("x-queue-type", new TextValue(type))), AmqpCode.PreconditionFailed,
            $"invalid arg '{name}' for queue 'q' in vhost '/' of queue type rabbit_{type}_queue");

    [Theory]
    [InlineData("quorum", false, false, false, "non-durable")]
    [InlineData("quorum", true, true, false, "exclusive-owner")]
    [InlineData("stream", true, false, true, "auto-delete")]
    public void Quorum_queue_and_stream_are_durable_and_shared(string type, bool durable, bool exclusive, bool autoDelete, string fault) =>
        Refused(_rig.Declare("q", durable, exclusive, autoDelete, Args("x-queue-type", type)), AmqpCode.PreconditionFailed,
            $"invalid property '{fault}' for queue 'q' in vhost '/'");

    [Fact]
    public void Queue_without_a_name_gets_one()
    {
        Assert.Equal("amq.gen-JzTY20BRgKO-HjmUJj0wLg", _rig.Do(_rig.Declare("", durable: false)).Queue!.Name);
        Assert.True(_rig.Declare("amq.gen-JzTY20BRgKO-HjmUJj0wLg", durable: false).IsAccepted);
        Refused(_rig.Declare("amq.q"), AmqpCode.AccessRefused, "queue name 'amq.q' contains reserved prefix 'amq.*'");
        Refused(_rig.Declare("", arguments: Args("x-queue-type", "quorum")), AmqpCode.PreconditionFailed,
            "Cannot declare a server-named queue for type rabbit_quorum_queue");
    }

    [Fact]
    public void Default_type_of_the_host_is_for_durable_shared_queues()
    {
        Assert.Equal(QueueType.Quorum, _rig.Do(_rig.Declare("d", defaultType: QueueType.Quorum)).Queue!.Type);
        Assert.Equal(QueueType.Classic, _rig.Declare("t", durable: false, defaultType: QueueType.Quorum).Queue!.Type);
        Assert.Equal(QueueType.Classic, _rig.Declare("e", exclusive: true, defaultType: QueueType.Quorum).Queue!.Type);
        Assert.True(_rig.Declare("d", defaultType: QueueType.Quorum).IsAccepted);
        Assert.True(_rig.Declare("d", arguments: Args("x-queue-type", "quorum")).IsAccepted);
    }

    [Fact]
    public void Conditions_of_a_delete_are_checked()
    {
        _rig.Queue("q").Queue("quorum", arguments: Args("x-queue-type", "quorum")).Exchange("x").Bind("x", "q", "k");
        _rig.Do(Topology.AddConsumer(Consumer("q", "1"), isSingleActive: false));
        Refused(Topology.DeleteQueue("q", null, ifUnused: true), AmqpCode.PreconditionFailed, "queue 'q' in vhost '/' in use");
        _rig.Do(Topology.RemoveConsumer("q", Topology.FindQueue("q")!.Id, "1"));
        Refused(Topology.DeleteQueue("q", null, ifEmpty: true, facts: new QueueFacts(1)), AmqpCode.PreconditionFailed,
            "queue 'q' in vhost '/' not empty");
        Refused(Topology.DeleteExchange("x", ifUnused: true), AmqpCode.PreconditionFailed, "exchange 'x' in vhost '/' in use");
        var refused = Topology.DeleteQueue("quorum", null, ifUnused: true).Refusal!;
        Assert.Equal(AmqpCode.NotImplemented, refused.Code);
        Assert.True(refused.ClosesConnection);
        Assert.False(Topology.DeleteQueue("q", null, true, true, new QueueFacts(0)).Edits.IsEmpty);
    }

    [Fact]
    public void Exchange_ends_with_its_last_binding_after_it_had_one()
    {
        _rig.Queue("q").Exchange("x", autoDelete: true).Exchange("y", "fanout", autoDelete: true);
        _rig.Do(Topology.Unbind(new BindingRequest("x", DestinationKind.Queue, "q", "k"), null));
        Assert.NotNull(Topology.FindExchange("x"));
        _rig.BindExchange("y", "x").Bind("x", "q", "k").Bind("x", "q", "l");
        _rig.Do(Topology.Unbind(new BindingRequest("x", DestinationKind.Queue, "q", "k"), null));
        Assert.NotNull(Topology.FindExchange("x"));
        // The queue takes the last binding, that takes x, and that takes y.
        _rig.Do(Topology.DeleteQueue("q", null));
        Assert.Empty(Topology.Exchanges);
        Assert.Empty(Topology.Bindings);
    }

    [Fact]
    public void Auto_delete_queue_ends_with_its_last_consumer_on_any_connection()
    {
        _rig.Queue("q", durable: false, autoDelete: true).Queue("stays");
        var id = Topology.FindQueue("q")!.Id;
        foreach (var (consumer, connection) in new[] { ("1", "c1"), ("2", "c2"), ("3", "c2") })
            _rig.Do(Topology.AddConsumer(Consumer("q", consumer, connection), isSingleActive: false));
        _rig.Do(Topology.AddConsumer(Consumer("stays", "4", "c2"), isSingleActive: false));
        Assert.Empty(Topology.AddConsumer(Consumer("q", "1", "c1"), isSingleActive: false).Edits);
        Assert.Equal(["1", "2", "3"], Topology.ConsumersOf(Topology.FindQueue("q")!).Keys);
        Assert.Empty(Topology.RemoveConsumer("q", id, "none").Edits);
        Assert.Empty(Topology.RemoveConsumer("q", id + 1, "1").Edits);

        _rig.Do(Topology.RemoveConsumer("q", id, "1"));
        Assert.False(Topology.HasConsumers("c1"));
        var before = Topology;
        var ended = _rig.Do(Topology.EndConnection("c2"));
        Assert.Equal(["q"], ended.Edits.OfType<RemoveQueue>().Select(static edit => edit.Queue.Name));
        Assert.NotNull(Topology.FindQueue("stays"));
        Assert.Empty(Topology.Consumers);
        Assert.Equal(ended.Edits.Select(static edit => edit.ToString()).Order(StringComparer.Ordinal),
            Topology.EditsSince(before).Select(static edit => edit.ToString()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Exclusive_consumer_is_the_only_one()
    {
        _rig.Queue("q").Queue("mine", durable: false, exclusive: true);
        const string InUse = "queue 'q' in vhost '/' in exclusive use";
        Refused(Topology.AddConsumer(Consumer("q", "1") with { Exclusive = true }, isSingleActive: true), AmqpCode.AccessRefused, InUse);
        _rig.Do(Topology.AddConsumer(Consumer("q", "1") with { Exclusive = true }, isSingleActive: false));
        Refused(Topology.AddConsumer(Consumer("q", "2"), isSingleActive: false), AmqpCode.AccessRefused, InUse);
        _rig.Do(Topology.RemoveConsumer("q", Topology.FindQueue("q")!.Id, "1"));
        _rig.Do(Topology.AddConsumer(Consumer("q", "2"), isSingleActive: false));
        Refused(Topology.AddConsumer(Consumer("q", "3") with { Exclusive = true }, isSingleActive: false), AmqpCode.AccessRefused, InUse);
        Assert.Equal(AmqpCode.ResourceLocked,
            Topology.AddConsumer(Consumer("mine", "4", "other"), isSingleActive: false).Refusal!.Code);
        Assert.Equal(AmqpCode.NotFound,
            Topology.AddConsumer(Consumer("q", "5") with { QueueId = 7 }, isSingleActive: false).Refusal!.Code);
    }

    private QueueConsumer Consumer(string queue, string id, string connection = HostRig.Connection) => new()
    {
        Queue = queue,
        QueueId = Topology.FindQueue(queue)!.Id,
        Id = id,
        Connection = connection,
    };

    [Fact]
    public void Queue_ends_by_its_own_rule_once()
    {
        _rig.Queue("q", durable: false, autoDelete: true);
        var queue = Topology.FindQueue("q")!;
        _rig.Do(Topology.EndQueue("q", queue.Id));
        _rig.Queue("q");
        Assert.Empty(Topology.EndQueue("q", queue.Id).Edits);
    }

    [Fact]
    public void Binding_belongs_to_the_exchange_and_queue_that_it_was_made_for()
    {
        _rig.Queue("q").Exchange("x").Bind("x", "q", "k", Args("a", 1));
        Assert.Empty(_rig.Do(Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "q", "k", Args("a", 1)), null)).Edits);
        _rig.Bind("x", "q", "k", Args("a", 2));
        Assert.Equal(2, Topology.BindingsFrom("x").Count);
        Assert.Equal(2, Topology.BindingsTo(DestinationKind.Queue, "q").Count);
        // Deleted and declared again before the shards of the bindings were written.
        _rig.Do(Topology.DeleteExchange("x"));
        _rig.Exchange("x");
        var (loaded, repairs) = _rig.Load();
        Assert.Empty(loaded.Bindings);
        Assert.NotEmpty(repairs);
        _rig.WriteLater();
        Assert.Empty(_rig.Load().Repairs);
    }

    [Theory]
    [InlineData("headers", "x-match", "some", "Invalid x-match field value \"some\"; expected all, any, all-with-x, or any-with-x")]
    [InlineData("x-consistent-hash", "a", "b", "The binding key must be an integer: key")]
    public void Binding_that_its_exchange_cannot_route_by_is_refused(string type, string name, string value, string text)
    {
        _rig.Exchange("x", type).Queue("q");
        Refused(Topology.Bind(new BindingRequest("x", DestinationKind.Queue, "q", "key", Args(name, value)), null),
            AmqpCode.PreconditionFailed, text);
    }

    [Fact]
    public void Reply_text_is_a_short_string()
    {
        Assert.Equal("NOT_FOUND - no queue 'q' in vhost '/'", AmqpRefusal.NotFound("queue 'q' in vhost '/'").ReplyText);
        var text = AmqpRefusal.NotFound(new string('a', 242 - "no ".Length) + "\U0001F600\U0001F600").ReplyText;
        Assert.True(System.Text.Encoding.UTF8.GetByteCount(text) is > 250 and <= 255);
        Assert.DoesNotContain('\uFFFD', text);
        Assert.EndsWith("a", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Chain_of_exchanges_of_any_length_ends_with_its_queue()
    {
        const int Count = 30_000;
        var topology = Topology.Apply(new PutQueue(new QueueState { Name = "q", Id = 1 }));
        var (name, id, kind) = ("q", 1L, DestinationKind.Queue);
        for (var index = 2; index < Count + 2; index++)
        {
            var exchange = new ExchangeState { Name = $"x{index}", Id = index, Type = "fanout", AutoDelete = true, WasBound = true };
            topology = topology.Apply(new PutExchange(exchange)).Apply(new AddBinding(new BindingState
            {
                Source = exchange.Name,
                SourceId = index,
                Destination = name,
                DestinationId = id,
                Kind = kind,
            }));
            (name, id, kind) = (exchange.Name, index, DestinationKind.Exchange);
        }
        var decision = topology.DeleteQueue("q", null);
        Assert.True(decision.IsAccepted);
        Assert.Equal((2 * Count) + 1, decision.Edits.Length);
        Assert.Empty(decision.Next.Exchanges);
        Assert.Empty(decision.Next.Bindings);
        // A new owner that finds no queue at the chain's end has the same to do.
        var orphan = topology.Apply(new RemoveBinding(topology.BindingsTo(DestinationKind.Queue, "q").Single(), IsDead: true));
        Assert.Empty(orphan.EndUnboundExchanges().Next.Exchanges);
    }

    [Fact]
    public void Names_and_routing_keys_have_the_bytes_of_a_short_string()
    {
        var (longest, tooLong) = (new string('\u00e9', 127) + "x", new string('\u00e9', 128));
        _rig.Exchange(longest, "topic").Queue(longest).Bind(longest, longest, longest);
        Refused(Topology.DeclareExchange(new ExchangeDeclaration { Name = tooLong }, 7), AmqpCode.PreconditionFailed,
            "the name of an exchange has 256 bytes, at most 255 are allowed");
        Refused(_rig.Declare(tooLong), AmqpCode.PreconditionFailed, "the name of a queue has 256 bytes, at most 255 are allowed");
        Refused(Topology.Bind(new BindingRequest("amq.topic", DestinationKind.Queue, longest, new string('.', 256)), null),
            AmqpCode.PreconditionFailed, "the routing key of a binding has 256 bytes, at most 255 are allowed");
    }
}
