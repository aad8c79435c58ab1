using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

public abstract partial class BrokerConformance
{
    private static async Task<long> ProduceAsync(IBroker broker, TopicPartition partition, params string[] values)
    {
        var produced = await broker.ProduceAsync(partition, TestBatches.Of(values), Acks.All).AsTask().WaitAsync(Deadline);
        Assert.True(produced.Error == ErrorCode.None, $"{produced.Error}: {produced.Message}");
        return produced.BaseOffset;
    }

    private static async Task<IReadOnlyList<(long Offset, string Value)>> FetchAsync(IBroker broker, TopicPartition partition,
        long offset = 0, int maxBytes = 1 << 20)
    {
        using var fetched = await broker.FetchAsync(new FetchRequest(partition, offset, maxBytes)).AsTask().WaitAsync(Deadline);
        Assert.True(fetched.Error == ErrorCode.None, $"{fetched.Error}: {fetched.Message}");
        return TestBatches.Read(fetched.Records);
    }

    [Theory]
    [InlineData(Acks.None)]
    [InlineData(Acks.Leader)]
    [InlineData(Acks.All)]
    public async Task Produced_records_are_fetched_in_order(Acks acks)
    {
        var (broker, topic) = await TopicAsync("order");
        var partition = new TopicPartition(topic, 0);
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(partition, TestBatches.Of("a", "b"), acks)).Error);
        var second = await broker.ProduceAsync(partition, TestBatches.Of("c"), Acks.All);
        Assert.Equal((ErrorCode.None, 2), (second.Error, second.BaseOffset));
        Assert.Equal([(0, "a"), (1, "b"), (2, "c")], await FetchAsync(broker, partition));
        var described = (await broker.DescribeTopicAsync(topic)).Partitions[0];
        Assert.Equal((0, 3, 3), (described.LogStartOffset, described.HighWatermark, described.LogEndOffset));
        Assert.True(described.SizeBytes > 0);
    }

    [Fact]
    public async Task Unknown_acks_value_is_refused()
    {
        var (broker, topic) = await TopicAsync("acks");
        Assert.Equal(ErrorCode.InvalidRequiredAcks,
            (await broker.ProduceAsync(new TopicPartition(topic, 0), TestBatches.Of("a"), (Acks)3)).Error);
    }

    [Fact]
    public async Task Memory_of_a_sent_batch_can_be_sent_again()
    {
        var (broker, topic) = await TopicAsync("again", 2);
        var batch = TestBatches.Of("a", "b");
        Assert.Equal(0, (await broker.ProduceAsync(new TopicPartition(topic, 0), batch, Acks.All)).BaseOffset);
        Assert.Equal(2, (await broker.ProduceAsync(new TopicPartition(topic, 0), batch, Acks.All)).BaseOffset);
        Assert.Equal(0, (await broker.ProduceAsync(new TopicPartition(topic, 1), batch, Acks.All)).BaseOffset);
        Assert.Equal([(0, "a"), (1, "b"), (2, "a"), (3, "b")], await FetchAsync(broker, new TopicPartition(topic, 0)));
    }

    [Fact]
    public async Task Fetch_starts_with_the_batch_that_contains_the_offset()
    {
        var (broker, topic) = await TopicAsync("middle");
        var partition = new TopicPartition(topic, 0);
        await ProduceAsync(broker, partition, "a", "b", "c");
        await ProduceAsync(broker, partition, "d");
        Assert.Equal([(0, "a"), (1, "b"), (2, "c"), (3, "d")], await FetchAsync(broker, partition, 2));
        Assert.Equal([(3, "d")], await FetchAsync(broker, partition, 3));
    }

    [Fact]
    public async Task Fetch_returns_at_least_one_batch_and_stays_within_its_limit()
    {
        var (broker, topic) = await TopicAsync("limit");
        var partition = new TopicPartition(topic, 0);
        await ProduceAsync(broker, partition, "a");
        await ProduceAsync(broker, partition, "b");
        await ProduceAsync(broker, partition, "c");
        var size = TestBatches.Of("a").Length;
        Assert.Equal([(1, "b")], await FetchAsync(broker, partition, 1, maxBytes: 1));
        Assert.Equal([(0, "a"), (1, "b")], await FetchAsync(broker, partition, 0, maxBytes: 3 * size - 1));
        Assert.Equal([(0, "a"), (1, "b"), (2, "c")], await FetchAsync(broker, partition, 0, maxBytes: 3 * size));
    }

    [Fact]
    public async Task Fetch_reports_log_start_and_end()
    {
        var (broker, topic) = await TopicAsync("ends");
        var partition = new TopicPartition(topic, 0);
        await ProduceAsync(broker, partition, "a", "b");
        using (var end = await broker.FetchAsync(new FetchRequest(partition, 2)))
        {
            Assert.Equal(ErrorCode.None, end.Error);
            Assert.True(end.Records.IsEmpty);
            Assert.Equal((0, 2, 2), (end.LogStartOffset, end.HighWatermark, end.LastStableOffset));
        }
        var epoch = (await broker.DescribeTopicAsync(topic)).Partitions[0].LeaderEpoch;
        foreach (var offset in new long[] { 3, 1000, -1 })
        {
            using var beyond = await broker.FetchAsync(new FetchRequest(partition, offset));
            Assert.Equal(ErrorCode.OffsetOutOfRange, beyond.Error);
            Assert.True(beyond.Records.IsEmpty);
            Assert.NotNull(beyond.Message);
            if (offset > 0)
                Assert.Equal(epoch, beyond.LeaderEpoch);
        }
    }

    [Fact]
    public async Task Waiting_fetch_wakes_for_a_record()
    {
        var (broker, topic) = await TopicAsync("poll");
        var partition = new TopicPartition(topic, 0);
        var waiting = broker.FetchAsync(new FetchRequest(partition, 0, MaxWait: LongPoll)).AsTask();
        await ProduceAsync(broker, partition, "a");
        using var fetched = await waiting.WaitAsync(Deadline);
        Assert.Equal(ErrorCode.None, fetched.Error);
        Assert.Equal([(0, "a")], TestBatches.Read(fetched.Records));
    }

    [Fact]
    public async Task Waiting_fetch_without_records_returns_nothing()
    {
        var (broker, topic) = await TopicAsync("patience");
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), 0,
            MaxWait: TimeSpan.FromMilliseconds(50))).AsTask().WaitAsync(Deadline);
        Assert.Equal(ErrorCode.None, fetched.Error);
        Assert.True(fetched.Records.IsEmpty);
    }

    [Fact]
    public async Task Waiting_fetch_waits_for_its_minimum_bytes()
    {
        var (broker, topic) = await TopicAsync("enough");
        var partition = new TopicPartition(topic, 0);
        var size = TestBatches.Of("a").Length;
        await ProduceAsync(broker, partition, "a");
        var waiting = broker.FetchAsync(new FetchRequest(partition, 0, MaxWait: LongPoll, MinBytes: 2 * size)).AsTask();
        await ProduceAsync(broker, partition, "b");
        using var fetched = await waiting.WaitAsync(Deadline);
        Assert.Equal([(0, "a"), (1, "b")], TestBatches.Read(fetched.Records));
    }

    [Fact]
    public async Task Waiting_fetch_can_be_cancelled()
    {
        var (broker, topic) = await TopicAsync("cancelled");
        using var cancellation = new CancellationTokenSource();
        var waiting = broker.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), 0, MaxWait: LongPoll), cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Deadline));
    }

    [Fact]
    public async Task Waiting_fetch_ends_when_its_topic_is_deleted()
    {
        var (broker, topic) = await TopicAsync("orphaned");
        var waiting = broker.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), 0, MaxWait: LongPoll)).AsTask();
        await broker.DeleteTopicAsync(topic);
        using var fetched = await waiting.WaitAsync(Deadline);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, fetched.Error);
    }

    [Fact]
    public async Task Damaged_and_oversized_batches_are_refused_and_leave_nothing()
    {
        var (broker, topic) = await TopicAsync("damaged", 1, ("max.message.bytes", "1000"));
        var partition = new TopicPartition(topic, 0);
        var flipped = TestBatches.Of("a");
        flipped[^1] ^= 1;
        var refused = await broker.ProduceAsync(partition, flipped, Acks.All);
        Assert.Equal((ErrorCode.CorruptMessage, -1), (refused.Error, refused.BaseOffset));
        Assert.NotNull(refused.Message);
        Assert.Equal(ErrorCode.CorruptMessage,
            (await broker.ProduceAsync(partition, TestBatches.Of("a").AsMemory()[..^1], Acks.All)).Error);
        Assert.Equal(ErrorCode.MessageTooLarge, (await broker.ProduceAsync(partition, TestBatches.OfSize(1001), Acks.All)).Error);
        Assert.Equal(0, await ProduceAsync(broker, partition, "good"));
        Assert.Equal([(0, "good")], await FetchAsync(broker, partition));
    }

    [Fact]
    public async Task Concurrent_producers_get_offsets_without_gaps_or_duplicates()
    {
        const int producers = 8, batches = 25;
        var (broker, topic) = await TopicAsync("crowd", 2);
        await Task.WhenAll(Enumerable.Range(0, producers).Select(async producer =>
        {
            for (var i = 0; i < batches; i++)
                await ProduceAsync(broker, new TopicPartition(topic, producer % 2), $"{producer}:{i}");
        }));
        for (var number = 0; number < 2; number++)
        {
            var records = await FetchAsync(broker, new TopicPartition(topic, number));
            Assert.Equal(Enumerable.Range(0, producers / 2 * batches).Select(offset => (long)offset),
                records.Select(record => record.Offset));
            foreach (var own in records.Select(record => record.Value.Split(':')).GroupBy(parts => parts[0]))
                Assert.Equal(Enumerable.Range(0, batches), own.Select(parts => int.Parse(parts[1])));
        }
    }
}
