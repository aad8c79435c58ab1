using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Gateways.Amqp.Queues;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>A queue that is neither durable nor exclusive is in the memory of the first gateway, and clients of the second one consume
/// it.</summary>
public sealed class RemoteReaderTests : TwoGateways
{
    private const string Queue = "work";

    [Fact]
    public async Task Messages_of_both_gateways_come_in_their_order_to_the_other_and_no_topic_is_created()
    {
        const int Count = 500;
        await DeclareAsync();
        var received = await ConsumeAsync(Other, Queue);
        for (var i = 0; i < Count; i++)
            await PublishAsync(i % 2 == 0 ? Home : Other, $"{i}");
        await UntilAsync(() => received.Count == Count);
        lock (received)
            Assert.Equal(Enumerable.Range(0, Count).Select(static i => $"{i}"), received);
        Assert.Empty(await LocalBroker.ListTopicsAsync());
        await UntilEmptyAsync();
    }

    [Fact]
    public async Task Queue_stays_when_its_declarers_connection_closes_and_is_deleted_with_its_last_consumer_elsewhere()
    {
        var declarer = await ChannelAsync(0);
        await declarer.QueueDeclareAsync(Queue, durable: false, exclusive: false, autoDelete: true);
        await PublishAsync(Other, "m");
        await Connections[^1].CloseAsync();
        var received = await ConsumeAsync(Other, Queue);
        await UntilAsync(() => received.Count == 1);
        Assert.Equal(Queue, (await Other.QueueDeclarePassiveAsync(Queue)).QueueName);
        var consumer = new AsyncEventingBasicConsumer(Home);
        var tag = await Home.BasicConsumeAsync(Queue, autoAck: true, consumer);
        await using (var again = await Connections[1].CreateChannelAsync())
            await again.CloseAsync();
        await Other.CloseAsync();
        Assert.NotNull(Hosts[0].Find("/")!.Topology.FindQueue(Queue));
        await Home.BasicCancelAsync(tag);
        await UntilAsync(() => Hosts[0].Find("/")!.Topology.FindQueue(Queue) is null);
    }

    [Fact]
    public async Task Rejected_and_unacknowledged_messages_return_to_their_places()
    {
        await DeclareAsync();
        for (var i = 0; i < 4; i++)
            await PublishAsync(Home, $"{i}");
        var first = (await Other.BasicGetAsync(Queue, autoAck: false))!;
        var second = (await Other.BasicGetAsync(Queue, autoAck: false))!;
        Assert.Equal(("0", "1", false), (Text(first.Body), Text(second.Body), second.Redelivered));
        Assert.Equal(2u, await Home.MessageCountAsync(Queue));
        await Other.BasicRejectAsync(first.DeliveryTag, requeue: true);
        await UntilAsync(async () => await Home.MessageCountAsync(Queue) == 3);
        var again = (await Home.BasicGetAsync(Queue, autoAck: true))!;
        Assert.Equal(("0", true), (Text(again.Body), again.Redelivered));
        // The channel closes with one that it has not acknowledged.
        await Other.CloseAsync();
        await UntilAsync(async () => await Home.MessageCountAsync(Queue) == 3);
        again = (await Home.BasicGetAsync(Queue, autoAck: true))!;
        Assert.Equal(("1", true), (Text(again.Body), again.Redelivered));
        Assert.False((await Home.BasicGetAsync(Queue, autoAck: true))!.Redelivered);
    }

    [Fact]
    public async Task Get_at_the_other_gateway_knows_that_the_queue_is_empty_and_that_it_is_deleted()
    {
        await DeclareAsync();
        Assert.Null(await Other.BasicGetAsync(Queue, autoAck: true));
        await PublishAsync(Home, "m");
        Assert.Equal("m", Text((await Other.BasicGetAsync(Queue, autoAck: true))!.Body));
        Assert.Null(await Other.BasicGetAsync(Queue, autoAck: true));
        await Home.QueueDeleteAsync(Queue);
        await UntilAsync(() => Hosts[1].Find("/")!.Topology.FindQueue(Queue) is null);
        var refused = await Assert.ThrowsAnyAsync<OperationInterruptedException>(() => Other.BasicGetAsync(Queue, autoAck: true));
        Assert.Equal(404, refused.ShutdownReason!.ReplyCode);
    }

    [Fact]
    public async Task Questions_and_answers_that_are_lost_or_come_twice_lose_no_message_and_bring_none_again_that_was_settled()
    {
        const int Count = 400;
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        await DeclareAsync();
        var settled = new ConcurrentDictionary<string, bool>();
        var faults = new ConcurrentQueue<string>();
        await Other.BasicQosAsync(0, 10, global: false);
        var consumer = new AsyncEventingBasicConsumer(Other);
        var last = new ConcurrentDictionary<string, int>();
        consumer.ReceivedAsync += async (_, delivery) =>
        {
            var body = Text(delivery.Body);
            if (last.AddOrUpdate(body, 1, static (_, times) => times + 1) > 1 && !delivery.Redelivered)
                faults.Enqueue($"{body} came again as if for the first time.");
            settled[body] = true;
            await Other.BasicAckAsync(delivery.DeliveryTag, multiple: false);
        };
        await Other.BasicConsumeAsync(Queue, autoAck: false, consumer);
        Peers.AskTwice = true;
        // Publishes of this gateway to its own queue ask nobody.
        Peers.Asking = gateway => !gateway.StartsWith(QueueHomes.ReadersName, StringComparison.Ordinal) || IsKept();
        Peers.Answering = () => Task.FromResult(IsKept());
        for (var i = 0; i < Count; i++)
            await PublishAsync(Home, $"{i}");
        await UntilAsync(() => settled.Count == Count);
        (Peers.Asking, Peers.Answering) = (static _ => true, static () => Task.FromResult(true));
        await UntilEmptyAsync();
        Assert.True(faults.IsEmpty, $"Seed {seed}: {string.Join(' ', faults)}");

        bool IsKept()
        {
            lock (random)
                return random.Next(5) > 0;
        }
    }

    [Fact]
    public async Task Messages_of_a_reader_whose_broker_has_ended_return()
    {
        await DeclareAsync();
        await PublishAsync(Home, "m");
        Assert.NotNull(await Other.BasicGetAsync(Queue, autoAck: false));
        Assert.Null(await Home.BasicGetAsync(Queue, autoAck: true));
        Peers.Ended["i2"] = true;
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await Home.BasicGetAsync(Queue, autoAck: true)) is not null);
        Assert.Equal(("m", true), (Text(got!.Body), got.Redelivered));
    }

    [Fact]
    public async Task Consumers_of_a_queue_whose_home_has_ended_or_that_is_deleted_are_cancelled()
    {
        foreach (var end in new Func<Task>[]
        {
            async () => await Home.QueueDeleteAsync(Queue),
            () =>
            {
                Peers.Ended["i1"] = true;
                return Task.CompletedTask;
            },
        })
        {
            await DeclareAsync();
            var cancelled = new TaskCompletionSource();
            var consumer = new AsyncEventingBasicConsumer(Other);
            consumer.UnregisteredAsync += (_, _) =>
            {
                cancelled.TrySetResult();
                return Task.CompletedTask;
            };
            await Other.BasicConsumeAsync(Queue, autoAck: true, consumer);
            await end();
            await cancelled.Task.WaitAsync(Patience);
        }
    }

    [Fact]
    public async Task Queue_whose_home_has_ended_is_declared_elsewhere_at_once()
    {
        await DeclareAsync();
        await PublishAsync(Home, "lost");
        var before = Hosts[1].Find("/")!.Topology.FindQueue(Queue)!;
        Peers.Ended["i1"] = true;
        Assert.Equal(0u, (await Other.QueueDeclareAsync(Queue, durable: false, exclusive: false, autoDelete: false)).MessageCount);
        var after = Hosts[1].Find("/")!.Topology.FindQueue(Queue)!;
        Assert.NotEqual(before.Id, after.Id);
        Assert.Equal("i2", QueueHome.Of(after.Keeper!).Incarnation);
        await PublishAsync(Other, "m");
        Assert.Equal("m", Text((await Other.BasicGetAsync(Queue, autoAck: true))!.Body));
    }

    [Fact]
    public async Task Queue_whose_home_has_ended_is_deleted()
    {
        await DeclareAsync();
        Peers.Ended["i1"] = true;
        Assert.Equal(0u, await Other.QueueDeleteAsync(Queue));
        Assert.Null(Hosts[1].Find("/")!.Topology.FindQueue(Queue));
    }

    [Fact]
    public async Task Messages_of_a_cancelled_consumer_whose_answer_was_lost_return()
    {
        await DeclareAsync();
        var received = new TaskCompletionSource<ulong>();
        var consumer = new AsyncEventingBasicConsumer(Other);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            received.TrySetResult(delivery.DeliveryTag);
            return Task.CompletedTask;
        };
        var tag = await Other.BasicConsumeAsync(Queue, autoAck: false, consumer);
        await PublishAsync(Home, "0");
        var first = await received.Task.WaitAsync(Patience);
        Peers.Answering = static () => Task.FromResult(false);
        await PublishAsync(Home, "1");
        await Other.BasicCancelAsync(tag);
        Peers.Answering = static () => Task.FromResult(true);
        // Before the consumer's delivery is settled. That comes, too, where the consumer had given its reader up before it was cancelled.
        await UntilAsync(async () => await Home.BasicGetAsync(Queue, autoAck: true) is { } got && Text(got.Body) == "1");
        await Other.BasicAckAsync(first, multiple: false);
        await UntilEmptyAsync();
    }

    [Fact]
    public async Task Single_active_consumer_gives_its_turn_to_one_at_another_gateway()
    {
        await DeclareAsync(("x-single-active-consumer", true));
        await Other.BasicQosAsync(0, 1, global: false);
        var first = new AsyncEventingBasicConsumer(Other);
        var held = new TaskCompletionSource<ulong>();
        first.ReceivedAsync += (_, delivery) =>
        {
            held.TrySetResult(delivery.DeliveryTag);
            return Task.CompletedTask;
        };
        var tag = await Other.BasicConsumeAsync(Queue, autoAck: false, first);
        await PublishAsync(Home, "0");
        var unsettled = await held.Task.WaitAsync(Patience);
        var received = await ConsumeAsync(Home, Queue);
        await PublishAsync(Home, "1");
        await Task.Delay(TimeSpan.FromMilliseconds(100));
        Assert.Empty(received);
        // It keeps what it has not acknowledged.
        await Other.BasicCancelAsync(tag);
        await UntilAsync(() => received.Count == 1);
        await Other.BasicAckAsync(unsettled, multiple: false);
        await UntilEmptyAsync();
        Assert.Equal(["1"], received);
    }

    [Fact]
    public async Task Cancelled_consumer_that_is_attached_anew_without_knowing_it_does_not_keep_the_turn()
    {
        await DeclareAsync(("x-single-active-consumer", true));
        await Other.BasicQosAsync(0, 2, global: false);
        var consumer = new AsyncEventingBasicConsumer(Other);
        var held = new TaskCompletionSource();
        consumer.ReceivedAsync += (_, _) =>
        {
            held.TrySetResult();
            return Task.CompletedTask;
        };
        var tag = await Other.BasicConsumeAsync(Queue, autoAck: false, consumer);
        await PublishAsync(Home, "0");
        await held.Task.WaitAsync(Patience);
        var (attached, ended) = (new TaskCompletionSource<long>(), new TaskCompletionSource());
        Peers.Arrived = (_, question) =>
        {
            if (question.Span[0] == ReaderFrames.AttachKind)
                attached.TrySetResult(ReaderFrames.ReadReader(question));
            else if (question.Span[0] == ReaderFrames.EndKind && attached.Task.IsCompleted
                && ReaderFrames.ReadReader(question) == attached.Task.Result)
                ended.TrySetResult();
        };
        // No answer comes: the session is given up, and another one is attached.
        Peers.Answering = static () => Task.FromResult(false);
        await PublishAsync(Home, "1");
        await attached.Task.WaitAsync(Patience);
        var cancelling = Other.BasicCancelAsync(tag);
        await ended.Task.WaitAsync(Patience);
        Peers.Answering = static () => Task.FromResult(true);
        await cancelling.WaitAsync(Patience);
        var received = await ConsumeAsync(Home, Queue);
        await UntilAsync(() => received.Count == 2);
        Assert.Equal(["0", "1"], received);
    }

    [Fact]
    public async Task Consumer_with_a_higher_priority_receives_first_wherever_it_is()
    {
        await DeclareAsync();
        var low = await ConsumeAsync(Home, Queue);
        var high = new List<string>();
        var consumer = new AsyncEventingBasicConsumer(Other);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            lock (high)
                high.Add(Text(delivery.Body));
            return Task.CompletedTask;
        };
        await Other.BasicQosAsync(0, 1, global: false);
        await Other.BasicConsumeAsync(Queue, autoAck: false, "", noLocal: false, exclusive: false, new Dictionary<string, object?>
        {
            ["x-priority"] = 10,
        }, consumer);
        // It waits for messages only when its question has come.
        await Task.Delay(TimeSpan.FromMilliseconds(300));
        await PublishAsync(Home, "0");
        await UntilAsync(() => high.Count == 1);
        // It has no credit.
        await PublishAsync(Home, "1");
        await UntilAsync(() => low.Count == 1);
        Assert.Equal(["0"], high);
        Assert.Equal(["1"], low);
    }

    [Fact]
    public async Task Rejected_message_becomes_a_dead_letter_of_the_other_gateway()
    {
        await DeclareAsync(("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead"));
        await Other.QueueDeclareAsync("dead", durable: false, exclusive: false, autoDelete: false);
        await PublishAsync(Home, "m");
        await Other.BasicRejectAsync((await Other.BasicGetAsync(Queue, autoAck: false))!.DeliveryTag, requeue: false);
        BasicGetResult? letter = null;
        await UntilAsync(async () => (letter = await Home.BasicGetAsync("dead", autoAck: true)) is not null);
        Assert.Equal("m", Text(letter!.Body));
        Assert.True(letter.BasicProperties.Headers!.ContainsKey("x-death"));
        await UntilEmptyAsync();
    }

    [Fact]
    public async Task Answers_have_few_large_messages()
    {
        const int Count = 12;
        const int Bytes = 200_000;
        await DeclareAsync();
        for (var i = 0; i < Count; i++)
            await Home.BasicPublishAsync("", Queue, mandatory: true, new byte[Bytes]);
        var received = await ConsumeAsync(Other, Queue);
        await UntilAsync(() => received.Count == Count);
        Assert.All(received, static body => Assert.Equal(Bytes, body.Length));
        Assert.InRange(Peers.LargestAnswer, Bytes, HomeLane.MaxBytes);
        await UntilEmptyAsync();
    }

    [Fact]
    public async Task Reader_that_has_ended_is_not_attached_by_a_question_that_comes_late()
    {
        await DeclareAsync(("x-single-active-consumer", true));
        var image = Hosts[1].Find("/")!;
        var queue = image.Topology.FindQueue(Queue)!;
        var home = QueueHome.Of(queue.Keeper!);
        var attach = ReaderFrames.Attach(7, new ReaderOrigin(new HomeTarget("/", Queue, queue.Id), image.Version, 0, "i2"));
        Assert.Equal([1, 1], await AskAsync(attach));
        Assert.Equal([1, 1], await AskAsync(attach));
        Assert.Equal([1], await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, 7)));
        Assert.Equal([2], await AskAsync(attach));
        Assert.Equal([2], await AskAsync(ReaderFrames.Settle(7, [])));
        Assert.Equal([2], await AskAsync(ReaderFrames.Receive(7, 1, 1, TimeSpan.Zero)));
        // It would have the turn.
        await PublishAsync(Home, "m");
        Assert.Equal("m", Text((await Home.BasicGetAsync(Queue, autoAck: true))!.Body));
        Assert.Equal([0], await AskAsync(ReaderFrames.Attach(8, new ReaderOrigin(new HomeTarget("/", "none", queue.Id), image.Version, 0,
            "i2"))));

        async Task<byte[]> AskAsync(ReadOnlyMemory<byte> question) =>
            (await Peers.AskAsync(1, QueueHomes.ReadersName + home.Mark, question))!.Value.ToArray();
    }

    private static string Text(ReadOnlyMemory<byte> body) => Encoding.UTF8.GetString(body.Span);

    // Over the first gateway.
    private Task DeclareAsync(params (string Name, object? Value)[] arguments) => Home.QueueDeclareAsync(Queue, durable: false,
        exclusive: false, autoDelete: false, arguments.ToDictionary(static one => one.Name, static one => one.Value));

    private static Task PublishAsync(IChannel channel, string body) =>
        channel.BasicPublishAsync("", Queue, mandatory: true, Bytes(body)).AsTask().WaitAsync(Patience);

    // No message is ready or held.
    private async Task UntilEmptyAsync()
    {
        var queue = Hosts[1].Find("/")!.Topology.FindQueue(Queue)!;
        var registry = await Gateways[1].OpenQueuesAsync();
        await UntilAsync(async () => await registry.CountAsync("/", queue) is { Ready: 0, Held: 0 });
    }
}
