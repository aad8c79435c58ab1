using System.Collections.Concurrent;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Groups of Confluent.Kafka consumers: members join and leave, and every record is read.</summary>
public sealed class ConfluentKafkaGroupTests : IAsyncLifetime
{
    private const int Partitions = 6;

    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await KafkaServer.StartAsync();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", Partitions));
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableTheory]
    [InlineData("range")]
    [InlineData("cooperative-sticky")]
    [InlineData("consumer")]
    public async Task Partitions_are_rebalanced_as_members_join_and_leave_and_every_record_is_read(string way)
    {
        // Version 2.12 introduced the final consumer protocol (KIP-848).
        Librdkafka.Require(way == "consumer" ? "2.12" : "2.1");
        var read = new ConcurrentDictionary<string, int>();
        var members = new List<Member> { new(_server.Address, way, read) };
        try
        {
            await SettledAsync(members, 6);
            members.Add(new Member(_server.Address, way, read));
            members.Add(new Member(_server.Address, way, read));
            await SettledAsync(members, 2);
            var sent = await ProduceAsync(0, 600);
            await EventuallyAsync(() => sent.All(read.ContainsKey),
                () => $"{sent.Count(value => !read.ContainsKey(value))} records were not read");
            await members[0].DisposeAsync();
            members.RemoveAt(0);
            await SettledAsync(members, 3);
            sent = await ProduceAsync(600, 1200);
            await EventuallyAsync(() => sent.All(read.ContainsKey),
                () => $"{sent.Count(value => !read.ContainsKey(value))} records were not read");
            // All of them left and committed cleanly: no record was read twice.
            Assert.All(read, static value => Assert.True(value.Value == 1, $"{value.Key} was read {value.Value} times"));
            // The members close one after another, each after the takeover. If librdkafka is closed just as it learns of a rebalance, it
            // leaves first and then commits without a member id.
            while (members.Count > 1)
            {
                await members[0].DisposeAsync();
                members.RemoveAt(0);
                await SettledAsync(members, Partitions / members.Count);
            }
        }
        finally
        {
            foreach (var member in members)
                await member.DisposeAsync();
        }
        var committed = await _server.Broker.Groups.FetchOffsetsAsync(new Api.OffsetFetch { GroupId = "readers" });
        Assert.Equal(1200, committed.Partitions.Sum(static partition => partition.Offset?.Offset ?? 0));
    }

    private async Task<IReadOnlyList<string>> ProduceAsync(int from, int to)
    {
        using var producer =
            new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = _server.Address, LingerMs = 5 }).Build();
        var values = Enumerable.Range(from, to - from).Select(static number => $"{number}").ToArray();
        await Task.WhenAll(values.Select((value, index) =>
            producer.ProduceAsync(new Confluent.Kafka.TopicPartition("orders", index % Partitions),
                new Message<Null, string> { Value = value })));
        return values;
    }

    private static Task SettledAsync(IReadOnlyList<Member> members, int share) => EventuallyAsync(
        () => members.All(member => member.Assigned.Count == share)
        && members.SelectMany(static member => member.Assigned).Distinct().Count() == Partitions,
        () =>
        $"the partitions were not assigned: {string.Join(" | ", members.Select(static member => string.Join(',', member.Assigned)))}");

    private static async Task EventuallyAsync(Func<bool> isSo, Func<string> otherwise)
    {
        var deadline = DateTime.UtcNow + KafkaServer.Patience;
        while (!isSo())
        {
            Assert.True(DateTime.UtcNow < deadline, otherwise());
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }
    }

    /// <summary>A consumer with its polling thread.</summary>
    private sealed class Member : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _polling;

        public Member(string address, string way, ConcurrentDictionary<string, int> read)
        {
            var config = new ConsumerConfig { BootstrapServers = address, GroupId = "readers", AutoOffsetReset = AutoOffsetReset.Earliest };
            if (way == "consumer")
                config.GroupProtocol = Confluent.Kafka.GroupProtocol.Consumer;
            else
                (config.SessionTimeoutMs, config.HeartbeatIntervalMs) = (45_000, 300);
            if (way != "consumer")
                config.PartitionAssignmentStrategy = way == "range" ? PartitionAssignmentStrategy.Range
                    : PartitionAssignmentStrategy.CooperativeSticky;
            _polling = Task.Factory.StartNew(() => Poll(config, read), CancellationToken.None, TaskCreationOptions.LongRunning,
                TaskScheduler.Default);
        }

        /// <summary>The partitions owned as of the last poll.</summary>
        public IReadOnlyList<int> Assigned { get; private set; } = [];

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _polling;
            _stop.Dispose();
        }

        private void Poll(ConsumerConfig config, ConcurrentDictionary<string, int> read)
        {
            using var consumer = new ConsumerBuilder<Ignore, string>(config).Build();
            consumer.Subscribe("orders");
            while (!_stop.IsCancellationRequested)
            {
                if (consumer.Consume(TimeSpan.FromMilliseconds(50)) is { } record)
                    read.AddOrUpdate(record.Message.Value, 1, static (_, times) => times + 1);
                Assigned = [.. consumer.Assignment.Select(static partition => partition.Partition.Value)];
            }
            consumer.Close();
        }
    }
}
