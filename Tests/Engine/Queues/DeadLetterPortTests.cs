using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Producers;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Dead letters of a broker's queues: across restarts, and with targets that change or go.</summary>
public sealed class DeadLetterPortTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TopicPartition Orders = new("orders", 0);

    [Fact]
    public async Task Letters_that_wait_are_published_after_a_kill_without_a_call()
    {
        var disk = new MemoryFileSystem();
        await using (var broker = await OpenAsync(disk))
        {
            await StartAsync(broker, 3);
            NoPort(broker);
            await RejectAllAsync(broker, 3);
            disk = disk.ProcessKill();
        }
        await using (var broker = await OpenAsync(disk))
        {
            Assert.Equal(["0", "1", "2"], await ReadAsync(broker, 3));
            Assert.Equal(3, (await DescribeAsync(broker)).Settled);
        }
        // The next start has none to publish.
        await using var again = await OpenAsync(disk);
        Assert.Equal(["0", "1", "2"], await ReadAsync(again, 3));
    }

    [Fact]
    public async Task Letters_for_a_topic_that_was_deleted_and_created_again_go_to_the_new_one()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 2);
        var port = NoPort(broker);
        await RejectAllAsync(broker, 2);
        await broker.DeleteTopicAsync("letters");
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        SetPort(broker, port);
        await UntilAsync(async () => (await DescribeAsync(broker)).Settled == 2);
        Assert.Equal(["0", "1"], await ReadAsync(broker, 2));
    }

    [Fact]
    public async Task Altered_queue_has_a_target_that_exists_or_is_refused()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 1);
        var options = (await broker.Queues.DescribeAsync(Orders, "work")).Options;
        Assert.Contains("'missing' does not exist", await RefusalAsync(options with { DeadLetterTopic = "missing" }));
        Assert.Contains("'' does not exist", await RefusalAsync(options with { DeadLetterTopic = "" }));
        // A target that exists stays, also where a new one would be refused.
        var first = await TargetAsync();
        await broker.AlterTopicAsync("letters", new Dictionary<string, string?> { ["max.message.bytes"] = "50" });
        await broker.Queues.AlterAsync(Orders, "work", options with { MaxFailures = 3 });
        Assert.Equal(first, await TargetAsync());

        await broker.DeleteTopicAsync("letters");
        Assert.Contains("'letters' does not exist", await RefusalAsync(options with { MaxFailures = 4 }));
        Assert.Equal(3, (await broker.Queues.DescribeAsync(Orders, "work")).Options.MaxFailures);
        var others = await broker.CreateTopicAsync(new NewTopic("others", 1));
        await broker.Queues.AlterAsync(Orders, "work", options with { DeadLetterTopic = "others" });
        Assert.Equal(new DeadLetterTarget(others.TopicId, 0), await TargetAsync());
        await broker.DeleteTopicAsync("others");
        await broker.Queues.AlterAsync(Orders, "work", options with { DeadLetterTopic = null });
        Assert.Null(await TargetAsync());

        // Another topic of the name, which is looked at like any new one.
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        await broker.Queues.AlterAsync(Orders, "work", options);
        await broker.DeleteTopicAsync("letters");
        await broker.CreateTopicAsync(new NewTopic("letters", 1, Configs: new Dictionary<string, string>
        {
            ["cleanup.policy"] = "compact",
        }));
        Assert.Contains("is compacted", await RefusalAsync(options with { MaxFailures = 5 }));
        await broker.AlterTopicAsync("letters", new Dictionary<string, string?> { ["cleanup.policy"] = "delete" });
        await broker.Queues.AlterAsync(Orders, "work", options with { MaxFailures = 5 });
        await RejectAllAsync(broker, 1);
        Assert.Equal(["0"], await ReadAsync(broker, 1));

        async Task<string> RefusalAsync(QueueOptions refused)
        {
            var refusal = await Assert.ThrowsAsync<BrokerException>(() => broker.Queues.AlterAsync(Orders, "work", refused).AsTask());
            Assert.Equal(ErrorCode.InvalidRequest, refusal.Code);
            return refusal.Message;
        }

        Task<DeadLetterTarget?> TargetAsync() => broker.Partitions.Single(one => one.TopicPartition == Orders).Cursors.AskAsync(term =>
            term.Find(QueueConfigurations.CursorOf("work"))!.Cursor.State!.Configuration.DeadLetterTarget);
    }

    [Fact]
    public async Task Letter_keeps_headers_and_a_reason_of_whole_characters()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 0);
        using (var batch = new RecordBatchBuilder())
        {
            batch.Add(1_000, [], hasKey: false, [], hasValue: false, [new RecordHeader("a"u8.ToArray(), null), new("b"u8.ToArray(),
                "c"u8.ToArray())]);
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, batch.Build().ToArray(), Acks.All)).Error);
        }
        await RejectAllAsync(broker, 1, new string('€', 500));
        await ReadAsync(broker, 1);
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("letters", 0), 0));
        using var reader = new RecordReader(fetched.Records, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal((null, null), (reader.Current.Key, reader.Current.Value));
        var headers = reader.Current.ReadHeaders();
        Assert.Equal(["a", "b", DeadLetterHeaderNames.Topic], headers.Take(3).Select(header => Encoding.UTF8.GetString(header.Key.Span)));
        Assert.Null(headers[0].Value);
        var reason = headers.Single(header => Encoding.UTF8.GetString(header.Key.Span) == DeadLetterHeaderNames.Reason);
        Assert.Equal(new string('€', 341), Encoding.UTF8.GetString(reason.Value!.Value.Span));
    }

    [Fact]
    public async Task Letter_of_the_largest_record_has_room_for_its_headers()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 0);
        var batch = TestBatches.OfSize((TopicConfig.Default.MaxMessageBytes / 2) - 100);
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, batch, Acks.All)).Error);
        await RejectAllAsync(broker, 1, new string('x', 1_000));
        Assert.Single(await ReadAsync(broker, 1));
    }

    [Fact]
    public async Task Batch_that_cannot_be_read_is_passed_over_and_stops_no_letter()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var options = new QueueOptions { MaxFailures = 1, DeadLetterTopic = "letters" };
        await broker.Queues.CreateAsync(Orders, new NewQueue("work") { Options = options });
        await broker.ProduceAsync(Orders, TestBatches.Of("0"), Acks.All);
        await broker.ProduceAsync(Orders, Garbage(), Acks.All);
        await broker.ProduceAsync(Orders, TestBatches.Of("2"), Acks.All);
        var consumer = await broker.Queues.AttachAsync(Orders, "work", new QueueAttachOptions());
        for (var left = 2; left > 0;)
        {
            QueueDelivery? delivery;
            try
            {
                delivery = await broker.Queues.ReceiveAsync(Orders, consumer, 3, TimeSpan.FromSeconds(1));
            }
            catch (BrokerException)
            {
                continue;
            }
            foreach (var record in delivery?.Records ?? [])
            {
                left--;
                Assert.Equal([ErrorCode.None], await broker.Queues.SettleAsync(Orders, consumer,
                    [new QueueSettlement(delivery!.Lock, record.Offset, record.Offset, QueueAction.Reject)]));
            }
        }
        Assert.Equal(["0", "2"], (await ReadAsync(broker, 2)).Order());
        // The garbage is no letter, and no record.
        await UntilAsync(async () => await broker.Queues.DescribeAsync(Orders, "work") is { Unsettled: 0, Rejected: 0 });
        await broker.Queues.DeleteAsync(Orders, "work");
    }

    [Fact]
    public async Task Letters_are_published_whatever_limits_their_topic_has_since()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 5);
        await broker.AlterTopicAsync("letters", new Dictionary<string, string?>
        {
            ["max.message.bytes"] = "50",
            ["message.timestamp.before.max.ms"] = "0",
        });
        await RejectAllAsync(broker, 5);
        Assert.Equal(["0", "1", "2", "3", "4"], await ReadAsync(broker, 5));
    }

    [Fact]
    public async Task Letters_beyond_the_bound_of_memory_are_published_in_turns()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        var configs = new Dictionary<string, string> { ["max.message.bytes"] = "10000000" };
        await broker.CreateTopicAsync(new NewTopic("orders", 1, Configs: configs));
        await broker.CreateTopicAsync(new NewTopic("letters", 1, Configs: configs));
        await broker.Queues.CreateAsync(Orders, new NewQueue("work") { Options = new QueueOptions { DeadLetterTopic = "letters" } });
        var port = NoPort(broker);
        for (var i = 0; i < 5; i++)
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, TestBatches.OfSize(3_500_000), Acks.All)).Error);
        await RejectAllAsync(broker, 5);
        SetPort(broker, port);
        await UntilAsync(async () => (await DescribeAsync(broker)).Settled == 5);
        Assert.Equal(5, (await broker.FindOffsetAsync(new TopicPartition("letters", 0), OffsetSpec.Latest)).Offset);
    }

    [Fact]
    public async Task Letter_of_a_record_that_fits_its_topic_only_compressed_is_compressed()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await StartAsync(broker, 0);
        using (var batch = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All))
        {
            batch.Add(1_000, [], hasKey: false, new byte[LetterProducers.MostBatchBytes], hasValue: true);
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, batch.Build().ToArray(), Acks.All)).Error);
        }
        await RejectAllAsync(broker, 1);
        await UntilAsync(async () => (await DescribeAsync(broker)).Settled == 1);
        Assert.Equal(0, (await broker.Queues.DescribeAsync(Orders, "work")).Rejected);
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("letters", 0), 0));
        using var reader = new RecordReader(fetched.Records, StandardCodecs.All);
        Assert.True(reader.MoveNext());
        Assert.Equal(LetterProducers.MostBatchBytes, reader.Current.Value!.Value.Length);
    }

    [Fact]
    public async Task Sequence_that_came_again_after_a_lost_tail_is_another_letter()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        var topic = await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var (target, incarnation) = (new DeadLetterTarget(topic.TopicId, 0), Guid.NewGuid());
        var port = new DeadLetterPublisher(() => broker, CompressionCodecs.Empty, EngineLog.Silent, TimeProvider.System);
        foreach (var (origin, value) in new[] { (1L, "a"), (2L, "b"), (1L, "a"), (2L, "b") })
        {
            var intent = new DeadLetterIntent(8, incarnation, 0, target, SettlementCause.Rejected, default, 0) { Origin = origin };
            await port.PublishAsync(new DeadLetterSource(Orders, Guid.Empty, "queue/work", "letters"), target,
                [new DeadLetter(intent, new OrleansMq.Records.Record { Value = Encoding.UTF8.GetBytes(value) })], default);
        }
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("letters", 0), 0));
        Assert.Equal(["a", "b"], Values(fetched.Records));
    }

    [Fact]
    public async Task Session_sends_no_batch_of_a_reserved_producer()
    {
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var partition = new TopicPartition("letters", 0);
        var id = LetterProducers.IdOf(Guid.NewGuid(), 0, Guid.NewGuid(), 0);
        foreach (var protocol in Enum.GetValues<SessionProtocol>())
        {
            var session = broker.Access.Open(BrokerSession.InProcess with { Protocol = protocol });
            foreach (var epoch in (short[])[LetterProducers.Epoch, LetterProducers.ScheduleEpoch, OutboxProducers.Epoch, 0])
            {
                // Grains with outboxes are code in the broker's own process.
                var isOutbox = epoch == OutboxProducers.Epoch && protocol == SessionProtocol.InProcess;
                var expected = isOutbox ? ErrorCode.None : ErrorCode.TopicAuthorizationFailed;
                Assert.Equal(expected, (await session.Broker.ProduceAsync(partition, Batch(id, epoch), Acks.All)).Error);
                Assert.True(session.TryOpen(partition, default, AccessOperation.Write, out var opened, out _));
                Assert.Equal(expected, (await opened.AppendAsync(Batch(id, epoch), Acks.All)).Error);
            }
            Assert.Equal(ErrorCode.None, (await session.Broker.ProduceAsync(partition, Batch((int)protocol, 0), Acks.All)).Error);
        }

        static byte[] Batch(long id, short epoch) => TestBatches.From(new ProducerIdentity(id, epoch), 0, "x");
    }

    [Theory]
    [InlineData("flush.messages", "1", null)]
    [InlineData("min.insync.replicas", "2", null)]
    [InlineData("max.message.bytes", "2000000", null)]
    [InlineData(null, null, "cleanup.policy=compact")]
    public void Weaker_target_is_told(string? source, string? value, string? target)
    {
        var sourceConfig = source is null ? TopicConfig.Default
            : TopicConfigRules.Parse(new Dictionary<string, string> { [source] = value! }, TopicConfig.Default).Next;
        var targetConfig = target?.Split('=') is [var name, var set]
            ? TopicConfigRules.Parse(new Dictionary<string, string> { [name] = set }, TopicConfig.Default).Next : TopicConfig.Default;
        Assert.NotNull(DeadLetterTopics.WhyWeaker(sourceConfig, targetConfig));
        Assert.Null(DeadLetterTopics.WhyWeaker(TopicConfig.Default, sourceConfig));
    }

    [Fact]
    public void Target_that_is_still_given_its_replicas_is_judged_by_what_it_has_then()
    {
        var source = Topic(("min.insync.replicas", "2", true));
        var growing = Growing(Topic(("min.insync.replicas", "1", true)));
        Assert.Null(DeadLetterTopics.WhyRefused(source, growing));
        Assert.Null(DeadLetterTopics.WhyRefused(source, Growing(Topic(("min.insync.replicas", "2", false)))));
        Assert.Contains("min.insync.replicas 1", DeadLetterTopics.WhyRefused(source, Topic(("min.insync.replicas", "1", true))));
        Assert.Contains("min.insync.replicas 1", DeadLetterTopics.WhyRefused(source, Growing(Topic(("min.insync.replicas", "1", false)))));
        Assert.Contains("min.insync.replicas 1", DeadLetterTopics.WhyRefused(Topic(("min.insync.replicas", "2", false)), growing));
        Assert.Contains("takes no letter", DeadLetterTopics.WhyRefused(source, Topic(("min.insync.replicas", "2", false))));

        static TopicDescription Growing(TopicDescription topic) => topic with { IntendedReplicationFactor = 3 };

        static TopicDescription Topic(params (string Name, string Value, bool IsDefault)[] configs) => new("t", Guid.Empty,
            [new PartitionDescription(0, 1, 1, [1], [1], 0, 0, 0, 0, null)],
            [.. configs.Select(static config => new ConfigEntry(config.Name, config.Value, config.IsDefault))]);
    }

    [Fact]
    public async Task Letters_do_not_wait_each_for_descriptions_that_fail()
    {
        var clock = new ManualClock();
        await using var broker = await OpenAsync(new MemoryFileSystem());
        var away = new UndescribedTopics(broker);
        var topics = new DeadLetterTopics(() => away, EngineLog.Silent, clock);
        for (var letters = 0; letters < 3; letters++)
            await topics.CheckAsync("orders", "letters", default);
        Assert.Equal(1, away.Asked);
        clock.Advance(TimeSpan.FromSeconds(5));
        await topics.CheckAsync("orders", "letters", default);
        Assert.Equal(2, away.Asked);
    }

    private sealed class UndescribedTopics(IBroker inner) : ForwardingBroker(inner)
    {
        public int Asked { get; private set; }

        public override ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            Asked++;
            return ValueTask.FromException<TopicDescription>(new BrokerException(ErrorCode.RequestTimedOut, "Away."));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Letters_wait_for_a_target_that_is_still_given_its_replicas(bool doBrokersCome)
    {
        var clock = new ManualClock();
        await using var broker = await OpenAsync(new MemoryFileSystem());
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        var topic = await broker.CreateTopicAsync(new NewTopic("letters", 1));
        var growing = new GrowingTopics(broker);
        var target = new DeadLetterTarget(topic.TopicId, 0);
        var port = new DeadLetterPublisher(() => growing, CompressionCodecs.Empty, EngineLog.Silent, clock);
        Assert.Equal(target, await port.FindTargetAsync(Orders, "letters", null, default));
        var waits = await Assert.ThrowsAsync<BrokerException>(PublishAsync);
        Assert.Equal((ErrorCode.NotEnoughReplicas, ErrorAction.Retry), (waits.Code, waits.Action));
        Assert.Contains("'letters' has the 3 replicas", waits.Message);
        Assert.Equal(0, (await broker.DescribeTopicAsync("letters")).Partitions[0].LogEndOffset);
        growing.HasGrown = doBrokersCome;
        clock.Advance(TimeSpan.FromSeconds(4));
        await Assert.ThrowsAsync<BrokerException>(PublishAsync);
        clock.Advance(doBrokersCome ? TimeSpan.FromSeconds(1) : TimeSpan.FromMinutes(2));
        Assert.Equal(DeadLetterOutcome.Published, (await PublishAsync()).Outcome);
        Assert.Equal(1, (await broker.DescribeTopicAsync("letters")).Partitions[0].LogEndOffset);

        Task<DeadLetterResult> PublishAsync()
        {
            var intent = new DeadLetterIntent(8, Guid.Empty, 0, target, SettlementCause.Rejected, default, 0) { Origin = 1 };
            return port.PublishAsync(new DeadLetterSource(Orders, Guid.Empty, "queue/work", "letters"), target,
                [new DeadLetter(intent, new OrleansMq.Records.Record { Value = "x"u8.ToArray() })], default);
        }
    }

    [Fact]
    public void Expired_letter_does_not_go_round_in_a_circle_unless_a_consumer_refused_it_on_its_way()
    {
        Assert.True(IsCycle(SettlementCause.Expired, ("topic", "a"), ("cause", "expired"), ("topic", "b"), ("cause", "overflow")));
        Assert.False(IsCycle(SettlementCause.Rejected, ("topic", "a"), ("cause", "expired")));
        Assert.False(IsCycle(SettlementCause.Expired, ("topic", "a"), ("cause", "expired"), ("topic", "b"), ("cause", "rejected")));
        Assert.False(IsCycle(SettlementCause.Expired, ("topic", "b"), ("cause", "expired")));
        Assert.False(IsCycle(SettlementCause.Expired));
    }

    // A batch that says gzip, and is not.
    private static byte[] Garbage()
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(0, [], false, "garbage"u8, true);
        var batch = builder.Build().ToArray();
        batch[22] = (byte)CompressionType.Gzip;
        RecordBatches.Seal(batch);
        return batch;
    }

    private static bool IsCycle(SettlementCause cause, params (string Name, string Value)[] headers)
    {
        using var batch = new RecordBatchBuilder();
        batch.Add(0, [], false, [], false, [.. headers.Select(header => new RecordHeader(
            Encoding.UTF8.GetBytes("omq.dead-letter." + header.Name), Encoding.UTF8.GetBytes(header.Value)))]);
        using var reader = new RecordReader(batch.Build(), CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        return Letters.IsCycle(new DeadLetter(new DeadLetterIntent(0, default, 0, default, cause, default, 0), reader.Current), "a");
    }

    private static Task<LocalBroker> OpenAsync(MemoryFileSystem disk) =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = disk, Codecs = StandardCodecs.All });

    private static async Task StartAsync(LocalBroker broker, int records)
    {
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        await broker.CreateTopicAsync(new NewTopic("letters", 1));
        await broker.Queues.CreateAsync(Orders, new NewQueue("work") { Options = new QueueOptions { DeadLetterTopic = "letters" } });
        for (var i = 0; i < records; i++)
            await broker.ProduceAsync(Orders, TestBatches.Of($"{i}"), Acks.All);
    }

    private static IDeadLetterPort NoPort(LocalBroker broker)
    {
        var port = broker.Partitions.First().Ports.DeadLetters;
        SetPort(broker, NoDeadLetters.Instance);
        return port;
    }

    private static void SetPort(LocalBroker broker, IDeadLetterPort port) => broker.Partitions.First().Ports.DeadLetters = port;

    private static async Task RejectAllAsync(LocalBroker broker, int records, string? reason = null)
    {
        var consumer = await broker.Queues.AttachAsync(Orders, "work", new QueueAttachOptions());
        for (var left = records; left > 0;)
        {
            var delivery = (await broker.Queues.ReceiveAsync(Orders, consumer, left, Patience))!;
            left -= delivery.Records.Count;
            foreach (var record in delivery.Records)
            {
                Assert.Equal([ErrorCode.None], await broker.Queues.SettleAsync(Orders, consumer,
                    [new QueueSettlement(delivery.Lock, record.Offset, record.Offset, QueueAction.Reject) { Reason = reason }]));
            }
        }
        await broker.Queues.DetachAsync(Orders, consumer);
    }

    private static async Task<(long Settled, int Pending)> DescribeAsync(LocalBroker broker)
    {
        var cursors = broker.Partitions.Single(partition => partition.TopicPartition == Orders).Cursors;
        return await cursors.AskAsync(term => term.Find(QueueConfigurations.CursorOf("work"))!.Cursor.State is { } state
            ? (state.Total(SettlementCause.DeadLettered) + state.Total(SettlementCause.Rejected), state.Intents.Count) : default);
    }

    private static async Task<List<string>> ReadAsync(LocalBroker broker, int count)
    {
        var read = new List<string>();
        await UntilAsync(async () =>
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("letters", 0), 0) { MaxBytes = 10 << 20 });
            read = [.. Values(fetched.Records)];
            return read.Count >= count && (await DescribeAsync(broker)).Pending == 0;
        });
        return read;
    }

    private static IEnumerable<string> Values(ReadOnlyMemory<byte> records)
    {
        using var reader = new RecordReader(records, CompressionCodecs.Empty);
        while (reader.MoveNext())
            yield return reader.Current.Value is { } value ? Encoding.UTF8.GetString(value.Span) : "";
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!await condition())
            await Task.Delay(20, patience.Token);
    }

    // The cluster has three brokers, and all topics but the letters have their replicas.
    private sealed class GrowingTopics(IBroker inner) : ForwardingBroker(inner)
    {
        public bool HasGrown { get; set; }

        public override async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            var described = await base.DescribeTopicAsync(topic, cancellationToken);
            var isGrowing = topic == "letters" && !HasGrown;
            return described with
            {
                Configs = [.. described.Configs.Select(config => config.Name == "min.insync.replicas"
                    ? config with { Value = isGrowing ? "1" : "2" } : config)],
                IntendedReplicationFactor = isGrowing ? 3 : null,
            };
        }
    }
}
