using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Cluster.Amqp;

/// <summary>RabbitMQ's client over three brokers: it finds the same queues at each, and what was confirmed survives any of them.</summary>
public sealed class AmqpClusterTests(PostgreSqlFixture postgres) : AmqpClientsTests(postgres)
{
    [SkippableTheory]
    [InlineData("durable")]
    [InlineData("transient")]
    [InlineData("exclusive")]
    public async Task Messages_published_at_each_broker_reach_a_consumer_in_order(string kind)
    {
        var home = await ChannelAsync(1);
        await home.QueueDeclareAsync("orders", durable: kind == "durable", exclusive: kind == "exclusive", autoDelete: false);
        var received = await ConsumeAsync(home, "orders");
        foreach (var broker in Cluster.Running)
        {
            var channel = await ChannelAsync(broker);
            for (var i = 0; i < 20; i++)
                await channel.BasicPublishAsync("", "orders", mandatory: true, Bytes($"{broker}-{i}"));
        }
        await Wait.UntilAsync(() => received.Count == 60, "all messages are received");
        foreach (var broker in Cluster.Running)
        {
            var own = received.Where(text => text.StartsWith($"{broker}-", StringComparison.Ordinal));
            Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{broker}-{i}"), own);
        }
        Assert.Equal(kind == "exclusive" ? 405 : 200, await CodeOfAsync(3, "orders"));
    }

    [SkippableFact]
    public async Task Exclusive_queue_is_locked_at_every_broker_and_ends_with_its_connection()
    {
        var home = await ChannelAsync(1);
        var queue = await home.QueueDeclareAsync();
        var refused = await Assert.ThrowsAsync<OperationInterruptedException>(async () =>
            await (await ChannelAsync(2)).QueueDeclarePassiveAsync(queue.QueueName));
        Assert.Equal(405, refused.ShutdownReason!.ReplyCode);

        await (await ChannelAsync(3)).BasicPublishAsync("", queue.QueueName, mandatory: true, Bytes("x"));
        await ConnectionTo(1).CloseAsync();
        await Wait.UntilAsync(async () => await CodeOfAsync(2, queue.QueueName) == 404, "the queue has ended");
        await Wait.UntilAsync(async () => (await Cluster.Broker(2).ListTopicsAsync()).All(static topic =>
            !topic.Name.StartsWith("amqp", StringComparison.Ordinal)), "its topic is deleted");
    }

    [SkippableFact]
    public async Task Answers_find_a_requester_at_another_broker()
    {
        var (requester, responder) = (await ChannelAsync(1), await ChannelAsync(2));
        await responder.QueueDeclareAsync("requests", durable: true, exclusive: false, autoDelete: false);
        var tokens = new ConcurrentQueue<string>();
        var consumer = new AsyncEventingBasicConsumer(responder);
        consumer.ReceivedAsync += async (_, request) =>
        {
            tokens.Enqueue(request.BasicProperties.ReplyTo!);
            for (var i = 0; i < 50; i++)
                await responder.BasicPublishAsync("", request.BasicProperties.ReplyTo!, mandatory: false,
                    new BasicProperties { CorrelationId = $"{i}" }, request.Body);
        };
        await responder.BasicConsumeAsync("requests", autoAck: true, consumer);

        var answers = await ConsumeAsync(requester, "amq.rabbitmq.reply-to", static answer => answer.BasicProperties.CorrelationId!);
        await requester.BasicPublishAsync("", "requests", mandatory: true, new BasicProperties { ReplyTo = "amq.rabbitmq.reply-to" },
            Bytes("question"));
        await Wait.UntilAsync(() => answers.Count == 50, "the answers arrive");
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"{i}"), answers);

        var other = await ChannelAsync(3);
        await other.QueueDeclarePassiveAsync(tokens.Single());
        Assert.Equal(404, await CodeOfAsync(3, tokens.Single() + "0"));
        Assert.Equal(404, await CodeOfAsync(3, "amq.rabbitmq.reply-to.7.0"));
    }

    [SkippableFact]
    public async Task What_a_killed_broker_had_ends_and_what_it_confirmed_stays()
    {
        var victim = Cluster.Running.First(broker => !Owns(broker));
        await LoseAsync(victim, Cluster.KillAsync);
    }

    [SkippableFact]
    public Task Owner_of_the_virtual_hosts_is_killed_with_connections() =>
        LoseAsync(Cluster.Running.Single(Owns), Cluster.KillAsync);

    [SkippableFact]
    public Task Broker_stops_with_connections() => LoseAsync(Cluster.Running.Single(Owns), Cluster.StopAsync);

    [SkippableFact]
    public async Task Expired_messages_are_dead_lettered_and_unused_queues_end_wherever_they_were_declared()
    {
        foreach (var broker in Cluster.Running)
        {
            var channel = await ChannelAsync(broker);
            var arguments = new Dictionary<string, object?>
            {
                ["x-message-ttl"] = 200,
                ["x-dead-letter-exchange"] = "",
                ["x-dead-letter-routing-key"] = "dead",
            };
            await channel.QueueDeclareAsync("dead", durable: true, exclusive: false, autoDelete: false);
            await channel.QueueDeclareAsync($"short-{broker}", durable: true, exclusive: false, autoDelete: false, arguments);
            await channel.QueueDeclareAsync($"unused-{broker}", durable: broker == 1, exclusive: false, autoDelete: false,
                new Dictionary<string, object?> { ["x-expires"] = 1000 });
        }
        foreach (var (broker, queue) in Cluster.Running.SelectMany(broker => Cluster.Running.Select(queue => (broker, queue))))
            await (await ChannelAsync(broker)).BasicPublishAsync("", $"short-{queue}", mandatory: true, Bytes($"{broker}-{queue}"));

        var dead = await ConsumeAsync(await ChannelAsync(2), "dead");
        await Wait.UntilAsync(() => dead.Count >= 9, "the messages are dead-lettered");
        Assert.Equal(9, dead.Distinct().Count());
        foreach (var broker in Cluster.Running)
            // A declaration, a passive one too, would use the queue.
            await Wait.UntilAsync(() => Cluster.Get<ClusterVirtualHosts>(1).Find("/")!.Topology.FindQueue($"unused-{broker}") is null,
                "the queue has expired");
    }

    [SkippableFact]
    public async Task Topics_of_queues_that_ended_with_all_brokers_are_deleted()
    {
        var channel = await ChannelAsync(1);
        await channel.QueueDeclareAsync("kept", durable: true, exclusive: false, autoDelete: false);
        // As one that was declared beside a broker of an earlier build: it is on the log.
        await Cluster.Get<ClusterVirtualHosts>(1).SendAsync("/", new DeclareQueue(new QueueDeclaration { Name = "gone" }, "c"));
        foreach (var queue in new[] { "kept", "gone" })
            await channel.BasicPublishAsync("", queue, mandatory: true, new BasicProperties { Persistent = true }, Bytes(queue));
        foreach (var broker in Cluster.Running.ToArray())
            await Cluster.StopAsync(broker);
        await Cluster.StartAsync(1);
        await Task.WhenAll(Cluster.StartAsync(2), Cluster.StartAsync(3));
        await Cluster.SettleAsync();

        await Wait.UntilAsync(async () => (await Cluster.Broker(2).ListTopicsAsync()).Count(static topic =>
            topic.Name.StartsWith("amqp", StringComparison.Ordinal)) == 1, "the topic is deleted");
        Assert.Equal(404, await CodeOfAsync(2, "gone"));
        Assert.Equal("kept", Encoding.UTF8.GetString((await (await ChannelAsync(3)).BasicGetAsync("kept", autoAck: true))!.Body.Span));
    }

    // A client of the broker has an exclusive queue, a transient one, and the only consumer of an auto-delete queue; and all confirmed
    // messages of the durable one are kept.
    private async Task LoseAsync(int victim, Func<int, Task> loseAsync)
    {
        var others = Cluster.Running.Where(broker => broker != victim).ToArray();
        var channel = await ChannelAsync(victim);
        await channel.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false);
        await DeclareInMemoryAsync(channel, victim, "notes");
        await channel.QueueDeclareAsync("own", durable: false, exclusive: true, autoDelete: false);
        await channel.QueueDeclareAsync("auto", durable: false, exclusive: false, autoDelete: true);
        await ConsumeAsync(channel, "auto");
        for (var i = 0; i < 50; i++)
            await channel.BasicPublishAsync("", "orders", mandatory: true, new BasicProperties { Persistent = true }, Bytes($"{i}"));
        Assert.Equal(405, await CodeOfAsync(others[0], "own"));

        await loseAsync(victim);
        foreach (var queue in new[] { "own", "auto", "notes" })
            await Wait.UntilAsync(async () => await CodeOfAsync(others[0], queue) == 404, $"queue '{queue}' has ended");
        var received = await ConsumeAsync(await ChannelAsync(others[1]), "orders");
        await Wait.UntilAsync(() => received.Count >= 50, "what was confirmed is received");
        Assert.Equal(Enumerable.Range(0, 50).Select(static i => $"{i}"), received);
        await Cluster.StartAsync(victim);
        await Cluster.SettleAsync();
        var again = await ChannelAsync(victim);
        await again.BasicPublishAsync("", "orders", mandatory: true, Bytes("again"));
    }
}
