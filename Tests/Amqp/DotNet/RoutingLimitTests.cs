using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Messages whose routing would keep the broker busy, with RabbitMQ's client.</summary>
public sealed class RoutingLimitTests : ClientTest
{
    [Theory]
    [InlineData("CC")]
    [InlineData("BCC")]
    public async Task Keys_of_headers_are_as_short_as_routing_keys_and_few(string header)
    {
        await RefusedAsync(406, "has 256 bytes, at most 255 are allowed", channel => PublishAsync(channel, header, new string('k', 256)));
        await RefusedAsync(406, "1001 routing keys", channel => PublishAsync(channel, header,
            [.. Enumerable.Repeat("k", 1_000).Cast<object?>()]));
        await PublishAsync(Channel, header, new string('k', 255));
        await PublishAsync(Channel, header, [.. Enumerable.Repeat("k", 999).Cast<object?>()]);
    }

    [Fact]
    public async Task Message_that_takes_too_many_steps_is_refused_and_a_transaction_keeps_its_deliveries()
    {
        await Channel.QueueDeclareAsync("q", durable: false, exclusive: false, autoDelete: false);
        await BindAsync("amq.topic");
        var many = ManyKeys;
        await PublishAsync("q", "m");
        await using var over = await ConnectAsync();
        await RefusedAsync(406, "takes more than 1000000 steps", async channel =>
        {
            await channel.TxSelectAsync();
            await channel.BasicAckAsync((await channel.BasicGetAsync("q", autoAck: false))!.DeliveryTag, multiple: false);
            await PublishAsync(channel, "CC", many);
            await channel.TxCommitAsync();
        }, over);
        Assert.Equal("m", (await GetAsync("q")).Body);
    }

    [Fact]
    public async Task Delayed_message_that_takes_too_many_steps_is_refused()
    {
        await DeclareDelayedAsync();
        await RefusedAsync(406, "takes more than 1000000 steps", static async channel =>
        {
            await channel.BasicPublishAsync("delayed", "z", mandatory: false, Copied(delay: 100_000), ReadOnlyMemory<byte>.Empty);
            await channel.QueueDeclarePassiveAsync("q");
        });
        await Channel.BasicPublishAsync("delayed", "a", mandatory: false, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["x-delay"] = 10 },
        }, "m"u8.ToArray());
    }

    [Fact]
    public async Task Due_message_that_takes_too_many_steps_waits_and_comes_when_it_takes_fewer()
    {
        var registry = await Gateway.Gateway.OpenQueuesAsync();
        await DeclareDelayedAsync();
        var message = new AmqpMessage("delayed", "z", ContentProperties.None.With(FieldTable.Of(("CC",
            FieldValue.OfArray([.. ManyKeys.Select(static key => FieldValue.Of((string)key!))])))), "m"u8.ToArray(), 0);
        Assert.Equal(PublishOutcome.Refused, await registry.RouteAsync("/", message, []));
        Assert.Contains(Gateway.Log.Lines, static line => line.Contains("reaches no queue until that changes", StringComparison.Ordinal));
        await UnbindAsync("delayed");
        await Channel.QueueBindAsync("q", "delayed", "z");
        Assert.Equal(PublishOutcome.Accepted, await registry.RouteAsync("/", message, []));
        Assert.Equal("m", (await GetAsync("q")).Body);
    }

    [Theory]
    [InlineData("at-least-once")]
    [InlineData("at-most-once")]
    public async Task Dead_letter_that_takes_too_many_steps_stays_or_is_lost_and_is_not_counted(string strategy)
    {
        var totals = (await Gateway.Gateway.OpenQueuesAsync()).Totals;
        await Channel.QueueDeclareAsync("q", durable: false, exclusive: false, autoDelete: false);
        await DeclareAsync("source", "quorum", ("x-overflow", "reject-publish"), ("x-dead-letter-strategy", strategy),
            ("x-dead-letter-exchange", "amq.topic"));
        await BindAsync("amq.topic");
        await Channel.BasicPublishAsync("", "source", mandatory: true, Copied(), "m"u8.ToArray());
        await RejectAsync();
        if (strategy == "at-most-once")
        {
            await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("source")).MessageCount == 0);
            Assert.Equal(0, totals.ReadDeadLetters(DeathReason.Rejected));
            return;
        }
        // It is back in its queue.
        await UntilAsync(async () => (await Channel.QueueDeclarePassiveAsync("source")).MessageCount == 1);
        Assert.Equal(0, totals.ReadDeadLetters(DeathReason.Rejected));
        await UnbindAsync("amq.topic");
        await Channel.QueueBindAsync("q", "amq.topic", "source");
        await RejectAsync();
        Assert.Equal("m", (await GetAsync("q")).Body);
        await UntilAsync(() => Task.FromResult(totals.ReadDeadLetters(DeathReason.Rejected) == 1));

        Task RejectAsync() => UntilAsync(async () =>
        {
            if (await Channel.BasicGetAsync("source", autoAck: false) is not { } got)
                return false;
            await Channel.BasicRejectAsync(got.DeliveryTag, requeue: false);
            return true;
        });
    }

    private async Task DeclareDelayedAsync()
    {
        await Channel.QueueDeclareAsync("q", durable: false, exclusive: false, autoDelete: false);
        await Channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "topic" });
        await BindAsync("delayed");
    }

    // Each word of a key is tried for many patterns at many places.
    private static IEnumerable<string> Patterns => Enumerable.Range('a', 20).Select(static first => "#."
        + string.Join('.', Enumerable.Repeat($"{(char)first}.#", 60)));

    private static object?[] ManyKeys => [.. Enumerable.Repeat(string.Join('.', Enumerable.Range(0, 126)
        .Select(static word => (char)('a' + (word % 20)))), 450).Cast<object?>()];

    private static BasicProperties Copied(int? delay = null) => new()
    {
        Persistent = true,
        Headers = new Dictionary<string, object?>(delay is null ? [] : [KeyValuePair.Create<string, object?>("x-delay", delay)])
        {
            ["CC"] = ManyKeys.ToList(),
        },
    };

    private async Task BindAsync(string exchange)
    {
        foreach (var pattern in Patterns)
            await Channel.QueueBindAsync("q", exchange, pattern);
    }

    private async Task UnbindAsync(string exchange)
    {
        foreach (var pattern in Patterns)
            await Channel.QueueUnbindAsync("q", exchange, pattern);
    }

    private static async Task PublishAsync(IChannel channel, string header, params object?[] keys)
    {
        await channel.BasicPublishAsync("amq.topic", "z", mandatory: false, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { [header] = keys.ToList() },
        }, ReadOnlyMemory<byte>.Empty);
        // Refused before it is answered.
        await channel.QueueDeclareAsync("", durable: false, exclusive: true, autoDelete: true);
    }
}
