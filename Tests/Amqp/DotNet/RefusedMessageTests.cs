using System.Text;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Dead letters and delayed messages whose queue is full, or can never hold them, with RabbitMQ's client.</summary>
public sealed class RefusedMessageTests : ClientTest
{
    private static readonly (string, object?)[] AtLeastOnce = [("x-overflow", "reject-publish"),
        ("x-dead-letter-strategy", "at-least-once"), ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters")];

    [Fact]
    public async Task Rejected_message_comes_back_where_its_letters_queue_is_full_and_its_letter_comes_later()
    {
        await DeclareFullAsync("letters");
        await DeclareAsync("q", "quorum", AtLeastOnce);
        await PublishAsync("q", "m");
        var rejected = DateTimeOffset.UtcNow;
        await Channel.BasicRejectAsync((await Channel.BasicGetAsync("q", autoAck: false))!.DeliveryTag, requeue: false);
        // Not at once: a consumer would reject it again without end.
        BasicGetResult? back = null;
        await UntilAsync(async () => (back = await Channel.BasicGetAsync("q", autoAck: false)) is not null);
        Assert.True(DateTimeOffset.UtcNow - rejected >= TimeSpan.FromMilliseconds(900));
        Assert.Equal(("m", true), (Encoding.UTF8.GetString(back!.Body.Span), back.Redelivered));
        await Channel.BasicRejectAsync(back.DeliveryTag, requeue: false);
        await Channel.QueuePurgeAsync("letters");
        // The queue may refuse some more before it knows that it has room.
        await UntilAsync(async () =>
        {
            if (await Channel.BasicGetAsync("q", autoAck: false) is { } again)
                await Channel.BasicRejectAsync(again.DeliveryTag, requeue: false);
            return (await Channel.QueueDeclarePassiveAsync("letters")).MessageCount == 1;
        });
        Assert.Equal("m", (await GetAsync("letters")).Body);
        Assert.Equal(0u, (await Channel.QueueDeclarePassiveAsync("q")).MessageCount);
    }

    [Fact]
    public async Task Expired_message_stays_until_its_letters_queue_has_room_and_others_are_served()
    {
        await DeclareFullAsync("letters");
        await DeclareAsync("q", "quorum", AtLeastOnce);
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties { Persistent = true, Expiration = "1" }, "m"u8.ToArray());
        await UntilAsync(() => Task.FromResult(Gateway.Log.Lines.Any(static line =>
            line.Contains("Dead letters of queue 'q' wait", StringComparison.Ordinal))));
        await PublishAsync("q", "served");
        Assert.Equal("served", (await GetAsync("q")).Body);
        Assert.Equal(1u, (await Channel.QueueDeclarePassiveAsync("q")).MessageCount);
        await Channel.QueuePurgeAsync("letters");
        Assert.Equal("m", (await GetAsync("letters")).Body);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Message_stays_until_its_letter_is_routed_to_a_queue(bool hasExchange)
    {
        if (hasExchange)
            await Channel.ExchangeDeclareAsync("dead", "topic", durable: true);
        await DeclareAsync("q", "quorum", [("x-dead-letter-exchange", "dead"), .. AtLeastOnce.Where(static argument =>
            argument.Item1 != "x-dead-letter-exchange")]);
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties { Persistent = true, Expiration = "1" }, "m"u8.ToArray());
        await UntilAsync(() => Task.FromResult(Gateway.Log.Lines.Any(static line =>
            line.Contains("Dead letters of queue 'q' wait", StringComparison.Ordinal))));
        // The attempt gives it back.
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("q")).MessageCount == 1);
        await Channel.ExchangeDeclareAsync("dead", "topic", durable: true);
        await DeclareAsync("letters", "quorum");
        await Channel.QueueBindAsync("letters", "dead", "letters");
        Assert.Equal("m", (await GetAsync("letters")).Body);
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("q")).MessageCount == 0);
    }

    [Fact]
    public async Task Letter_that_goes_in_a_circle_is_dropped_also_where_it_is_published_at_least_once()
    {
        await DeclareAsync("q", "quorum", [("x-dead-letter-routing-key", "q"), .. AtLeastOnce.Where(static argument =>
            argument.Item1 != "x-dead-letter-routing-key")]);
        await Channel.BasicPublishAsync("", "q", true, new BasicProperties { Persistent = true, Expiration = "1" }, "m"u8.ToArray());
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("q")).MessageCount == 0);
    }

    [Fact]
    public async Task Letter_that_is_published_at_most_once_is_lost_where_its_queue_is_full()
    {
        await DeclareFullAsync("letters");
        await DeclareAsync("q", "quorum", ("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters"));
        await PublishAsync("q", "m");
        await Channel.BasicRejectAsync((await Channel.BasicGetAsync("q", autoAck: false))!.DeliveryTag, requeue: false);
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("q")).MessageCount == 0);
    }

    [Fact]
    public async Task Letter_that_its_queue_can_never_hold_is_dropped_and_logged()
    {
        await DeclareAsync("letters", "quorum", ("x-max-length-bytes", 3), ("x-overflow", "reject-publish"));
        await DeclareAsync("q", "quorum", AtLeastOnce);
        await PublishAsync("q", "large");
        await Channel.BasicRejectAsync((await Channel.BasicGetAsync("q", autoAck: false))!.DeliveryTag, requeue: false);
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("q")).MessageCount == 0);
        Assert.Contains(Gateway.Log.Lines, static line => line.StartsWith("Warning: Queue 'letters' can never hold a message of 5 bytes",
            StringComparison.Ordinal));
    }

    [Fact]
    public async Task Delayed_message_waits_for_room_in_a_full_queue_and_comes_once_to_the_others()
    {
        await Channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "fanout" });
        await DeclareFullAsync("q");
        await DeclareAsync("other", "quorum");
        foreach (var name in new[] { "q", "other" })
            await Channel.QueueBindAsync(name, "delayed", "");
        await Channel.BasicPublishAsync("delayed", "", true, new BasicProperties
        {
            Persistent = true,
            Headers = new Dictionary<string, object?> { ["x-delay"] = 1 },
        }, "late"u8.ToArray());
        // Then it was due, and one queue has refused it.
        Assert.Equal("late", (await GetAsync("other")).Body);
        await Channel.QueuePurgeAsync("q");
        Assert.Equal("late", (await GetAsync("q")).Body);
        Assert.Equal(0u, (await Channel.QueueDeclarePassiveAsync("other")).MessageCount);
    }

    // A queue of one message may take some more before it knows that it is full.
    private async Task DeclareFullAsync(string name)
    {
        await DeclareAsync(name, "quorum", ("x-max-length", 1), ("x-overflow", "reject-publish"));
        var isFull = false;
        await UntilAsync(async () =>
        {
            try
            {
                await PublishAsync(name, "filler");
            }
            catch (PublishException)
            {
                isFull = true;
            }
            return isFull;
        });
    }
}
