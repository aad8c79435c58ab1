using System.Net;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Management;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Connections;
using OrleansMq.Tests.Amqp.Wire;
using static OrleansMq.Tests.Amqp.Access.AccessRights;

namespace OrleansMq.Tests.Amqp.Access;

/// <summary>Which permissions each method of AMQP needs: all of them together, and no other one.</summary>
public sealed class MethodAccessTests(AccessServer server) : IClassFixture<AccessServer>
{
    private const string Topic = "amq.topic/orders";

    private static readonly Row[] Rows =
    [
        new("exchange.declare", [ConfigureExchange], Exchange("x.new")),
        new("exchange.declare with an alternate exchange", [ConfigureExchange, WriteExchange, ReadExchange],
            Exchange("x.alternate") with { Arguments = FieldTable.Of(("alternate-exchange", FieldValue.Of("x"))) }),
        new("exchange.declare passively", [], Exchange("x") with { Passive = true }),
        new("exchange.delete", [ConfigureExchange], new ExchangeDelete("x.old", false, false)),
        new("exchange.bind", [WriteExchange, ReadExchange, ReadTopic], new ExchangeBind("x2", "x", "k2", false, default)),
        new("exchange.unbind", [WriteExchange, ReadExchange, ReadTopic], new ExchangeUnbind("x2", "x", "k", false, default)),
        new("queue.declare", [ConfigureQueue], Queue("q.new")),
        new("queue.declare with a dead-letter exchange", [ConfigureQueue, ReadQueue, WriteExchange],
            Queue("q.dead") with { Arguments = FieldTable.Of(("x-dead-letter-exchange", FieldValue.Of("x"))) }),
        new("queue.declare passively", [], Queue("q") with { Passive = true }),
        new("queue.declare of a topic", [ReadQueue], Queue(Topic) with { Passive = true }),
        new("queue.bind", [WriteQueue, ReadExchange, ReadTopic], new QueueBind("q", "x", "k2", false, default)),
        new("queue.unbind", [WriteQueue, ReadExchange, ReadTopic], new QueueUnbind("q", "x", "k", default)),
        new("queue.purge", [ReadQueue], new QueuePurge("q", false)),
        new("queue.delete", [ConfigureQueue], new QueueDelete("q.old", false, false, false)),
        new("basic.consume", [ReadQueue], Consume("q")),
        new("basic.consume of answers", [], Consume(DirectReplies.Name) with { NoAck = true }),
        new("basic.get", [ReadQueue], new BasicGet("q", NoAck: true)),
        new("basic.publish", [WriteExchange, WriteTopic], Publish("x", "k")),
        new("basic.publish in a transaction", [WriteExchange, WriteTopic], default(TxSelect), Publish("x", "k")),
        new("basic.publish to the default exchange", [WriteExchange], Publish("", "q")),
        new("basic.publish to a topic", [WriteQueue, WriteExchange], Publish("", Topic)),
        // What follows is about the channel itself, or about what it has received.
        new("basic.qos", [], new BasicQos(0, 1, false)),
        new("basic.cancel", [], new BasicCancel("none", false)),
        new("basic.ack", [], new BasicAck(0, Multiple: true)),
        new("basic.nack", [], new BasicNack(0, Multiple: true, Requeue: true)),
        new("basic.reject", [], new BasicReject(1, Requeue: true)) { Fault = ReplyCode.PreconditionFailed },
        new("basic.recover", [], new BasicRecover(Requeue: true)),
        new("basic.recover-async", [], new BasicRecoverAsync(Requeue: true)),
        new("confirm.select", [], new ConfirmSelect(false)),
        new("tx.select", [], default(TxSelect)),
        new("tx.commit", [], default(TxSelect), default(TxCommit)),
        new("tx.rollback", [], default(TxSelect), default(TxRollback)),
        // As in RabbitMQ.
        new("channel.flow", [], new ChannelFlow(true)) { Fault = ReplyCode.NotImplemented },
        new("access.request", [], new AccessRequest("/data", false, false, true, true, true)) { Fault = ReplyCode.NotImplemented },
    ];

    // The handshake and the ends: a login, and for connection.open permissions in the virtual host.
    private static readonly string[] OfConnections =
    [
        "connection.start-ok", "connection.secure-ok", "connection.tune-ok", "connection.open", "connection.close",
        "connection.close-ok", "connection.update-secret", "channel.open", "channel.close", "channel.close-ok",
    ];

    private static readonly string[] OfServers =
    [
        "connection.start", "connection.secure", "connection.tune", "connection.open-ok", "connection.blocked", "connection.unblocked",
        "connection.update-secret-ok", "channel.open-ok", "channel.flow-ok", "access.request-ok", "exchange.declare-ok",
        "exchange.delete-ok", "exchange.bind-ok", "exchange.unbind-ok", "queue.declare-ok", "queue.bind-ok", "queue.unbind-ok",
        "queue.purge-ok", "queue.delete-ok", "basic.qos-ok", "basic.consume-ok", "basic.cancel-ok", "basic.return", "basic.deliver",
        "basic.get-ok", "basic.get-empty", "basic.recover-ok", "confirm.select-ok", "tx.select-ok", "tx.commit-ok", "tx.rollback-ok",
    ];

    public static TheoryData<string> Names => [.. Rows.Select(static row => row.Name)];

    public static TheoryData<string> Answers => [.. OfServers];

    public static TheoryData<string> Commands =>
        [.. Rows.Select(static row => row.Method).Distinct(), "channel.open", "channel.close", "channel.close-ok"];

    [Fact]
    public void Every_method_is_in_the_table() => Assert.Equal(
        MethodTable.All.Select(static id => id.ToString()).Order(StringComparer.Ordinal),
        Rows.Select(static row => row.Method).Distinct().Concat(OfConnections).Concat(OfServers).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Each_permission_opens_its_own_methods_alone(string name)
    {
        var row = Rows.Single(row => row.Name == name);
        Assert.Equal(row.Fault, (await AskAsync(row, EveryRight))?.Code);
        Assert.Equal(row.Needs.Length == 0 ? row.Fault : ReplyCode.AccessRefused, (await AskAsync(row, NoRight))?.Code);
        var (opened, closed) = (new List<string>(), new List<string>());
        foreach (var right in All)
        {
            if ((await AskAsync(row, Only(right)))?.Code == row.Fault)
                opened.Add(right);
            if (await AskAsync(row, AllBut(right)) is not { } fault || fault.Code == row.Fault)
                continue;
            Assert.Equal(ReplyCode.AccessRefused, fault.Code);
            Assert.Contains(RefusalOf(right), fault.Message, StringComparison.Ordinal);
            closed.Add(right);
        }
        Assert.Equal(row.Needs, closed);
        Assert.Equal(row.Needs.Length switch { 0 => All, 1 => row.Needs, _ => [] }, opened);
    }

    [Fact]
    public async Task Connection_opens_for_a_user_with_its_password_and_permissions_in_the_virtual_host()
    {
        Assert.Equal(LoginOutcome.Accepted, await LogInAsync(NoRight, Password));
        Assert.Equal(LoginOutcome.Refused, await LogInAsync(NoRight, "wrong"));
        Assert.Equal(LoginOutcome.Refused, await LogInAsync("nobody", Password));
        var refused = await Assert.ThrowsAsync<AmqpException>(() => server.OpenAsync(Stranger("management")));
        Assert.Equal(ReplyCode.NotAllowed, refused.Code);
        await using var opened = await server.OpenAsync(NoRight);
        Assert.Equal(NoRight, opened.Client.User);

        async Task<LoginOutcome> LogInAsync(string user, string password) => (await server.Server.Amqp.LoginAsync(
            new AmqpLogin("PLAIN", user, password), new AmqpClient(new IPEndPoint(IPAddress.Loopback, 1)))).Outcome;
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void Method_of_a_channel_before_the_virtual_host_is_open_reaches_no_channel(string name)
    {
        foreach (var machine in new[] { Started(), LoggedIn(), LoggedIn().Method(0, new ConnectionTuneOk(2047, 131072, 0)) })
        {
            machine.Said();
            machine.Method(1, MethodOf(name));
            var said = machine.Said();
            Assert.DoesNotContain($"> {ActionKind.OpenChannel}", said, StringComparison.Ordinal);
            Assert.DoesNotContain($"> {ActionKind.Handle}", said, StringComparison.Ordinal);
            Assert.False(machine.Machine.IsRunning);
        }

        static MachineUnderTest Started() => new MachineUnderTest().Header();

        static MachineUnderTest LoggedIn()
        {
            var machine = Started().Method(0, MachineUnderTest.StartOk());
            machine.LogIn(new LoginResult(LoginOutcome.Accepted));
            return machine;
        }
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public void Method_that_only_servers_send_closes_the_connection(string name)
    {
        var machine = MachineUnderTest.Running();
        machine.Open(1);
        machine.Method((ushort)(name.StartsWith("connection.", StringComparison.Ordinal) ? 0 : 1), MethodOf(name));
        var said = machine.Said();
        Assert.StartsWith("0 connection.close", said, StringComparison.Ordinal);
        Assert.DoesNotContain($"> {ActionKind.Handle}", said, StringComparison.Ordinal);
    }

    // The outcome of the last command; null: it is done.
    private async Task<AmqpException?> AskAsync(Row row, string user)
    {
        await server.PrepareAsync();
        await using var channel = await server.OpenAsync(user);
        foreach (var command in row.Commands[..^1])
            await HandleAsync(channel, command);
        try
        {
            await HandleAsync(channel, row.Commands[^1]);
            return null;
        }
        catch (AmqpException fault)
        {
            return fault;
        }
    }

    private static async Task HandleAsync(OperatorChannel channel, IMethod command)
    {
        using var content = command is BasicPublish ? new AmqpContent(ContentProperties.None.Bytes.Span, 0) : null;
        await channel.HandleAsync(command, content);
    }

    private static IMethod MethodOf(string name) =>
        RandomMethods.Method(MethodTable.All.Single(id => id.ToString() == name), new Random(1));

    private static ExchangeDeclare Exchange(string name) => new(name, "topic", false, false, false, false, false, default);

    private static QueueDeclare Queue(string name) => new(name, false, false, false, false, false, default);

    private static BasicConsume Consume(string queue) => new(queue, "", false, false, false, false, default);

    private static BasicPublish Publish(string exchange, string key) => new(exchange, key, Mandatory: false, Immediate: false);

    /// <summary>A method, or a case of it that needs other permissions.</summary>
    private sealed class Row(string name, string[] needs, params IMethod[] commands)
    {
        public string Name => name;

        /// <summary>The method's name.</summary>
        public string Method => name.Split(' ')[0];

        /// <summary>The permissions that it needs, in the order of <see cref="All"/>.</summary>
        public string[] Needs => needs;

        /// <summary>The method, and what a channel does before it.</summary>
        public IMethod[] Commands => commands;

        /// <summary>How it fails for a user that may; null: it does not.</summary>
        public ReplyCode? Fault { get; init; }
    }
}
