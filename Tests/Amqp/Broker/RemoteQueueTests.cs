using System.Text;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>An exclusive queue of a client of the first gateway is in its memory, and the second one publishes to it.</summary>
public sealed class RemoteQueueTests : TwoGateways
{
    [Fact]
    public async Task Messages_of_another_gateway_come_in_their_order_and_no_topic_is_created()
    {
        const int Count = 1_000;
        await DeclareAsync("replies");
        var received = await ConsumeAsync(Home, "replies");
        await Task.WhenAll(Enumerable.Range(0, Count).Select(i => PublishAsync("replies", $"{i}"))).WaitAsync(Patience);
        await UntilAsync(() => received.Count == Count);
        lock (received)
            Assert.Equal(Enumerable.Range(0, Count).Select(static i => $"{i}"), received);
        Assert.Empty(await LocalBroker.ListTopicsAsync());
        // They shared frames.
        Assert.InRange(Peers.Questions, 1, Count - 1);
    }

    [Fact]
    public async Task Message_comes_with_its_properties_and_its_exchange()
    {
        await DeclareAsync("replies");
        await Home.QueueBindAsync("replies", "amq.topic", "a.*");
        var properties = new BasicProperties
        {
            CorrelationId = "c",
            Headers = new Dictionary<string, object?> { ["CC"] = new List<object> { "replies" }, ["h"] = 7 },
        };
        await Other.BasicPublishAsync("amq.topic", "a.b", mandatory: true, properties, Bytes("m"));
        var got = (await GetAsync("replies"))!;
        Assert.Equal(("m", "amq.topic", "a.b", "c", 7), (Encoding.UTF8.GetString(got.Body.Span), got.Exchange, got.RoutingKey,
            got.BasicProperties.CorrelationId, (int)got.BasicProperties.Headers!["h"]!));
    }

    [Fact]
    public async Task Full_queue_refuses_messages_of_another_gateway()
    {
        await DeclareAsync("replies", ("x-max-length", 2), ("x-overflow", "reject-publish"));
        for (var i = 0; i < 2; i++)
            await PublishAsync("replies", $"{i}").WaitAsync(Patience);
        Assert.False((await Assert.ThrowsAnyAsync<PublishException>(() => PublishAsync("replies", "2"))).IsReturn);
        Assert.Equal(2u, await Home.MessageCountAsync("replies"));
    }

    [Fact]
    public async Task Dead_letters_of_a_durable_queue_and_expired_messages_get_to_another_gateway()
    {
        await DeclareAsync("dead");
        await DeclareAsync("short", ("x-message-ttl", 0), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead"));
        await Other.QueueDeclareAsync("orders", durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?>
        {
            ["x-dead-letter-exchange"] = "",
            ["x-dead-letter-routing-key"] = "dead",
        });
        await PublishAsync("orders", "rejected").WaitAsync(Patience);
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await Other.BasicGetAsync("orders", autoAck: false)) is not null);
        await Other.BasicRejectAsync(got!.DeliveryTag, requeue: false);
        var letter = (await GetAsync("dead"))!;
        Assert.Equal("rejected", Encoding.UTF8.GetString(letter.Body.Span));
        Assert.True(letter.BasicProperties.Headers!.ContainsKey("x-death"));

        await PublishAsync("short", "expired").WaitAsync(Patience);
        Assert.Equal("expired", Encoding.UTF8.GetString((await GetAsync("dead"))!.Body.Span));
    }

    [Fact]
    public async Task Queue_that_ended_with_its_connection_is_unroutable()
    {
        await DeclareAsync("replies");
        await PublishAsync("replies", "m").WaitAsync(Patience);
        var image = Hosts[1].Find("/");
        await Connections[0].CloseAsync();
        await UntilAsync(() => Hosts[1].Find("/")!.Topology.FindQueue("replies") is null);
        Assert.True((await Assert.ThrowsAnyAsync<PublishException>(() => PublishAsync("replies", "m").WaitAsync(Patience))).IsReturn);
        // One that has not heard of it publishes to a queue that is deleted: that is confirmed.
        Hosts[1].Image = image;
        var queue = image!.Topology.FindQueue("replies")!;
        Assert.Equal(PublishOutcome.Gone, await SendAsync(queue, image.Version));
        await PublishAsync("replies", "m").WaitAsync(Patience);
    }

    [Fact]
    public async Task Home_whose_image_is_older_than_the_senders_asks_before_it_calls_a_queue_gone()
    {
        var before = Hosts[0].Find("/");
        await DeclareAsync("replies");
        var queue = Hosts[1].Find("/")!.Topology.FindQueue("replies")!;
        var asked = 0;
        Hosts[0].Image = before;
        Hosts[0].Refreshing = () =>
        {
            asked++;
            Hosts[0].Image = null;
        };
        await PublishAsync("replies", "m").WaitAsync(Patience);
        Assert.Equal("m", Encoding.UTF8.GetString((await GetAsync("replies"))!.Body.Span));
        Assert.NotEqual(0, asked);
        // One that an image no newer than the home's has, and the home's has not, is gone.
        var known = asked;
        Assert.Equal(PublishOutcome.Gone, await SendAsync(queue with { Id = queue.Id + 1 }, version: 0));
        Assert.Equal(known, asked);
    }

    [Fact]
    public async Task Queue_of_an_earlier_incarnation_is_gone()
    {
        await DeclareAsync("replies");
        var image = Hosts[1].Find("/")!;
        var queue = image.Topology.FindQueue("replies")!;
        Assert.Equal(PublishOutcome.Accepted, await SendAsync(queue, image.Version));
        // The virtual host still has a queue of a connection that this run of the broker never had.
        var answer = await Hosts[1].SendAsync("/", new DeclareQueue(new QueueDeclaration
        {
            Name = "earlier",
            Exclusive = true,
            InMemory = true,
        }, "i1/0-00000000"));
        Assert.Equal(PublishOutcome.Gone, await SendAsync(answer.Queue!, answer.Version, QueueHome.Of(queue.Owner!)));
        Peers.Ended["i1"] = true;
        Assert.Equal(PublishOutcome.Gone, await SendAsync(queue, image.Version));
        await PublishAsync("replies", "m").WaitAsync(Patience);
    }

    [Fact]
    public async Task Home_that_does_not_answer_leaves_messages_unconfirmed_and_later_ones_come()
    {
        await DeclareAsync("replies");
        Peers.Answering = static () => Task.FromResult(false);
        Assert.False((await Assert.ThrowsAnyAsync<PublishException>(() => PublishAsync("replies", "m").WaitAsync(Patience))).IsReturn);
        Peers.Answering = static () => Task.FromResult(true);
        await PublishAsync("replies", "n").WaitAsync(Patience);
        // The first one had arrived, and was not sent again.
        Assert.Equal(2u, await Home.MessageCountAsync("replies"));
    }

    [Fact]
    public async Task Home_that_is_over_its_limit_with_messages_for_others_takes_those_for_its_queues()
    {
        await DeclareAsync("replies");
        var image = Hosts[1].Find("/")!;
        // As where messages for each other wait at both.
        foreach (var gateway in Gateways)
            gateway.Memory.Add(gateway.Memory.Limit + 1);
        Assert.Equal(PublishOutcome.Accepted, await SendAsync(image.Topology.FindQueue("replies")!, image.Version));
        Assert.True(Gateways[0].Memory.IsOver);
        Assert.InRange(Gateways[0].Memory.Held, 1, 1_000);
        foreach (var gateway in Gateways)
            gateway.Memory.Add(-gateway.Memory.Limit - 1);
        Assert.Equal("m", Encoding.UTF8.GetString((await GetAsync("replies"))!.Body.Span));
        await UntilAsync(() => Gateways[0].Memory.Held == 0);
    }

    [Fact]
    public async Task Home_whose_queues_are_over_its_limit_takes_messages_once_they_have_room()
    {
        await DeclareAsync("replies");
        var image = Hosts[1].Find("/")!;
        var memory = Gateways[0].Memory;
        memory.AddHeld(memory.Limit + 1);
        var sending = SendAsync(image.Topology.FindQueue("replies")!, image.Version);
        await UntilAsync(() => Peers.Questions > 1);
        Assert.False(sending.IsCompleted);
        memory.AddHeld(-memory.Limit - 1);
        Assert.Equal(PublishOutcome.Accepted, await sending);
        Assert.Equal(1u, await Home.MessageCountAsync("replies"));
    }

    [Fact]
    public async Task Messages_of_a_question_that_comes_twice_come_once()
    {
        await DeclareAsync("replies");
        Peers.AskTwice = true;
        for (var i = 0; i < 5; i++)
            await PublishAsync("replies", $"{i}").WaitAsync(Patience);
        Peers.AskTwice = false;
        await PublishAsync("replies", "5").WaitAsync(Patience);
        for (var i = 0; i < 6; i++)
            Assert.Equal($"{i}", Encoding.UTF8.GetString((await GetAsync("replies"))!.Body.Span));
        Assert.Equal(0u, await Home.MessageCountAsync("replies"));
    }

    [Fact]
    public async Task Other_gateway_counts_and_purges_the_queue_and_only_its_home_reports_it()
    {
        await DeclareAsync("replies");
        var queue = Hosts[1].Find("/")!.Topology.FindQueue("replies")!;
        var (home, other) = (await Gateways[0].OpenQueuesAsync(), await Gateways[1].OpenQueuesAsync());
        Assert.Equal(0, (await other.CountAsync("/", queue)).Ready);
        for (var i = 0; i < 3; i++)
            await PublishAsync("replies", "body").WaitAsync(Patience);
        Assert.Equal(new QueueCounts(3, 0, 12, 0), await other.CountAsync("/", queue));
        Assert.Equal(("replies", 3L), Assert.Single((await home.CountLedAsync(default)).Select(static one => (one.Name,
            one.Counts.Ready))));
        Assert.Empty(await other.CountLedAsync(default));
        var entry = await other.OpenAsync("/", queue);
        Assert.Equal(3, await entry.Queue.PurgeAsync());
        Assert.Equal(0u, await Home.MessageCountAsync("replies"));
        // Declared there, it is locked.
        await using var channel = await Connections[1].CreateChannelAsync();
        var refused = await Assert.ThrowsAnyAsync<OperationInterruptedException>(() => channel.QueueDeclarePassiveAsync("replies"));
        Assert.Equal(405, refused.ShutdownReason!.ReplyCode);
        Peers.Ended["i1"] = true;
        await Assert.ThrowsAsync<QueueGoneException>(async () => await other.CountAsync("/", queue));
    }

    [Fact]
    public async Task Queue_that_is_declared_beside_a_broker_of_an_earlier_build_is_on_the_log_and_stays_there()
    {
        Peers.TakeQuestions = false;
        await DeclareAsync("replies");
        await PublishAsync("replies", "m").WaitAsync(Patience);
        Assert.Equal("amqpt.replies", Assert.Single(await LocalBroker.ListTopicsAsync()).Name);
        Peers.TakeQuestions = true;
        await PublishAsync("replies", "n").WaitAsync(Patience);
        foreach (var body in new[] { "m", "n" })
            Assert.Equal(body, Encoding.UTF8.GetString((await GetAsync("replies"))!.Body.Span));
        await Home.QueueDeleteAsync("replies");
        await UntilAsync(async () => !(await LocalBroker.ListTopicsAsync()).Any());
    }

    // Exclusive to the connection of the first gateway.
    private Task DeclareAsync(string queue, params (string Name, object? Value)[] arguments) =>
        Home.QueueDeclareAsync(queue, durable: false, exclusive: true, autoDelete: false,
            arguments.ToDictionary(static one => one.Name, static one => one.Value));

    // Over the second gateway.
    private Task PublishAsync(string queue, string body) => Other.BasicPublishAsync("", queue, mandatory: true, Bytes(body)).AsTask();

    // Past the second gateway's image.
    private async Task<PublishOutcome> SendAsync(QueueState queue, long version, QueueHome? home = null)
    {
        var gateway = QueueHomes.GatewayName + (home ?? QueueHome.Of(queue.Owner!)).Mark;
        var lane = new HomeLane(frame => Peers.AskAsync(1, gateway, frame), () => Peers.HasEnded("i1"), new BatchRoom(1 << 20),
            TimeProvider.System, static _ => { });
        return await lane.AddAsync(new HomePublish(new HomeTarget("/", queue.Name, queue.Id), version,
            new AmqpMessage("", queue.Name, ContentProperties.None, Bytes("m"), 1))).WaitAsync(Patience);
    }

    private async Task<BasicGetResult?> GetAsync(string queue)
    {
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await Home.BasicGetAsync(queue, autoAck: true)) is not null);
        return got;
    }
}
