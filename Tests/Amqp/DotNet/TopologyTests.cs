using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;

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

    private async Task<List<string>> TopicsAsync() => [.. (await Gateway.Broker.ListTopicsAsync()).Select(static topic => topic.Name)
        .Where(static name => name.StartsWith("amqp", StringComparison.Ordinal))];

    private sealed class NoDeadLetters : IDeadLetters
    {
        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored) =>
            throw new InvalidOperationException("No message expires here.");
    }
}
