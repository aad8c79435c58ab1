using System.Globalization;
using System.Text;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Exchanges of type <c>x-delayed-message</c>, with RabbitMQ's client over a standalone broker.</summary>
public sealed class DelayedTests : ClientTest
{
    [Fact]
    public async Task Delayed_message_comes_at_its_time_with_its_properties_and_others_come_at_once()
    {
        await DeclareAsync();
        var published = DateTimeOffset.UtcNow;
        await PublishAsync("k.late", "late", 700);
        await PublishAsync("k.now", "now", null);
        await PublishAsync("k.zero", "zero", 0);
        var received = await StartAsync(Channel, "q");
        Assert.Equal("now", (await NextAsync(received)).Body);
        Assert.Equal("zero", (await NextAsync(received)).Body);
        var late = await NextAsync(received);
        Assert.Equal(("late", "delayed", "k.late", "id", -700), (late.Body, late.Exchange, late.RoutingKey, late.Properties.MessageId,
            late.Headers["x-delay"]));
        // The broker's clock and the test's are the same, and both are rounded to a millisecond.
        Assert.True(late.At - published >= TimeSpan.FromMilliseconds(699), $"It came after {late.At - published}.");
    }

    [Fact]
    public async Task Many_delayed_messages_come_once_each()
    {
        await DeclareAsync();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => PublishAsync("k", $"{i}", 1 + (i * 7 % 300)).AsTask()));
        await PublishAsync("k", "last", 1500);
        var received = await StartAsync(Channel, "q", 1000);
        var bodies = new List<string>();
        while (bodies.Count == 0 || bodies[^1] != "last")
            bodies.Add((await NextAsync(received)).Body);
        Assert.Equal(Enumerable.Range(0, 200),
            bodies.SkipLast(1).Select(static body => int.Parse(body, CultureInfo.InvariantCulture)).Order());
    }

    [Fact]
    public async Task Confirmed_delayed_message_survives_a_restart_and_comes_once()
    {
        await DeclareAsync();
        await PublishAsync("k", "kept", 1500);
        await RestartAsync();
        await PublishAsync("k", "later", 3000);
        Assert.Equal(("kept", "later"), ((await GetAsync("q")).Body, (await GetAsync("q")).Body));
    }

    [Fact]
    public async Task Delayed_message_reaches_every_queue_that_its_exchange_leads_to_also_in_memory()
    {
        await DeclareAsync();
        await Channel.QueueDeclareAsync("memory", false, false, false);
        await Channel.QueueBindAsync("memory", "delayed", "k.*");
        await PublishAsync("k.both", "both", 200);
        Assert.Equal("both", (await GetAsync("q")).Body);
        Assert.Equal("both", (await GetAsync("memory")).Body);
    }

    [Fact]
    public async Task Blind_copies_of_a_delayed_message_do_not_show()
    {
        await DeclareAsync();
        await Channel.QueueDeclareAsync("blind", false, false, false);
        await Channel.QueueBindAsync("blind", "delayed", "blind");
        await Channel.BasicPublishAsync("delayed", "k", true, new BasicProperties
        {
            Headers = new Dictionary<string, object?> { ["x-delay"] = 50, ["BCC"] = new List<object?> { "blind" } },
        }, "copied"u8.ToArray());
        foreach (var queue in new[] { "blind", "q" })
            Assert.DoesNotContain("BCC", (await GetAsync(queue)).Headers.Keys);
    }

    [Theory]
    [InlineData("bound")]
    [InlineData("unmatched")]
    public async Task Message_that_reaches_a_delayed_exchange_from_another_one_is_delayed_there_alone(string way)
    {
        await DeclareAsync();
        await DeclareAsync("now", "quorum");
        await Channel.ExchangeDeclareAsync("source", "fanout", true, false);
        await Channel.QueueBindAsync("now", "source", "");
        if (way == "bound")
        {
            await Channel.ExchangeBindAsync("delayed", "source", "");
        }
        else
        {
            await Channel.ExchangeDeclareAsync("alternating", "direct", true, false,
                new Dictionary<string, object?> { ["alternate-exchange"] = "delayed" });
            await Channel.ExchangeBindAsync("alternating", "source", "");
        }
        var published = DateTimeOffset.UtcNow;
        await Channel.BasicPublishAsync("source", "k", true, Delayed(1000), "m"u8.ToArray());
        var now = await GetAsync("now");
        Assert.Equal(("m", "source", 1000), (now.Body, now.Exchange, now.Headers["x-delay"]));
        await RestartAsync();
        var late = await NextAsync(await StartAsync(Channel, "q"));
        Assert.Equal(("m", "source", "k", -1000), (late.Body, late.Exchange, late.RoutingKey, late.Headers["x-delay"]));
        Assert.True(late.At - published >= TimeSpan.FromMilliseconds(999), $"It came after {late.At - published}.");
        // The exchange that it was published to has not routed it again.
        Assert.Null(await Channel.BasicGetAsync("now", autoAck: true));
        // What cannot be delayed is refused there, too.
        await RefusedAsync(406, "a delayed message has at most 999488 bytes", static async channel =>
        {
            await channel.BasicPublishAsync("source", "k", false, Delayed(10), new byte[1_000_001]);
            await channel.QueueDeclarePassiveAsync("q");
        });
    }

    [Fact]
    public async Task Delayed_message_that_reaches_a_second_delayed_exchange_is_not_delayed_again()
    {
        await DeclareAsync();
        await Channel.ExchangeDeclareAsync("first", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "fanout" });
        await Channel.ExchangeBindAsync("delayed", "first", "");
        var published = DateTimeOffset.UtcNow;
        await Channel.BasicPublishAsync("first", "k", true, Delayed(300), "m"u8.ToArray());
        var late = await NextAsync(await StartAsync(Channel, "q"));
        Assert.Equal(("m", "first", -300), (late.Body, late.Exchange, late.Headers["x-delay"]));
        Assert.True(late.At - published >= TimeSpan.FromMilliseconds(299), $"It came after {late.At - published}.");
    }

    [Fact]
    public async Task Message_that_cannot_be_delayed_is_refused()
    {
        await DeclareAsync();
        await RefusedAsync(406, "a delayed message has at most 999488 bytes", static async channel =>
        {
            await channel.BasicPublishAsync("delayed", "k", false, Delayed(10), new byte[1_000_001]);
            await channel.QueueDeclarePassiveAsync("q");
        });
        await RefusedAsync(406, "'x-delayed-type' must be an existing exchange type",
            static channel => channel.ExchangeDeclareAsync("x", "x-delayed-message"));
        // Without a delay it is a message as others are.
        await Channel.BasicPublishAsync("delayed", "k", true, Persistent, new byte[1_000_001]);
        Assert.Equal(1_000_001, (await GetAsync("q")).Body.Length);
    }

    [Fact]
    public async Task Delayed_messages_end_with_their_virtual_host()
    {
        var hosts = await Gateway.Broker.OpenVirtualHostsAsync();
        await hosts.AdministerAsync(new OrleansMq.VirtualHosts.PutVirtualHost("other", "guest"));
        await using (var connection = await ConnectAsync(host: "other"))
        {
            await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
            await channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
                new Dictionary<string, object?> { ["x-delayed-type"] = "fanout" });
            await channel.BasicPublishAsync("delayed", "", false, Delayed(100_000), "x"u8.ToArray());
        }
        var topic = Assert.Single(await Gateway.Broker.ListTopicsAsync(), static one => one.Name == "amqp-other.amq.delayed");
        await hosts.AdministerAsync(new OrleansMq.VirtualHosts.DeleteVirtualHost("other"));
        await UntilAsync(async () => (await Gateway.Broker.ListTopicsAsync()).All(one => one.TopicId != topic.TopicId));
    }

    private static BasicProperties Delayed(int? delay) => new()
    {
        Persistent = true,
        MessageId = "id",
        Headers = delay is null ? null : new Dictionary<string, object?> { ["x-delay"] = delay },
    };

    private async Task DeclareAsync()
    {
        await Channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "topic" });
        await DeclareAsync("q", "quorum");
        await Channel.QueueBindAsync("q", "delayed", "#");
    }

    private ValueTask PublishAsync(string key, string body, int? delay) =>
        Channel.BasicPublishAsync("delayed", key, true, Delayed(delay), Encoding.UTF8.GetBytes(body));
}
