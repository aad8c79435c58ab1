using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Exchanges and topics of queues, with RabbitMQ's client over a standalone broker.</summary>
public sealed class TopologyTests : ClientTest
{
    [Fact]
    public async Task Random_exchange_gives_each_message_to_one_queue()
    {
        await Channel.ExchangeDeclareAsync("random", "x-random", durable: true);
        foreach (var name in new[] { "a", "b" })
        {
            await DeclareAsync(name, "quorum");
            await Channel.QueueBindAsync(name, "random", $"key of {name}");
        }
        for (var i = 0; i < 100; i++)
            await Channel.BasicPublishAsync("random", "any", true, Persistent, "m"u8.ToArray());
        var counts = new[] { (await Channel.QueueDeclarePassiveAsync("a")).MessageCount,
            (await Channel.QueueDeclarePassiveAsync("b")).MessageCount };
        Assert.Equal(100u, counts[0] + counts[1]);
        Assert.DoesNotContain(0u, counts);
        await Channel.QueueUnbindAsync("a", "random", "key of a");
        await Channel.BasicPublishAsync("random", "any", true, Persistent, "m"u8.ToArray());
        Assert.Equal(counts[1] + 1, (await Channel.QueueDeclarePassiveAsync("b")).MessageCount);
    }

    [Fact]
    public async Task Topic_that_a_deleted_queue_has_left_is_deleted_when_the_broker_starts()
    {
        await DeclareAsync("kept", "quorum");
        await PublishAsync("kept", "m");
        await Gateway.Broker.CreateTopicAsync(new NewTopic("amqp.of.kafka", 1, 1, new Dictionary<string, string>()));
        var left = new QueueState { Name = "left", Id = 7, Durable = true };
        await (await LogQueue.OpenAsync(Gateway.Broker, "/", left, PolicySet.Empty.SettingsOf(left), new NoDeadLetters(),
            TimeProvider.System, EngineLog.Silent, static () => new(true))).DisposeAsync();
        Assert.Equal(["amqp.kept", "amqp.left", "amqp.of.kafka"], await TopicsAsync());
        await RestartAsync();
        await UntilAsync(async () => (await TopicsAsync()).Count == 2);
        Assert.Equal(["amqp.kept", "amqp.of.kafka"], await TopicsAsync());
        Assert.Equal("m", (await GetAsync("kept")).Body);
    }

    [Theory]
    [InlineData(17)]
    // As deep as a frame may have them.
    [InlineData(64)]
    public async Task Arguments_that_are_nested_too_deep_are_refused_and_others_go_on(int depth)
    {
        await DeclareAsync("deep", "quorum", ("x-mine", Nested(15)));
        await Channel.ExchangeDeclareAsync("x", "fanout", durable: true);
        var arguments = new Dictionary<string, object?> { ["x-mine"] = Nested(depth - 1) };
        var fault = $"are nested {depth} deep; 16 are allowed";
        await RefusedAsync(406, $"the arguments of queue 'q' in vhost '/' {fault}",
            channel => channel.QueueDeclareAsync("q", true, false, false, arguments));
        await RefusedAsync(406, $"the arguments of exchange 'y' in vhost '/' {fault}",
            channel => channel.ExchangeDeclareAsync("y", "fanout", true, false, arguments));
        await RefusedAsync(406, $"the arguments of a binding {fault}", channel => channel.QueueBindAsync("deep", "x", "", arguments));
        await RefusedAsync(406, $"the arguments of consumer 'c' {fault}", channel => channel.BasicConsumeAsync("deep", true, "c", false,
            false, arguments, new AsyncEventingBasicConsumer(channel)));
        await PublishAsync("deep", "m");
        await RestartAsync();
        Assert.Equal("m", (await GetAsync("deep")).Body);

        static object Nested(int depth) => depth == 1 ? new Dictionary<string, object?> { ["!name"] = 1 }
            : new Dictionary<string, object?> { ["!name"] = Nested(depth - 1) };
    }

    private async Task<List<string>> TopicsAsync() => [.. (await Gateway.Broker.ListTopicsAsync()).Select(static topic => topic.Name)
        .Where(static name => name.StartsWith("amqp", StringComparison.Ordinal))];

    private sealed class NoDeadLetters : IDeadLetters
    {
        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored) =>
            throw new InvalidOperationException("No message expires here.");
    }
}
