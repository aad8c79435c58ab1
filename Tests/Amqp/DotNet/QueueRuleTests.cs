using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>What queues do with messages that come back, are too many, or are held for too long, with RabbitMQ's client.</summary>
public sealed class QueueRuleTests : ClientTest
{
    [Theory]
    [InlineData("failed", true)]
    [InlineData("failed", false)]
    [InlineData("returned", true)]
    [InlineData("returned", false)]
    [InlineData("all", true)]
    [InlineData("all", false)]
    public async Task Message_that_comes_back_waits_where_the_queue_delays_such_returns(string type, bool isFailure)
    {
        await DeclareAsync("q", "quorum", ("x-delayed-retry-type", type), ("x-delayed-retry-min", 300), ("x-delayed-retry-max", 500));
        await PublishAsync("q", "m");
        var received = await StartAsync(Channel, "q", 1);
        var isDelayed = type == "all" || isFailure == (type == "failed");
        var one = await NextAsync(received);
        // The second failure would wait 600 milliseconds without the limit.
        foreach (var least in new[] { 300, isFailure ? 500 : 300 })
        {
            var returned = DateTimeOffset.UtcNow;
            if (isFailure)
                await Channel.BasicRejectAsync(one.Tag, requeue: true);
            else
                await Channel.BasicNackAsync(one.Tag, multiple: false, requeue: true);
            one = await NextAsync(received);
            Assert.Equal(("m", true), (one.Body, one.IsRedelivered));
            // The clocks are rounded.
            Assert.True(!isDelayed || one.At - returned >= TimeSpan.FromMilliseconds(least - 20), $"It came after {one.At - returned}.");
        }
        Assert.Equal(isFailure ? 2L : null, one.Headers.TryGetValue("x-delivery-count", out var count) ? count : null);
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    public async Task Consumer_that_holds_a_message_for_too_long_is_cancelled_and_the_message_returns(string type)
    {
        await DeclareAsync("q", type, ("x-consumer-timeout", 300));
        await PublishAsync("q", "m");
        await using var channel = await Connection.CreateChannelAsync();
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var received = new TaskCompletionSource<ulong>(TaskCreationOptions.RunContinuationsAsynchronously);
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.UnregisteredAsync += (_, _) => Task.FromResult(cancelled.TrySetResult());
        consumer.ReceivedAsync += (_, one) => Task.FromResult(received.TrySetResult(one.DeliveryTag));
        await channel.BasicConsumeAsync("q", false, consumer);
        var tag = await received.Task.WaitAsync(Patience);
        await cancelled.Task.WaitAsync(Patience);
        var again = await GetAsync("q");
        Assert.True(again.IsRedelivered);
        Assert.False(again.Headers.ContainsKey("x-delivery-count"));
        // A late settlement does nothing, and closes nothing.
        await channel.BasicAckAsync(tag, multiple: false);
        await UntilAsync(async () => (await channel.QueueDeclarePassiveAsync("q")).ConsumerCount == 0);
    }

    [Theory]
    [InlineData("multiple")]
    [InlineData("each")]
    [InlineData("transaction")]
    [InlineData("limit")]
    [InlineData("close")]
    public async Task Messages_that_a_client_holds_are_dead_letters_as_they_were_and_in_their_order(string how)
    {
        const int Count = 40;
        await DeclareLettersAsync();
        await DeclareAsync("q", "quorum", ("x-delivery-limit", 0), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", "letters"));
        // Together, so that a batch has several.
        await Task.WhenAll(Enumerable.Range(0, Count).Select(number => Channel.BasicPublishAsync("", "q", true,
            new BasicProperties { Persistent = true, Headers = new Dictionary<string, object?> { ["n"] = number } },
            Encoding.UTF8.GetBytes(Large(number))).AsTask()));
        await using var channel = await Connection.CreateChannelAsync();
        if (how == "transaction")
            await channel.TxSelectAsync();
        var received = await StartAsync(channel, "q", 0);
        var tags = new List<ulong>();
        for (var number = 0; number < Count; number++)
            tags.Add((await NextAsync(received)).Tag);

        if (how is "multiple" or "close")
            await channel.BasicNackAsync(tags[^1], multiple: true, requeue: false);
        else
        {
            foreach (var tag in tags)
                await channel.BasicRejectAsync(tag, requeue: how == "limit");
        }
        if (how == "transaction")
            await channel.TxCommitAsync();
        // None of them comes back, and none is a dead letter twice.
        if (how == "close")
            await channel.CloseAsync();

        for (var number = 0; number < Count; number++)
        {
            var letter = await GetAsync("letters");
            Assert.Equal((Large(number), number), (letter.Body, (int)letter.Headers["n"]!));
            Assert.Contains("x-death", letter.Headers.Keys);
        }
        foreach (var queue in (string[])["q", "letters"])
            Assert.Equal(0u, (await Channel.QueueDeclarePassiveAsync(queue)).MessageCount);

        static string Large(int number) => $"{number}".PadRight(100_000, '.');
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    public async Task Messages_above_the_length_are_dead_letters_before_the_confirm(string type)
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", type, ("x-max-length", 3), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters"));
        for (var i = 0; i < 20; i++)
        {
            await PublishAsync("q", $"{i}");
            Assert.Equal((uint)Math.Min(i + 1, 3), (await Channel.QueueDeclarePassiveAsync("q")).MessageCount);
        }
        for (var i = 0; i < 17; i++)
        {
            var letter = await GetAsync("letters");
            Assert.Equal(($"{i}", "maxlen"), (letter.Body, ReasonOf(letter)));
        }
        await Task.WhenAll(Enumerable.Range(20, 100).Select(i => PublishAsync("q", $"{i}").AsTask()));
        Assert.Equal(3u, (await Channel.QueueDeclarePassiveAsync("q")).MessageCount);
        Assert.Equal(["117", "118", "119"], [(await GetAsync("q")).Body, (await GetAsync("q")).Body, (await GetAsync("q")).Body]);
        Assert.Equal(100u, (await Channel.QueueDeclarePassiveAsync("letters")).MessageCount);
    }

    [Fact]
    public async Task Queues_that_dead_letter_to_each_other_trim_without_waiting_for_each_other()
    {
        await DeclareAsync("a", "quorum", ("x-max-length", 1), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "b"));
        await DeclareAsync("b", "quorum", ("x-max-length", 1), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "a"));
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => PublishAsync(i % 2 == 0 ? "a" : "b", $"{i}").AsTask())).WaitAsync(Patience);
        foreach (var name in new[] { "a", "b" })
            await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync(name)).MessageCount == 1);
    }

    [Fact]
    public async Task Refused_message_is_a_dead_letter_where_the_overflow_says_so()
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", "classic", ("x-max-length", 1), ("x-overflow", "reject-publish-dlx"), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", "letters"));
        await PublishAsync("q", "1");
        // The queue may take some more before it knows that it is full.
        var (number, refused) = (1, default(PublishException));
        await UntilAsync(async () =>
        {
            number++;
            try
            {
                await PublishAsync("q", $"{number}");
            }
            catch (PublishException refusal)
            {
                refused = refusal;
            }
            return refused is not null;
        });
        Assert.False(refused!.IsReturn);
        var letter = await GetAsync("letters");
        Assert.Equal(($"{number}", "maxlen"), (letter.Body, ReasonOf(letter)));
        Assert.Equal("1", (await GetAsync("q")).Body);
    }

    [Fact]
    public async Task Message_above_the_delivery_limit_is_a_dead_letter_when_its_channel_ends()
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", "quorum", ("x-delivery-limit", 0), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", "letters"));
        await PublishAsync("q", "m");
        var channel = await Connection.CreateChannelAsync();
        Assert.NotNull(await channel.BasicGetAsync("q", autoAck: false));
        await channel.DisposeAsync();
        // Nothing consumes the queue.
        Assert.Equal("delivery_limit", ReasonOf(await GetAsync("letters")));
        Assert.Equal(0u, (await Channel.QueueDeclarePassiveAsync("q")).MessageCount);
    }

    [Fact]
    public async Task Deaths_that_a_client_publishes_are_not_read()
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", "quorum", ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters"));
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties
        {
            Headers = new Dictionary<string, object?>
            {
                ["x-death"] = new List<object?>
                {
                    new Dictionary<string, object?> { ["queue"] = "letters", ["reason"] = "expired", ["count"] = 7L },
                    new Dictionary<string, object?> { ["queue"] = "q", ["reason"] = "expired", ["count"] = 7L },
                },
                ["x-first-death-queue"] = "made up",
            },
        }, "m"u8.ToArray());
        await Channel.BasicRejectAsync((await Channel.BasicGetAsync("q", autoAck: false))!.DeliveryTag, requeue: false);
        var letter = await GetAsync("letters");
        var death = (IDictionary<string, object?>)Assert.Single((List<object?>)letter.Headers["x-death"]!)!;
        Assert.Equal(("q", "rejected", 1L, "q"), (Text(death["queue"]), Text(death["reason"]), death["count"],
            Text(letter.Headers["x-first-death-queue"])));
    }

    [Fact]
    public async Task Queue_with_a_single_active_consumer_dead_letters_what_expires_and_serves_its_consumer()
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", "quorum", ("x-single-active-consumer", true), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-routing-key", "letters"));
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties { Expiration = "50" }, "expires"u8.ToArray());
        Assert.Equal("expires", (await GetAsync("letters")).Body);
        var received = await StartAsync(Channel, "q", 10);
        await PublishAsync("q", "served");
        Assert.Equal("served", (await NextAsync(received)).Body);
    }

    [Fact]
    public async Task Queue_in_memory_is_not_made_again_by_a_publisher_that_has_not_heard_of_its_deletion()
    {
        await Channel.QueueDeclareAsync("q", durable: false, exclusive: false, autoDelete: false);
        var registry = await Gateway.Gateway.OpenQueuesAsync();
        var state = registry.Hosts.Find("/")!.Topology.FindQueue("q")!;
        await Channel.QueueDeleteAsync("q");
        // A deletion may still be looking for the queue's messages.
        await registry.EndAsync("/", state);
        var message = new AmqpMessage("", "q", ContentProperties.None, "late"u8.ToArray(), 0);
        Assert.Equal(PublishOutcome.Gone, await registry.PublishAsync("/", state, message));
        // A command gives its memory back after its answer. What a queue kept would stay.
        await UntilAsync(() => Task.FromResult(Gateway.Gateway.Memory.Used == 0));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition,
            (await Assert.ThrowsAsync<BrokerException>(() => registry.OpenAsync("/", state))).Code);
    }

    [Fact]
    public async Task Copies_of_an_answer_go_to_queues_and_blind_ones_do_not_show()
    {
        await Channel.QueueDeclareAsync("questions", false, false, false);
        foreach (var queue in new[] { "copies", "blind" })
            await Channel.QueueDeclareAsync(queue, false, false, false);
        var answers = new BlockingCollection<Received>();
        var consumer = new AsyncEventingBasicConsumer(Channel);
        consumer.ReceivedAsync += (_, answer) =>
        {
            answers.Add(new Received(answer));
            return Task.CompletedTask;
        };
        await Channel.BasicConsumeAsync("amq.rabbitmq.reply-to", autoAck: true, consumer);
        await Channel.BasicPublishAsync("", "questions", true, new BasicProperties { ReplyTo = "amq.rabbitmq.reply-to" }, "?"u8.ToArray());
        var question = await GetAsync("questions");
        await Channel.BasicPublishAsync("", question.Properties.ReplyTo!, true, new BasicProperties
        {
            Headers = new Dictionary<string, object?>
            {
                ["CC"] = new List<object?> { "copies" },
                ["BCC"] = new List<object?> { "blind" },
            },
        }, "answer"u8.ToArray());
        foreach (var one in new[] { await NextAsync(answers), await GetAsync("copies"), await GetAsync("blind") })
        {
            Assert.Equal("answer", one.Body);
            Assert.Contains("CC", one.Headers.Keys);
            Assert.DoesNotContain("BCC", one.Headers.Keys);
        }
        // An answer with no copies is not returned for want of a queue.
        await Channel.BasicPublishAsync("", question.Properties.ReplyTo!, true, Persistent, "alone"u8.ToArray());
        Assert.Equal("alone", (await NextAsync(answers)).Body);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Get_keeps_no_single_active_consumer_waiting_and_takes_beside_it(bool isDurable)
    {
        await Channel.QueueDeclareAsync("q", isDurable, false, false,
            new Dictionary<string, object?> { ["x-single-active-consumer"] = true });
        // This channel stays.
        await using var getting = await Connection.CreateChannelAsync();
        Assert.Null(await getting.BasicGetAsync("q", autoAck: false));
        var received = await StartAsync(Channel, "q", prefetch: 1);
        await PublishAsync("q", "first");
        Assert.Equal("first", (await NextAsync(received)).Body);
        await PublishAsync("q", "second");
        Assert.Equal("second", new Received((await getting.BasicGetAsync("q", autoAck: false))!).Body);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Single_active_consumer_that_is_cancelled_keeps_its_messages_and_the_next_one_is_active(bool isDurable)
    {
        await Channel.QueueDeclareAsync("q", isDurable, false, false,
            new Dictionary<string, object?> { ["x-single-active-consumer"] = true });
        await Channel.BasicQosAsync(0, 2, false);
        var received = new BlockingCollection<BasicDeliverEventArgs>();
        var first = new AsyncEventingBasicConsumer(Channel);
        first.ReceivedAsync += (_, delivery) =>
        {
            received.Add(delivery);
            return Task.CompletedTask;
        };
        var tag = await Channel.BasicConsumeAsync("q", autoAck: false, first);
        await PublishAsync("q", "kept");
        await PublishAsync("q", "given back");
        await UntilAsync(() => Task.FromResult(received.Count == 2));
        await using var other = await Connection.CreateChannelAsync();
        var next = await StartAsync(other, "q", prefetch: 10);
        await Channel.BasicCancelAsync(tag);
        await PublishAsync("q", "later");
        Assert.Equal("later", (await NextAsync(next)).Body);
        await Channel.BasicNackAsync(2, multiple: false, requeue: true);
        Assert.Equal("given back", (await NextAsync(next)).Body);
        await Channel.BasicAckAsync(1, multiple: false);
        await PublishAsync("q", "last");
        Assert.Equal("last", (await NextAsync(next)).Body);
        Assert.Equal(2, received.Count);
    }

    [Fact]
    public async Task Length_and_time_to_live_hold_beside_a_single_active_consumer()
    {
        await DeclareLettersAsync();
        await DeclareAsync("q", "quorum", ("x-single-active-consumer", true), ("x-max-length", 2), ("x-message-ttl", 1000),
            ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters"));
        var received = await StartAsync(Channel, "q", prefetch: 1);
        await PublishAsync("q", "held");
        Assert.Equal("held", (await NextAsync(received)).Body);
        for (var i = 0; i < 5; i++)
            await PublishAsync("q", $"{i}");
        for (var i = 0; i < 5; i++)
        {
            var letter = await GetAsync("letters");
            Assert.Equal(($"{i}", i < 3 ? "maxlen" : "expired"), (letter.Body, ReasonOf(letter)));
        }
        Assert.Equal(0u, await Channel.MessageCountAsync("q"));
    }

    [Fact]
    public async Task Connections_are_closed_whose_virtual_host_or_user_is_deleted()
    {
        var hosts = await Gateway.Broker.OpenVirtualHostsAsync();
        await hosts.AdministerAsync(new VirtualHosts.PutVirtualHost("other", "guest"));
        await using var other = await ConnectAsync(host: "other");
        await using var channel = await other.CreateChannelAsync();
        var (ended, user) = (ClosedAsync(other), ClosedAsync(Connection));
        // Another virtual host of the same name.
        await hosts.AdministerAsync(new VirtualHosts.DeleteVirtualHost("other"));
        await hosts.AdministerAsync(new VirtualHosts.PutVirtualHost("other", "guest"));
        Assert.Equal((320, "CONNECTION_FORCED - vhost 'other' was deleted"), await ended.WaitAsync(Patience));
        await DeclareAsync("q", "quorum");
        await StartAsync(Channel, "q");
        await hosts.AdministerAsync(new VirtualHosts.DeleteUser("guest"));
        Assert.Equal((320, "CONNECTION_FORCED - user 'guest' was deleted"), await user.WaitAsync(Patience));
    }

    private static Task<(ushort, string)> ClosedAsync(IConnection connection)
    {
        var closed = new TaskCompletionSource<(ushort, string)>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, reason) =>
        {
            closed.TrySetResult((reason.ReplyCode, reason.ReplyText));
            return Task.CompletedTask;
        };
        return closed.Task;
    }

    private Task DeclareLettersAsync() => DeclareAsync("letters", "quorum");

    private static string ReasonOf(Received letter) =>
        Text(((IDictionary<string, object?>)((List<object?>)letter.Headers["x-death"]!)[0]!)["reason"]);
}
