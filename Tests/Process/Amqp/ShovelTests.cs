using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Process.Amqp;

/// <summary><c>omq amqp import-definitions</c> and <c>omq amqp shovel</c> between two brokers.</summary>
public sealed class ShovelTests : IAsyncLifetime, IDisposable
{
    private static readonly CreateChannelOptions Confirmed = new(publisherConfirmationsEnabled: true,
        publisherConfirmationTrackingEnabled: true);
    private static readonly Dictionary<string, object?> Quorum = new() { ["x-queue-type"] = "quorum" };

    private const int Stop = 19;

    private readonly TemporaryDirectory _directory = new();
    private RunningBroker _old = null!, _new = null!;

    public async Task InitializeAsync()
    {
        var started = await Task.WhenAll(UpAsync("old"), UpAsync("new"));
        (_old, _new) = (started[0], started[1]);
    }

    public async Task DisposeAsync()
    {
        await _old.DisposeAsync();
        await _new.DisposeAsync();
    }

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Definitions_and_messages_move_with_their_properties_and_in_their_order()
    {
        await using (var connection = await ConnectAsync(_old))
        {
            await using var channel = await connection.CreateChannelAsync(Confirmed);
            foreach (var queue in (string[])["orders", "copies", "none"])
                await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, Quorum);
            await channel.ExchangeDeclareAsync("events", "topic", durable: true);
            await channel.QueueBindAsync("orders", "events", "order.*");
            for (var i = 0; i < 1_000; i++)
                await channel.BasicPublishAsync("events", "order.new", mandatory: true, Properties(i), Body(i));
            // One copy is in each queue already.
            var copied = Properties(1_000);
            copied.Headers!["CC"] = new List<object?> { "copies" };
            await channel.BasicPublishAsync("", "orders", mandatory: true, copied, Body(1_000));
        }
        var management = Management(_old);
        Assert.Equal("Imported.\n", (await OmqAsync("import-definitions", "--from", management)).Expect(0).Text);

        var moved = (await OmqAsync("shovel", "--all", "--from-management", management)).Expect(0);

        Assert.Equal(["copies: 1 message moved", "none: 0 messages moved", "orders: 1,001 messages moved"],
            moved.Lines.Select(static line => line.Split(" (")[0]).Order());
        await using var target = await ConnectAsync(_new);
        await using var reader = await target.CreateChannelAsync();
        for (var i = 0; i <= 1_000; i++)
        {
            var message = await reader.BasicGetAsync("orders", autoAck: true);
            Assert.NotNull(message);
            Assert.Equal(Body(i), message.Body.ToArray());
            Assert.Equal($"{i}", message.BasicProperties.MessageId);
            Assert.Equal(i, message.BasicProperties.Headers!["number"]);
            Assert.True(message.BasicProperties.Persistent);
        }
        Assert.Equal(0u, await reader.MessageCountAsync("orders"));
        Assert.Equal(1u, await reader.MessageCountAsync("copies"));
        await using var source = await ConnectAsync(_old);
        await using var counter = await source.CreateChannelAsync();
        Assert.Equal(0u, await counter.MessageCountAsync("orders") + await counter.MessageCountAsync("copies"));
        // The exchange came with its binding.
        await using var publisher = await target.CreateChannelAsync(Confirmed);
        await publisher.BasicPublishAsync("events", "order.late", mandatory: true, Properties(0), Body(0));
        Assert.Equal(1u, await reader.MessageCountAsync("orders"));
    }

    [Fact]
    public async Task Message_that_the_target_cannot_route_stays_at_the_source()
    {
        await using var connection = await ConnectAsync(_old);
        await using var channel = await connection.CreateChannelAsync(Confirmed);
        await channel.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, Quorum);
        for (var i = 0; i < 10; i++)
            await channel.BasicPublishAsync("", "orders", mandatory: true, Properties(i), Body(i));

        Assert.Contains("import-definitions", (await OmqAsync("shovel", "--queue", "orders")).Expect(1).Error, StringComparison.Ordinal);
        Assert.Contains("'none'", (await OmqAsync("shovel", "--queue", "none")).Expect(1).Error, StringComparison.Ordinal);
        Assert.Contains("user or password", (await OmqAsync("shovel", "--queue", "orders", "--to",
            Amqp(_new).Replace("guest:guest", "guest:wrong", StringComparison.Ordinal))).Expect(1).Error, StringComparison.Ordinal);
        (await OmqAsync("shovel", "--queue", "orders", "--to", "amqp://127.0.0.1:1")).Expect(3);

        Assert.Equal(10u, await channel.MessageCountAsync("orders"));
    }

    [Fact]
    public async Task Target_that_is_killed_in_the_middle_loses_nothing()
    {
        // What is on its way fills the connection: the shovel waits to write when the target is killed.
        const int Count = 700, Bytes = 64 << 10;
        await using (var connection = await ConnectAsync(_new))
        {
            await using var channel = await connection.CreateChannelAsync();
            await channel.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, Quorum);
        }
        await using var publishing = await ConnectAsync(_old);
        await using var publisher = await publishing.CreateChannelAsync(Confirmed);
        await publisher.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, Quorum);
        await PublishAsync(publisher, 0, 1, Bytes);
        await using var shovel = new RunningProgram(Repository.Launcher, Arguments("shovel", "--queue", "orders", "--follow"));
        await UntilAsync(_new, static count => count > 0, shovel);

        var endpoint = IPEndPoint.Parse(_new.Field("amqp"));
        _new.Program.Signal(Stop);
        await PublishAsync(publisher, 1, Count - 1, Bytes);
        await _new.KillAsync();
        _new = await UpAsync("new", endpoint.Port);
        await UntilAsync(_new, static count => count >= Count, shovel);
        shovel.Signal(2);
        var outcome = (await shovel.ExitAsync()).Expect(0);

        Assert.Contains("reconnects", outcome.Text, StringComparison.Ordinal);
        Assert.Equal(0u, await publisher.MessageCountAsync("orders"));
        await using var target = await ConnectAsync(_new);
        await using var reader = await target.CreateChannelAsync();
        var bodies = new HashSet<string>();
        while (await reader.BasicGetAsync("orders", autoAck: true) is { } message)
            bodies.Add(Encoding.UTF8.GetString(message.Body.Span).TrimEnd('\0'));
        Assert.Equal(Enumerable.Range(0, Count).Select(static i => $"order {i}").ToHashSet(), bodies);
    }

    [Fact]
    public async Task Messages_that_the_target_refuses_for_now_do_not_fail_at_the_source()
    {
        await using var source = await ConnectAsync(_old);
        await using var publisher = await source.CreateChannelAsync(Confirmed);
        // A message that is given back a second time is gone.
        await publisher.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false,
            new Dictionary<string, object?> { ["x-queue-type"] = "quorum", ["x-delivery-limit"] = 1 });
        await PublishAsync(publisher, 0, 20);
        await using var target = await ConnectAsync(_new);
        await using var full = await target.CreateChannelAsync(Confirmed);
        await full.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false,
            new Dictionary<string, object?> { ["x-max-length"] = 1, ["x-overflow"] = "reject-publish" });
        await using var shovel = new RunningProgram(Repository.Launcher, Arguments("shovel", "--queue", "orders", "--prefetch", "5"));

        // The target takes again when its message is consumed.
        var bodies = new List<string>();
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (bodies.Count < 20)
        {
            await Task.Delay(200, deadline.Token);
            while (await full.BasicGetAsync("orders", autoAck: true) is { } message)
                bodies.Add(Encoding.UTF8.GetString(message.Body.Span));
        }
        // It ends by itself when the target has confirmed the last message.
        var outcome = (await shovel.ExitAsync()).Expect(0);

        Assert.Contains("20 messages moved", outcome.Text, StringComparison.Ordinal);
        // Each once, over one connection.
        Assert.Equal(Enumerable.Range(0, 20).Select(static i => $"order {i}").Order(), bodies.Order());
        Assert.DoesNotContain("reconnects", outcome.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Interrupted_shovel_leaves_at_the_source_what_the_target_refuses_and_nothing_else()
    {
        await using var source = await ConnectAsync(_old);
        await using var publisher = await source.CreateChannelAsync(Confirmed);
        await publisher.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, Quorum);
        await publisher.ExchangeDeclareAsync("keys", "fanout", durable: true);
        await publisher.QueueBindAsync("orders", "keys", "");
        await using var target = await ConnectAsync(_new);
        await using var channel = await target.CreateChannelAsync(Confirmed);
        await channel.ExchangeDeclareAsync("keys", "direct", durable: true);
        await channel.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, Quorum);
        await channel.QueueBindAsync("orders", "keys", "open");
        await channel.QueueDeclareAsync("full", durable: true, exclusive: false, autoDelete: false,
            new Dictionary<string, object?> { ["x-max-length"] = 1, ["x-overflow"] = "reject-publish" });
        await channel.QueueBindAsync("full", "keys", "full");
        await channel.BasicPublishAsync("", "full", mandatory: true, Properties(99), Body(99));
        for (var i = 0; i < 10; i++)
            await publisher.BasicPublishAsync("keys", i is 0 or 5 ? "full" : "open", mandatory: true, Properties(i), Body(i));

        await using var shovel = new RunningProgram(Repository.Launcher, Arguments("shovel", "--queue", "orders", "--to-exchange", "keys"));
        await UntilAsync(_new, static count => count == 8, shovel);
        shovel.Signal(2);
        var outcome = (await shovel.ExitAsync()).Expect(1);

        Assert.Contains("8 messages moved", outcome.Text, StringComparison.Ordinal);
        foreach (var refused in (int[])[0, 5])
            Assert.Equal(Body(refused), (await publisher.BasicGetAsync("orders", autoAck: true))?.Body.ToArray());
        Assert.Null(await publisher.BasicGetAsync("orders", autoAck: true));
    }

    private Task<RunningBroker> UpAsync(string name, int port = 0) => RunningBroker.UpAsync(_directory[name], 0, "--kafka", "off",
        "--amqp", $"127.0.0.1:{(port == 0 ? FreePort.Choose() : port)}", "--amqp-management", "127.0.0.1:0");

    private Task<Outcome> OmqAsync(string command, params string[] more) => RunningProgram.OmqAsync(Arguments(command, more));

    private string[] Arguments(string command, params string[] more)
    {
        string[] all = ["amqp", command, .. more];
        if (command == "shovel")
            all = [.. all, "--from", Amqp(_old)];
        return all.Contains("--to") ? all : [.. all, "--to", command == "shovel" ? Amqp(_new) : Management(_new)];
    }

    private static string Amqp(RunningBroker broker) => $"amqp://guest:guest@{broker.Field("amqp")}";

    private static string Management(RunningBroker broker) =>
        broker.Field("amqp-management").Replace("http://", "http://guest:guest@", StringComparison.Ordinal);

    private static Task<IConnection> ConnectAsync(RunningBroker broker) =>
        new ConnectionFactory { Uri = new Uri(Amqp(broker)), AutomaticRecoveryEnabled = false }.CreateConnectionAsync();

    private static BasicProperties Properties(int number) => new()
    {
        Persistent = true,
        MessageId = number.ToString(CultureInfo.InvariantCulture),
        Headers = new Dictionary<string, object?> { ["number"] = number },
    };

    private static byte[] Body(int number, int bytes = 0) => Encoding.UTF8.GetBytes($"order {number}".PadRight(bytes, '\0'));

    private static async Task PublishAsync(IChannel channel, int first, int count, int bytes = 0)
    {
        for (var i = first; i < first + count; i++)
            await channel.BasicPublishAsync("", "orders", mandatory: true, Properties(i), Body(i, bytes));
    }

    private static async Task UntilAsync(RunningBroker broker, Func<uint, bool> wanted, RunningProgram shovel)
    {
        await using var connection = await ConnectAsync(broker);
        await using var channel = await connection.CreateChannelAsync();
        var deadline = Stopwatch.StartNew();
        while (await channel.MessageCountAsync("orders") is var count && !wanted(count))
        {
            Assert.False(shovel.HasExited || deadline.Elapsed > RunningProgram.Patience,
                $"The target has {count} messages. The shovel said: {string.Join('\n', shovel.Lines)}");
            await Task.Delay(50);
        }
    }
}
