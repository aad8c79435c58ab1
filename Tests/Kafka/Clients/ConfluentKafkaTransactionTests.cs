using System.Text.Json;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using KafkaIsolation = Confluent.Kafka.IsolationLevel;
using KafkaOffset = Confluent.Kafka.TopicPartitionOffset;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Transactions as Confluent.Kafka's users write them: what is read, by offset, and what a producer is refused.</summary>
public sealed class ConfluentKafkaTransactionTests : IAsyncLifetime
{
    private static readonly KafkaPartition Orders = new("orders", 0);
    private static readonly KafkaPartition Bills = new("bills", 0);

    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await KafkaServer.StartAsync();
        await _server.Broker.CreateTopicAsync(new NewTopic(Orders.Topic));
        await _server.Broker.CreateTopicAsync(new NewTopic(Bills.Topic));
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Committed_records_are_read_and_each_marker_takes_an_offset()
    {
        using var producer = Producer();
        await TransactAsync(producer, commits: true, "a");
        await TransactAsync(producer, commits: true, "b", "c");
        foreach (var isolation in Enum.GetValues<KafkaIsolation>())
            Assert.Equal(["0 a", "2 b", "3 c", "end 5"], Read(isolation));
    }

    [SkippableFact]
    public async Task Aborted_records_are_seen_by_readers_of_uncommitted_ones_alone()
    {
        using var producer = Producer();
        await TransactAsync(producer, commits: false, "a", "b");
        Assert.Equal(["end 3"], Read(KafkaIsolation.ReadCommitted));
        await TransactAsync(producer, commits: true, "c");
        await TransactAsync(producer, commits: false, "d");
        Assert.Equal(["3 c", "end 7"], Read(KafkaIsolation.ReadCommitted));
        Assert.Equal(["0 a", "1 b", "3 c", "5 d", "end 7"], Read(KafkaIsolation.ReadUncommitted));
    }

    [SkippableFact]
    public async Task Open_transaction_holds_the_watermarks_and_the_reader_of_committed_records()
    {
        using var producer = Producer();
        await TransactAsync(producer, commits: true, "a");
        producer.BeginTransaction();
        await SendAsync(producer, "b");
        // A record of another producer, behind the open transaction.
        using (var other = new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = _server.Address }).Build())
            await SendAsync(other, "plain");
        Assert.Equal((0, 2), Watermarks(KafkaIsolation.ReadCommitted));
        Assert.Equal((0, 4), Watermarks(KafkaIsolation.ReadUncommitted));
        Assert.Equal(["0 a", "end 2"], Read(KafkaIsolation.ReadCommitted));
        Assert.Equal(["0 a", "2 b", "3 plain", "end 4"], Read(KafkaIsolation.ReadUncommitted));
        producer.CommitTransaction(KafkaServer.Patience);
        Assert.Equal((0, 5), Watermarks(KafkaIsolation.ReadCommitted));
        Assert.Equal(["0 a", "2 b", "3 plain", "end 5"], Read(KafkaIsolation.ReadCommitted));
    }

    [SkippableFact]
    public async Task Statistics_tell_the_last_stable_offset_beside_the_high_watermark()
    {
        using var producer = Producer();
        await TransactAsync(producer, commits: true, "a");
        producer.BeginTransaction();
        await SendAsync(producer, "b");
        // Each until the client has fetched, which its statistics tell.
        Assert.Equal((2, 3), OffsetsOfStatistics(static told => told == (2, 3)));
        producer.AbortTransaction(KafkaServer.Patience);
        Assert.Equal((4, 4), OffsetsOfStatistics(static told => told == (4, 4)));
    }

    [SkippableFact]
    public async Task Offsets_of_a_transaction_count_when_it_is_committed()
    {
        using var producer = Producer();
        using (var plain = new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = _server.Address }).Build())
        {
            for (var order = 0; order < 3; order++)
                await SendAsync(plain, $"order {order}");
        }
        using var consumer = Member();
        consumer.Subscribe(Orders.Topic);
        Assert.Equal("order 0", Next(consumer).Message.Value);

        await BillAsync(producer, consumer, next: 1);
        producer.AbortTransaction(KafkaServer.Patience);
        Assert.Equal(Offset.Unset.Value, Committed(consumer));
        await BillAsync(producer, consumer, next: 1);
        producer.CommitTransaction(KafkaServer.Patience);
        Assert.Equal(1, Committed(consumer));

        Assert.Equal("order 1", Next(consumer).Message.Value);
        await BillAsync(producer, consumer, next: 2);
        // What is pending is no answer for a reader that wants stable offsets: it asks again, and the end of the transaction is one.
        Assert.Throws<KafkaException>(() => consumer.Committed([Orders], TimeSpan.FromMilliseconds(500)));
        producer.CommitTransaction(KafkaServer.Patience);
        Assert.Equal(2, Committed(consumer));
        Assert.Equal(["0 bill 1", "2 bill 1", "4 bill 2", "end 6"], Read(KafkaIsolation.ReadUncommitted, Bills));
        Assert.Equal(["2 bill 1", "4 bill 2", "end 6"], Read(KafkaIsolation.ReadCommitted, Bills));
    }

    [SkippableFact]
    public async Task Offsets_of_a_member_that_has_left_are_refused_and_the_transaction_can_be_aborted()
    {
        using var producer = Producer();
        using (var plain = new ProducerBuilder<Null, string>(new ProducerConfig { BootstrapServers = _server.Address }).Build())
            await SendAsync(plain, "order");
        using var left = Member();
        left.Subscribe(Orders.Topic);
        Assert.Equal("order", Next(left).Message.Value);
        var metadata = left.ConsumerGroupMetadata;
        left.Close();

        using var heir = Member();
        heir.Subscribe(Orders.Topic);
        Assert.Equal("order", Next(heir).Message.Value);
        producer.BeginTransaction();
        await SendAsync(producer, "bill", Bills);
        Assert.Throws<KafkaTxnRequiresAbortException>(() =>
            producer.SendOffsetsToTransaction([new KafkaOffset(Orders, 1)], metadata, KafkaServer.Patience));
        producer.AbortTransaction(KafkaServer.Patience);
        await BillAsync(producer, heir, next: 1);
        producer.CommitTransaction(KafkaServer.Patience);
        Assert.Equal(1, Committed(heir));
        Assert.Equal(["2 bill 1", "end 4"], Read(KafkaIsolation.ReadCommitted, Bills));
    }

    [SkippableFact]
    public async Task Producer_whose_id_another_has_taken_is_fenced_for_good()
    {
        using var first = Producer();
        await TransactAsync(first, commits: true, "a");
        first.BeginTransaction();
        await SendAsync(first, "lost");
        using var second = Producer();
        var fenced = await Assert.ThrowsAsync<ProduceException<Null, string>>(() => SendAsync(first, "refused"));
        Assert.Equal(Confluent.Kafka.ErrorCode.Local_Fenced, Assert.Throws<KafkaException>(() =>
            first.CommitTransaction(KafkaServer.Patience)).Error.Code);
        Assert.True(Assert.Throws<KafkaException>(first.BeginTransaction).Error.IsFatal, $"{fenced.Error}");
        await TransactAsync(second, commits: true, "b");
        // The first one's record, and the marker of its abort, lie between.
        Assert.Equal(["0 a", "4 b", "end 6"], Read(KafkaIsolation.ReadCommitted));
        Assert.Equal(["0 a", "2 lost", "4 b", "end 6"], Read(KafkaIsolation.ReadUncommitted));
    }

    [SkippableFact]
    public async Task Transaction_that_outlives_its_timeout_is_aborted()
    {
        using var producer = Producer(timeout: TimeSpan.FromSeconds(5));
        producer.BeginTransaction();
        await SendAsync(producer, "lost");
        // The marker of its abort.
        await KafkaServer.WaitUntilAsync(() => Watermarks(KafkaIsolation.ReadCommitted) == (0, 2));
        Assert.ThrowsAny<KafkaException>(() => producer.CommitTransaction(KafkaServer.Patience));
        Assert.Equal(["end 2"], Read(KafkaIsolation.ReadCommitted));
        using var next = Producer();
        await TransactAsync(next, commits: true, "a");
        Assert.Equal(["2 a", "end 4"], Read(KafkaIsolation.ReadCommitted));
    }

    private async Task BillAsync(IProducer<Null, string> producer, IConsumer<Ignore, string> consumer, long next)
    {
        producer.BeginTransaction();
        await SendAsync(producer, $"bill {next}", Bills);
        producer.SendOffsetsToTransaction([new KafkaOffset(Orders, next)], consumer.ConsumerGroupMetadata, KafkaServer.Patience);
    }

    private static async Task TransactAsync(IProducer<Null, string> producer, bool commits, params string[] values)
    {
        producer.BeginTransaction();
        foreach (var value in values)
            await SendAsync(producer, value);
        if (commits)
            producer.CommitTransaction(KafkaServer.Patience);
        else
            producer.AbortTransaction(KafkaServer.Patience);
    }

    private static Task<DeliveryResult<Null, string>> SendAsync(IProducer<Null, string> producer, string value,
        KafkaPartition? to = null) => producer.ProduceAsync(to ?? Orders, new Message<Null, string> { Value = value });

    private static long Committed(IConsumer<Ignore, string> consumer) =>
        Assert.Single(consumer.Committed([Orders], KafkaServer.Patience)).Offset.Value;

    private static ConsumeResult<Ignore, string> Next(IConsumer<Ignore, string> consumer) =>
        consumer.Consume(KafkaServer.Patience) ?? throw new TimeoutException("Nothing came.");

    private IProducer<Null, string> Producer(TimeSpan? timeout = null)
    {
        Librdkafka.Require();
        var producer = new ProducerBuilder<Null, string>(new ProducerConfig
        {
            BootstrapServers = _server.Address,
            TransactionalId = "tx",
            TransactionTimeoutMs = (int)(timeout ?? TimeSpan.FromMinutes(1)).TotalMilliseconds,
            MessageTimeoutMs = (int)(timeout ?? TimeSpan.FromMinutes(1)).TotalMilliseconds,
            LingerMs = 1,
        }).SetLogHandler(static (_, _) => { }).Build();
        producer.InitTransactions(KafkaServer.Patience);
        return producer;
    }

    private IConsumer<Ignore, string> Member() => Consumer(new ConsumerConfig
    {
        GroupId = "billing",
        AutoOffsetReset = Confluent.Kafka.AutoOffsetReset.Earliest,
        EnableAutoCommit = false,
        IsolationLevel = KafkaIsolation.ReadCommitted,
    });

    private IConsumer<Ignore, string> Consumer(ConsumerConfig config, Action<string>? statistics = null)
    {
        config.BootstrapServers = _server.Address;
        config.GroupId ??= "unused";
        var builder = new ConsumerBuilder<Ignore, string>(config).SetLogHandler(static (_, _) => { });
        return (statistics is null ? builder : builder.SetStatisticsHandler((_, told) => statistics(told))).Build();
    }

    private (long Low, long High) Watermarks(KafkaIsolation isolation)
    {
        using var consumer = Consumer(new ConsumerConfig { IsolationLevel = isolation });
        var told = consumer.QueryWatermarkOffsets(Orders, KafkaServer.Patience);
        return (told.Low.Value, told.High.Value);
    }

    private (long Stable, long High) OffsetsOfStatistics(Func<(long, long), bool> areThose)
    {
        (long, long) last = (-1, -1);
        var config = new ConsumerConfig { StatisticsIntervalMs = 50, IsolationLevel = KafkaIsolation.ReadCommitted };
        using var consumer = Consumer(config, told =>
        {
            using var json = JsonDocument.Parse(told);
            if (json.RootElement.GetProperty("topics").TryGetProperty(Orders.Topic, out var topic)
                && topic.GetProperty("partitions").TryGetProperty("0", out var partition))
                last = (partition.GetProperty("ls_offset").GetInt64(), partition.GetProperty("hi_offset").GetInt64());
        });
        consumer.Assign(new KafkaOffset(Orders, Offset.Beginning));
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        while (!areThose(last) && !patience.IsCancellationRequested)
            consumer.Consume(TimeSpan.FromMilliseconds(50));
        return last;
    }

    // Each record with its offset, and the end.
    private List<string> Read(KafkaIsolation isolation, KafkaPartition? partition = null)
    {
        using var consumer = Consumer(new ConsumerConfig { IsolationLevel = isolation, EnablePartitionEof = true });
        consumer.Assign(new KafkaOffset(partition ?? Orders, Offset.Beginning));
        var read = new List<string>();
        while (true)
        {
            var next = Next(consumer);
            if (next.IsPartitionEOF)
                return [.. read, $"end {next.Offset.Value}"];
            read.Add($"{next.Offset.Value} {next.Message.Value}");
        }
    }
}
