using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Queues that the broker has not opened since it started, and queues that nothing consumes.</summary>
public sealed class ClosedQueueTests : ClientTest
{
    [Fact]
    public async Task Deletion_of_a_queue_that_is_not_open_returns_how_many_messages_it_had()
    {
        await FillAsync();
        Assert.Equal(3u, await Channel.QueueDeleteAsync("q", false, false));
        Assert.Empty(await Gateway.Broker.ListTopicsAsync());
    }

    [Fact]
    public async Task Deletion_if_empty_of_a_queue_that_is_not_open_is_refused()
    {
        await FillAsync();
        await RefusedAsync(406, "queue 'q' in vhost '/' not empty", static channel => channel.QueueDeleteAsync("q", false, ifEmpty: true));
        Assert.Equal("0", (await GetAsync("q")).Body);
    }

    [Fact]
    public async Task Letters_behind_one_that_is_routed_to_no_queue_are_published()
    {
        await Channel.ExchangeDeclareAsync("dead", "direct", durable: true);
        await DeclareAsync("letters", "classic");
        await Channel.QueueBindAsync("letters", "dead", "there");
        await Channel.ExchangeDeclareAsync("in", "fanout", durable: true);
        await DeclareAsync("q", "quorum", ("x-overflow", "reject-publish"), ("x-dead-letter-strategy", "at-least-once"),
            ("x-dead-letter-exchange", "dead"), ("x-message-ttl", 100));
        await Channel.QueueBindAsync("q", "in", "");
        await Channel.BasicPublishAsync("in", "nowhere", true, Persistent, "stuck"u8.ToArray());
        await Channel.BasicPublishAsync("in", "there", true, Persistent, "first"u8.ToArray());
        await Channel.BasicPublishAsync("in", "there", true, Persistent, "second"u8.ToArray());
        string[] letters = [(await GetAsync("letters")).Body, (await GetAsync("letters")).Body];
        Assert.Equal(["first", "second"], letters.Order(StringComparer.Ordinal));
    }

    private async Task FillAsync()
    {
        await DeclareAsync("q", "classic");
        for (var i = 0; i < 3; i++)
            await PublishAsync("q", $"{i}");
        await RestartAsync();
    }
}
