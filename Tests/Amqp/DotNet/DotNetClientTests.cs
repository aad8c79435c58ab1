using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Tests.Amqp.Broker;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>What .NET teams do with RabbitMQ's client, over a standalone broker.</summary>
public sealed class DotNetClientTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly BasicProperties Persistent = new() { Persistent = true };

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-dotnet").FullName;
    private RunningGateway _gateway = null!;
    private IConnection _connection = null!;
    private IChannel _channel = null!;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory);
        _connection = await ConnectAsync();
        _channel = await ConfirmingAsync();
    }

    public async Task DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    [InlineData(null)]
    public async Task Consumer_receives_what_was_published_in_order_with_its_properties(string? type)
    {
        var queue = await DeclareAsync("q", type);
        var properties = new BasicProperties
        {
            ContentType = "application/json",
            CorrelationId = "c",
            DeliveryMode = DeliveryModes.Persistent,
            Priority = 3,
            MessageId = "id",
            Timestamp = new AmqpTimestamp(1_700_000_000),
            Type = "t",
            AppId = "app",
            Headers = new Dictionary<string, object?>
            {
                ["text"] = "ü",
                ["number"] = 7,
                ["long"] = long.MaxValue,
                ["flag"] = true,
                ["list"] = new List<object?> { 1, "two" },
                ["table"] = new Dictionary<string, object?> { ["deep"] = 2.5 },
                ["nothing"] = null,
            },
        };
        for (var i = 0; i < 100; i++)
            await _channel.BasicPublishAsync("", queue, true, properties, Encoding.UTF8.GetBytes($"{i}"));
        var received = await ConsumeAsync(queue, 100);
        Assert.Equal(Enumerable.Range(0, 100).Select(static i => $"{i}"), received.Select(static one => one.Body));
        var one = received[0].Properties;
        Assert.Equal(("application/json", "c", (byte)3, "id", 1_700_000_000L, "t", "app"),
            (one.ContentType, one.CorrelationId, one.Priority, one.MessageId, one.Timestamp.UnixTime, one.Type, one.AppId));
        var headers = one.Headers!;
        Assert.Equal(("ü", 7, long.MaxValue, true), (Text(headers["text"]), headers["number"], headers["long"], headers["flag"]));
        Assert.Equal([1, "two"], ((List<object?>)headers["list"]!).Select(static item => item is byte[] ? Text(item) : item));
        Assert.Equal(2.5, ((IDictionary<string, object?>)headers["table"]!)["deep"]);
        Assert.Null(headers["nothing"]);
    }

    [Fact]
    public async Task Large_messages_and_empty_ones_come_whole()
    {
        var queue = await DeclareAsync("q", "quorum");
        foreach (var size in new[] { 0, 1, 131_064, 131_065, 1 << 20, 5 << 20 })
        {
            var body = new byte[size];
            Random.Shared.NextBytes(body);
            await _channel.BasicPublishAsync("", queue, true, Persistent, body);
            Assert.Equal(body, (await _channel.BasicGetAsync(queue, autoAck: true))!.Body.ToArray());
        }
        await using var channel = await ConfirmingAsync();
        var tooLarge = await Assert.ThrowsAsync<AlreadyClosedException>(async () =>
        {
            await channel.BasicPublishAsync("", queue, true, Persistent, new byte[(16 << 20) + 1]);
        });
        Assert.Equal(406, tooLarge.ShutdownReason!.ReplyCode);
        Assert.True(_connection.IsOpen);
    }

    [Fact]
    public async Task Message_that_no_queue_takes_is_returned_to_a_publish_that_is_mandatory()
    {
        var told = new TaskCompletionSource<(ushort, string, string)>(TaskCreationOptions.RunContinuationsAsynchronously);
        _channel.BasicReturnAsync += (_, returned) =>
        {
            told.TrySetResult((returned.ReplyCode, returned.ReplyText, returned.RoutingKey));
            return Task.CompletedTask;
        };
        var failed = await Assert.ThrowsAsync<PublishException>(async () =>
            await _channel.BasicPublishAsync("amq.direct", "nowhere", true, Persistent, "m"u8.ToArray()));
        Assert.True(failed.IsReturn);
        Assert.Equal((312, "NO_ROUTE", "nowhere"), await told.Task.WaitAsync(Patience));
        await _channel.BasicPublishAsync("amq.direct", "nowhere", false, Persistent, "m"u8.ToArray());
    }

    [Fact]
    public async Task Rejected_expired_and_often_returned_messages_become_dead_letters()
    {
        await _channel.ExchangeDeclareAsync("dead", "topic", durable: true);
        var letters = await DeclareAsync("letters", "quorum");
        await _channel.QueueBindAsync(letters, "dead", "#");
        var queue = await DeclareAsync("q", "quorum", ("x-dead-letter-exchange", "dead"), ("x-delivery-limit", 1),
            ("x-dead-letter-routing-key", "from.q"));
        await _channel.BasicPublishAsync("", queue, true, Persistent, "rejected"u8.ToArray());
        var got = (await _channel.BasicGetAsync(queue, autoAck: false))!;
        await _channel.BasicRejectAsync(got.DeliveryTag, requeue: false);
        await _channel.BasicPublishAsync("", queue, true, new BasicProperties { Persistent = true, Expiration = "20" },
            "expired"u8.ToArray());
        var letter = await GetAsync(letters);
        Assert.Equal(("rejected", "from.q"), (Encoding.UTF8.GetString(letter.Body.Span), letter.RoutingKey));
        var death = (IDictionary<string, object?>)((List<object?>)letter.BasicProperties.Headers!["x-death"]!)[0]!;
        Assert.Equal(("rejected", "q", 1L), (Text(death["reason"]), Text(death["queue"]), death["count"]));
        Assert.Equal("expired", Encoding.UTF8.GetString((await GetAsync(letters)).Body.Span));
        await _channel.BasicPublishAsync("", queue, true, Persistent, "returned"u8.ToArray());
        // A nack does not count, and a reject does.
        for (var i = 0; i < 4; i++)
            await _channel.BasicNackAsync((await GetAsync(queue, autoAck: false)).DeliveryTag, multiple: false, requeue: true);
        for (var i = 0; i < 2; i++)
            await _channel.BasicRejectAsync((await GetAsync(queue, autoAck: false)).DeliveryTag, requeue: true);
        letter = await GetAsync(letters);
        Assert.Equal("delivery_limit", Text(((IDictionary<string, object?>)((List<object?>)letter.BasicProperties.Headers!["x-death"]!)[0]!)
            ["reason"]));
    }

    [Fact]
    public async Task Prefetch_bounds_what_is_unacknowledged_and_multiple_acks_free_it()
    {
        var queue = await DeclareAsync("q", "quorum");
        for (var i = 0; i < 30; i++)
            await _channel.BasicPublishAsync("", queue, true, Persistent, Encoding.UTF8.GetBytes($"{i}"));
        await using var channel = await _connection.CreateChannelAsync();
        await channel.BasicQosAsync(0, 10, global: false);
        var tags = new ConcurrentQueue<ulong>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            tags.Enqueue(delivery.DeliveryTag);
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(queue, autoAck: false, consumer);
        await UntilAsync(() => tags.Count == 10);
        Assert.Equal(20u, (await _channel.QueueDeclarePassiveAsync(queue)).MessageCount);
        Assert.Equal(10, tags.Count);
        await channel.BasicAckAsync(tags.ElementAt(4), multiple: true);
        await UntilAsync(() => tags.Count == 15);
        await channel.CloseAsync();
        // What was not acknowledged is there again.
        Assert.Equal(25, (await ConsumeAsync(queue, 25)).Count);
    }

    [Fact]
    public async Task Exclusive_auto_delete_and_server_named_queues_live_as_long_as_they_should()
    {
        var exclusive = (await _channel.QueueDeclareAsync()).QueueName;
        Assert.StartsWith("amq.gen-", exclusive, StringComparison.Ordinal);
        await using (var other = await ConnectAsync())
        {
            await using var channel = await other.CreateChannelAsync();
            var locked = await Assert.ThrowsAsync<OperationInterruptedException>(() => channel.QueueDeclarePassiveAsync(exclusive));
            Assert.Equal(405, locked.ShutdownReason!.ReplyCode);
            Assert.Contains($"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{exclusive}' in vhost '/'",
                locked.ShutdownReason.ReplyText, StringComparison.Ordinal);
        }
        await _channel.QueueDeclareAsync("temporary", durable: false, exclusive: false, autoDelete: true);
        var tag = await _channel.BasicConsumeAsync("temporary", autoAck: true, new AsyncEventingBasicConsumer(_channel));
        await _channel.BasicCancelAsync(tag);
        Assert.Equal(404, (await Assert.ThrowsAsync<OperationInterruptedException>(() => _channel.QueueDeclarePassiveAsync("temporary")))
            .ShutdownReason!.ReplyCode);
        await _connection.CloseAsync();
        await using var later = await ConnectAsync();
        await using var asker = await later.CreateChannelAsync();
        Assert.Equal(404, (await Assert.ThrowsAsync<OperationInterruptedException>(() => asker.QueueDeclarePassiveAsync(exclusive)))
            .ShutdownReason!.ReplyCode);
    }

    [Fact]
    public async Task Fault_of_a_channel_closes_it_alone_with_RabbitMQs_words()
    {
        await DeclareAsync("q", "quorum");
        await Refused(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/'",
            static channel => channel.QueueDeclareAsync("q", true, false, false));
        await Refused(404, "NOT_FOUND - no queue 'none' in vhost '/'", static channel => channel.BasicConsumeAsync("none", true,
            new AsyncEventingBasicConsumer(channel)));
        await Refused(404, "NOT_FOUND - no exchange 'none' in vhost '/'", static channel => channel.QueueBindAsync("q", "none", ""));
        await Refused(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
            static channel => channel.ExchangeDeclareAsync("amq.mine", "direct"));
        await DeclareAsync("full", "classic");
        await _channel.BasicPublishAsync("", "full", true, Persistent, "m"u8.ToArray());
        await Refused(406, "PRECONDITION_FAILED - queue 'full' in vhost '/' not empty", static channel =>
            channel.QueueDeleteAsync("full", false, ifEmpty: true));
        Assert.True(_connection.IsOpen && _channel.IsOpen);

        async Task Refused(ushort code, string text, Func<IChannel, Task> action)
        {
            await using var channel = await _connection.CreateChannelAsync();
            var refused = await Assert.ThrowsAsync<OperationInterruptedException>(() => action(channel));
            Assert.Equal(code, refused.ShutdownReason!.ReplyCode);
            Assert.StartsWith(text, refused.ShutdownReason.ReplyText, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Exchanges_route_by_words_headers_and_other_exchanges_and_to_their_alternate()
    {
        await _channel.ExchangeDeclareAsync("spare", "fanout");
        await _channel.ExchangeDeclareAsync("topics", "topic", arguments: new Dictionary<string, object?>
        {
            ["alternate-exchange"] = "spare",
        });
        await _channel.ExchangeDeclareAsync("headers", "headers");
        await _channel.ExchangeBindAsync("headers", "topics", "to.headers");
        foreach (var queue in new[] { "star", "hash", "all", "any", "rest" })
            await _channel.QueueDeclareAsync(queue, false, false, false);
        await _channel.QueueBindAsync("star", "topics", "a.*");
        await _channel.QueueBindAsync("hash", "topics", "a.#");
        await _channel.QueueBindAsync("rest", "spare", "");
        foreach (var match in new[] { "all", "any" })
            await _channel.QueueBindAsync(match, "headers", "", new Dictionary<string, object?>
            {
                ["x-match"] = match,
                ["k"] = 1,
                ["l"] = "m",
            });
        foreach (var key in new[] { "a", "a.b", "a.b.c", "b" })
            await _channel.BasicPublishAsync("topics", key, false, new BasicProperties(), Encoding.UTF8.GetBytes(key));
        await _channel.BasicPublishAsync("topics", "to.headers", false, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["k"] = 1 },
        }, "h"u8.ToArray());
        Assert.Equal(["a.b"], await DrainAsync("star"));
        Assert.Equal(["a", "a.b", "a.b.c"], await DrainAsync("hash"));
        Assert.Equal(["b"], await DrainAsync("rest"));
        Assert.Empty(await DrainAsync("all"));
        Assert.Equal(["h"], await DrainAsync("any"));
    }

    [Fact]
    public async Task Requests_are_answered_over_direct_reply_to()
    {
        await DeclareAsync("questions", null);
        await using var server = await _connection.CreateChannelAsync();
        var serving = new AsyncEventingBasicConsumer(server);
        serving.ReceivedAsync += async (_, question) => await server.BasicPublishAsync("", question.BasicProperties.ReplyTo!, false,
            new BasicProperties { CorrelationId = question.BasicProperties.CorrelationId }, question.Body);
        await server.BasicConsumeAsync("questions", autoAck: true, serving);
        await using var client = await _connection.CreateChannelAsync();
        var answer = new TaskCompletionSource<(string?, string)>(TaskCreationOptions.RunContinuationsAsynchronously);
        var asking = new AsyncEventingBasicConsumer(client);
        asking.ReceivedAsync += (_, delivery) =>
        {
            answer.TrySetResult((delivery.BasicProperties.CorrelationId, Encoding.UTF8.GetString(delivery.Body.Span)));
            return Task.CompletedTask;
        };
        await client.BasicConsumeAsync("amq.rabbitmq.reply-to", autoAck: true, asking);
        await client.BasicPublishAsync("", "questions", true, new BasicProperties
        {
            ReplyTo = "amq.rabbitmq.reply-to",
            CorrelationId = "7",
        }, "?"u8.ToArray());
        Assert.Equal(("7", "?"), await answer.Task.WaitAsync(Patience));
    }

    [Fact]
    public async Task Transactions_take_effect_when_they_are_committed()
    {
        var queue = await DeclareAsync("q", null);
        await using var channel = await _connection.CreateChannelAsync();
        await channel.TxSelectAsync();
        await channel.BasicPublishAsync("", queue, true, Persistent, "lost"u8.ToArray());
        await channel.TxRollbackAsync();
        await channel.BasicPublishAsync("", queue, true, Persistent, "kept"u8.ToArray());
        Assert.Empty(await DrainAsync(queue));
        await channel.TxCommitAsync();
        Assert.Equal(["kept"], await DrainAsync(queue));
    }

    [Fact]
    public async Task Consumers_are_told_that_their_queue_is_deleted_and_the_next_of_several_becomes_active()
    {
        var queue = await DeclareAsync("q", "quorum", ("x-single-active-consumer", true));
        var received = new ConcurrentQueue<string>();
        var cancelled = 0;
        var channels = new List<IChannel>();
        for (var i = 0; i < 2; i++)
        {
            var name = $"{i}";
            var channel = await _connection.CreateChannelAsync();
            channels.Add(channel);
            var consumer = new AsyncEventingBasicConsumer(channel);
            consumer.ReceivedAsync += async (_, delivery) =>
            {
                received.Enqueue(name);
                await channel.BasicAckAsync(delivery.DeliveryTag, false);
            };
            consumer.UnregisteredAsync += (_, _) =>
            {
                Interlocked.Increment(ref cancelled);
                return Task.CompletedTask;
            };
            await channel.BasicConsumeAsync(queue, autoAck: false, consumer);
        }
        for (var i = 0; i < 10; i++)
            await _channel.BasicPublishAsync("", queue, true, Persistent, "m"u8.ToArray());
        await UntilAsync(() => received.Count == 10);
        Assert.Equal(["0"], received.Distinct());
        await channels[0].CloseAsync();
        await _channel.BasicPublishAsync("", queue, true, Persistent, "m"u8.ToArray());
        await UntilAsync(() => received.Contains("1"));
        await _channel.QueueDeleteAsync(queue);
        await UntilAsync(() => Volatile.Read(ref cancelled) >= 1);
    }

    [Fact]
    public async Task Connection_recovers_with_its_topology_when_the_broker_is_back()
    {
        var factory = Factory();
        (factory.AutomaticRecoveryEnabled, factory.TopologyRecoveryEnabled) = (true, true);
        factory.NetworkRecoveryInterval = TimeSpan.FromMilliseconds(100);
        await using var connection = await factory.CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("kept", true, false, false);
        await channel.QueueDeclareAsync("mine", false, true, false);
        await channel.QueueBindAsync("mine", "amq.fanout", "");
        var received = new ConcurrentQueue<string>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            received.Enqueue(Encoding.UTF8.GetString(delivery.Body.Span));
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync("mine", autoAck: true, consumer);
        await channel.BasicPublishAsync("", "kept", true, Persistent, "before"u8.ToArray());
        var recovered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.RecoverySucceededAsync += (_, _) =>
        {
            recovered.TrySetResult();
            return Task.CompletedTask;
        };
        var port = _gateway.Port;
        await _gateway.DisposeAsync();
        _gateway = await RunningGateway.StartAsync(_directory, port);
        await recovered.Task.WaitAsync(Patience);
        await channel.BasicPublishAsync("amq.fanout", "", true, Persistent, "after"u8.ToArray());
        await UntilAsync(() => received.Contains("after"));
        Assert.Equal("before", Encoding.UTF8.GetString((await channel.BasicGetAsync("kept", true))!.Body.Span));
    }

    [Fact]
    public async Task Many_channels_publish_at_once_and_each_keeps_its_order()
    {
        var queue = await DeclareAsync("q", "quorum");
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async number =>
        {
            await using var channel = await ConfirmingAsync();
            var published = new List<Task>();
            for (var i = 0; i < 50; i++)
                published.Add(channel.BasicPublishAsync("", queue, true, Persistent, Encoding.UTF8.GetBytes($"{number} {i}")).AsTask());
            await Task.WhenAll(published);
        })).WaitAsync(Patience);
        var received = (await ConsumeAsync(queue, 1000)).Select(static one => one.Body).ToList();
        Assert.Equal(1000, received.Distinct().Count());
        foreach (var one in received.GroupBy(static body => body.Split(' ')[0]))
            Assert.Equal(Enumerable.Range(0, 50).Select(i => $"{one.Key} {i}"), one);
    }

    private ConnectionFactory Factory() =>
        new ConnectionFactory { HostName = "127.0.0.1", Port = _gateway.Port, AutomaticRecoveryEnabled = false }.Patient();

    private Task<IConnection> ConnectAsync() => Factory().CreateConnectionAsync();

    private Task<IChannel> ConfirmingAsync() => _connection.CreateChannelAsync(new CreateChannelOptions(
        publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true));

    private async Task<string> DeclareAsync(string name, string? type, params (string Key, object Value)[] arguments)
    {
        var all = arguments.ToDictionary(static pair => pair.Key, static pair => (object?)pair.Value);
        if (type is not null)
            all["x-queue-type"] = type;
        return (await _channel.QueueDeclareAsync(name, durable: true, exclusive: false, autoDelete: false, all)).QueueName;
    }

    private async Task<List<(string Body, IReadOnlyBasicProperties Properties)>> ConsumeAsync(string queue, int count)
    {
        await using var channel = await _connection.CreateChannelAsync();
        var (received, all) = (new List<(string, IReadOnlyBasicProperties)>(), new TaskCompletionSource());
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += async (_, delivery) =>
        {
            received.Add((Encoding.UTF8.GetString(delivery.Body.Span), new BasicProperties(delivery.BasicProperties)));
            await channel.BasicAckAsync(delivery.DeliveryTag, multiple: false);
            if (received.Count == count)
                all.TrySetResult();
        };
        await channel.BasicConsumeAsync(queue, autoAck: false, consumer);
        await all.Task.WaitAsync(Patience);
        await channel.CloseAsync();
        return received;
    }

    private async Task<List<string>> DrainAsync(string queue)
    {
        var bodies = new List<string>();
        while (await _channel.BasicGetAsync(queue, autoAck: true) is { } got)
            bodies.Add(Encoding.UTF8.GetString(got.Body.Span));
        return bodies;
    }

    private async Task<BasicGetResult> GetAsync(string queue, bool autoAck = true)
    {
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await _channel.BasicGetAsync(queue, autoAck)) is not null);
        return got!;
    }

    private static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }

    private static string Text(object? value) => Encoding.UTF8.GetString((byte[])value!);
}
