using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Whose the topic of a queue is, where a queue is deleted and declared again on brokers that learn of it at different
/// times.</summary>
public sealed class LogQueueTopicTests : IAsyncLifetime, IDeadLetters
{
    private const string Host = "/";
    private const string Topic = "amqp.orders";
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-queues").FullName;
    private LocalBroker _broker = null!;

    public async Task InitializeAsync() => _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory });

    public async Task DisposeAsync()
    {
        await _broker.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Topic_that_a_crash_has_left_is_deleted_before_the_queue_is_declared_again()
    {
        await using (var first = await OpenAsync(1))
            Assert.Equal(PublishOutcome.Accepted, await first.PublishAsync(Message()));
        var left = await TopicIdAsync();
        await using var second = await OpenAsync(2);
        Assert.NotEqual(left, await TopicIdAsync());
        Assert.Equal(0, await ((IAmqpQueue)second).CountAsync());
        Assert.Equal(PublishOutcome.Accepted, await second.PublishAsync(Message()));
        Assert.Equal(1, await ((IAmqpQueue)second).CountAsync());
    }

    [Fact]
    public async Task Deletion_that_comes_late_takes_nothing_of_the_queue_that_was_declared_again()
    {
        await (await OpenAsync(1)).DisposeAsync();
        await LogQueue.DeleteTopicAsync(_broker, Host, State(1));
        await using var second = await OpenAsync(2);
        Assert.Equal(PublishOutcome.Accepted, await second.PublishAsync(Message()));
        await LogQueue.DeleteTopicAsync(_broker, Host, State(1));
        Assert.Equal(1, await ((IAmqpQueue)second).CountAsync());
        await LogQueue.DeleteTopicAsync(_broker, Host, State(2));
        Assert.Empty(await _broker.ListTopicsAsync());
        await LogQueue.DeleteTopicAsync(_broker, Host, State(2));
    }

    [Fact]
    public async Task Broker_that_does_not_know_yet_that_a_queue_is_deleted_leaves_the_next_ones_topic()
    {
        await using var second = await OpenAsync(2);
        Assert.Equal(PublishOutcome.Accepted, await second.PublishAsync(Message()));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(1, isCurrent: false));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
        Assert.Equal(1, await ((IAmqpQueue)second).CountAsync());
    }

    [Fact]
    public async Task Publisher_that_has_not_heard_of_a_deletion_leaves_no_topic()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(1, isCurrent: false));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
        Assert.Empty(await _broker.ListTopicsAsync());
    }

    [Fact]
    public async Task Brokers_that_open_a_queue_together_have_one_topic()
    {
        for (var round = 1; round <= 20; round++)
        {
            var id = round;
            var opened = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => OpenAsync(id))));
            foreach (var queue in opened)
                Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message()));
            foreach (var queue in opened)
            {
                Assert.Equal(4, await ((IAmqpQueue)queue).CountAsync());
                await queue.DisposeAsync();
            }
        }
    }

    /// <summary>As Kafka's port does where a client asks for a topic before the queue has made its own.</summary>
    [Fact]
    public async Task Topic_that_another_client_has_created_gets_the_queues_configuration()
    {
        await _broker.CreateTopicAsync(new NewTopic(Topic));
        var id = await TopicIdAsync();
        await using var queue = await OpenAsync(1);
        Assert.Equal(id, await TopicIdAsync());
        var configs = (await _broker.DescribeTopicAsync(Topic)).Configs.ToDictionary(static one => one.Name, static one => one.Value);
        Assert.Equal(("true", "LogAppendTime", "17825792"), (configs["retention.until.settled"], configs["message.timestamp.type"],
            configs["max.message.bytes"]));
        Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message()));
        Assert.Equal(1, await ((IAmqpQueue)queue).CountAsync());
    }

    [Fact]
    public async Task Topic_with_another_id_is_not_deleted()
    {
        await using var queue = await OpenAsync(1);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _broker.DeleteTopicAsync(Topic, Guid.NewGuid()));
        Assert.Equal(ErrorCode.UnknownTopicId, refused.Code);
        Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message()));
        await _broker.DeleteTopicAsync(Topic, await TopicIdAsync());
        Assert.Empty(await _broker.ListTopicsAsync());
    }

    Task<bool> IDeadLetters.PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
        HashSet<long>? stored) =>
        throw new InvalidOperationException("no message expires here");

    private static QueueState State(long id) => new() { Name = "orders", Id = id, Durable = true };

    private static AmqpMessage Message() => new("", "orders", ContentProperties.None, "m"u8.ToArray(), 0);

    private Task<LogQueue> OpenAsync(long id, bool isCurrent = true) => LogQueue.OpenAsync(_broker, Host, State(id),
        PolicySet.Empty.SettingsOf(State(id)), this, TimeProvider.System, EngineLog.Silent, () => new(isCurrent));

    private async Task<Guid> TopicIdAsync() => (await _broker.DescribeTopicAsync(Topic)).TopicId;
}
