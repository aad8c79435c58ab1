using System.Collections.Concurrent;
using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The options of a cursor while a partition of its topic is away.</summary>
public sealed class CursorTopicsTests : IAsyncLifetime
{
    private const string Topic = "kept";
    private const string Queue = "grains:kept";

    private static readonly DeliveryOptions Delivery = new()
    {
        MaxAttempts = 7,
        RetryDelay = TimeSpan.FromMilliseconds(20),
        MaxRetryDelay = TimeSpan.FromSeconds(1),
    };

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;

    public async Task InitializeAsync() => _silo = await TestSilo.StartAsync(_data.Path);

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Options_are_written_once_to_each_partition_also_while_one_is_away()
    {
        var broker = new AwayBroker(_silo.Inside) { Away = 1 };
        var client = new OrleansMqClient(broker);
        await client.Admin.CreateTopicAsync(Topic, 3);
        await client.Admin.CreateTopicAsync($"{Topic}.dead-letter", 3);
        var topics = new CursorTopics(client, Delivery);
        for (var partition = 0; partition < 3; partition++)
        {
            await _silo.Inside.Queues.CreateAsync(new TopicPartition(Topic, partition),
                new NewQueue(Queue) { Options = new QueueOptions { IsOrderedByKey = true } });
        }
        for (var round = 0; round < 3; round++)
        {
            var failure = await Assert.ThrowsAsync<BrokerException>(KeepAsync);
            Assert.Equal(ErrorCode.LeaderNotAvailable, failure.Code);
        }
        Assert.Equal([0, 1, 2, 1, 1], broker.Altered);
        broker.Away = null;
        await KeepAsync();
        await KeepAsync();
        Assert.Equal([0, 1, 2, 1, 1, 1], broker.Altered);
        for (var partition = 0; partition < 3; partition++)
            Assert.Equal(70, (await DescribeAsync(partition)).Options.MaxFailures);
        // Another program turns record times on: all partitions are looked at, one in a round, and get the options again.
        await _silo.Inside.Queues.AlterAsync(new TopicPartition(Topic, 2), Queue,
            (await DescribeAsync(2)).Options with { HasRecordTimes = true });
        for (var round = 0; round < 3; round++)
            await KeepAsync();
        Assert.False((await DescribeAsync(2)).Options.HasRecordTimes);
        Assert.Equal([0, 1, 2, 1, 1, 1, 0, 1, 2], broker.Altered);

        async Task KeepAsync() => await topics.KeepOptionsAsync(Topic, Queue, (await _silo.Inside.ListTopicsAsync())
            .ToDictionary(static topic => topic.Name, static topic => topic.TopicId), CancellationToken.None);
    }

    [Fact]
    public async Task Dead_letter_topic_is_not_told_to_have_more_replicas_in_sync_than_it_has()
    {
        var client = new OrleansMqClient(_silo.Inside);
        await client.Admin.CreateTopicAsync(Topic, 1);
        var topics = new CursorTopics(client, Delivery);
        await topics.QueueOptionsAsync(Topic, CancellationToken.None);
        await _silo.Inside.AlterTopicAsync(Topic, new Dictionary<string, string?>
        {
            ["flush.messages"] = "1",
            ["min.insync.replicas"] = "2",
        });
        topics.Forget(Topic);
        await topics.QueueOptionsAsync(Topic, CancellationToken.None);
        var letters = (await _silo.Inside.DescribeTopicAsync($"{Topic}.dead-letter")).Configs;
        Assert.Equal(("1", "1"), (letters.Single(static config => config.Name == "flush.messages").Value,
            letters.Single(static config => config.Name == "min.insync.replicas").Value));
    }

    [Fact]
    public async Task Dead_letter_topic_follows_a_topic_that_is_made_more_durable()
    {
        var client = new OrleansMqClient(_silo.Inside);
        await client.Admin.CreateTopicAsync(Topic, 1);
        var topics = new CursorTopics(client, Delivery);
        await CreateAsync("before");
        await _silo.Inside.AlterTopicAsync(Topic, new Dictionary<string, string?>
        {
            ["flush.messages"] = "1",
            ["max.message.bytes"] = "2000000",
        });
        // As after a refusal.
        topics.Forget(Topic);
        await CreateAsync("after");
        Assert.Equal(("1", "2065536"), (await ConfigAsync("flush.messages"), await ConfigAsync("max.message.bytes")));
        await _silo.Inside.AlterTopicAsync(Topic, new Dictionary<string, string?> { ["max.message.bytes"] = "1000000" });
        topics.Forget(Topic);
        await CreateAsync("smaller");
        Assert.Equal("2065536", await ConfigAsync("max.message.bytes"));

        async Task CreateAsync(string queue) => await _silo.Inside.Queues.CreateAsync(new TopicPartition(Topic, 0), new NewQueue(queue)
        {
            Options = await topics.QueueOptionsAsync(Topic, CancellationToken.None),
        });

        async Task<string> ConfigAsync(string name) => (await _silo.Inside.DescribeTopicAsync($"{Topic}.dead-letter")).Configs
            .Single(config => config.Name == name).Value;
    }

    private ValueTask<QueueDescription> DescribeAsync(int partition) =>
        _silo.Inside.Queues.DescribeAsync(new TopicPartition(Topic, partition), Queue);

    private sealed class AwayBroker : ForwardingBroker
    {
        private readonly IQueues _queues;

        public AwayBroker(IBroker inner) : base(inner)
        {
            _queues = DispatchProxy.Create<IQueues, AwayQueues>();
            ((AwayQueues)(object)_queues).Broker = this;
            ((AwayQueues)(object)_queues).Inner = inner.Queues;
        }

        /// <summary>The partition that does not answer; null: none.</summary>
        public int? Away { get; set; }

        /// <summary>The partitions of which a queue was to be altered, in order.</summary>
        public ConcurrentQueue<int> Altered { get; } = [];

        public override IQueues Queues => _queues;
    }

    private class AwayQueues : DispatchProxy
    {
        public AwayBroker Broker { get; set; } = null!;
        public IQueues Inner { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            if (args is not [TopicPartition partition, ..])
                return targetMethod!.Invoke(Inner, args);
            if (targetMethod!.Name == nameof(IQueues.AlterAsync))
                Broker.Altered.Enqueue(partition.Partition);
            return partition.Partition == Broker.Away
                ? ValueTask.FromException<QueueDescription>(new BrokerException(ErrorCode.LeaderNotAvailable, "away"))
                : targetMethod.Invoke(Inner, args);
        }
    }
}
