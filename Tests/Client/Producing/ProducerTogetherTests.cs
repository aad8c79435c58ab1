using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerTogetherTests : ProducerFixture
{
    [Fact]
    public async Task Records_are_one_batch_behind_what_was_sent_before()
    {
        var counts = new List<int>();
        Broker.OnProduce = call =>
        {
            counts.Add(call.Header.RecordCount);
            return Reaction.Normal;
        };
        await using var producer = NewProducer(Still with { Linger = TimeSpan.FromSeconds(10), BatchSize = 1024 });
        await producer.SendAsync(Record("first")).SoonAsync();
        producer.Send(Record("before"));

        var reports = await producer.SendTogetherAsync(
            [.. Enumerable.Range(0, 50).Select(number => Record($"{number} {new string('x', 100)}"))]).SoonAsync();

        Assert.Equal([1, 1, 50], counts);
        Assert.Equal(Enumerable.Range(2, 50).Select(number => (long)number), reports.Select(report => report.Offset));
        Assert.All(reports, report => Assert.Equal(new TopicPartition(Topic, 0), report.TopicPartition));
        Assert.Equal(["first", "before"], Broker.Values(Topic).Take(2));
        Assert.Equal(0, producer.Statistics.BufferedBytes);
        Assert.Equal(52, producer.Statistics.RecordsDelivered);
    }

    [Fact]
    public async Task Reports_have_the_timestamps_of_their_records()
    {
        await using var producer = NewProducer();
        var reports = await producer.SendTogetherAsync([Record("a") with { Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(7) },
            Record("b") with { Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(9) }]).SoonAsync();
        Assert.Equal([7L, 9L], reports.Select(report => report.Timestamp));
    }

    /// <summary>The append may have the time that a record has already.</summary>
    [Theory]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(9)]
    public async Task Reports_have_the_time_of_the_append_where_the_topic_stamps_it(long time)
    {
        Broker.LogAppendTime = time;
        await using var producer = NewProducer();
        var reports = await producer.SendTogetherAsync([Record("a") with { Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(7) },
            Record("b") with { Timestamp = DateTimeOffset.FromUnixTimeMilliseconds(9) }]).SoonAsync();
        Assert.Equal([time, time], reports.Select(report => report.Timestamp));
    }

    [Fact]
    public async Task Batch_that_the_topic_refuses_as_too_large_is_not_split()
    {
        Broker.OnProduce = call => call.Header.RecordCount > 1 ? Reaction.Refuse(ErrorCode.MessageTooLarge) : Reaction.Normal;
        await using var producer = NewProducer();
        var failures = 0;
        producer.DeliveryFailed += _ => failures++;

        var refused = await Assert.ThrowsAsync<ProduceException>(() => producer.SendTogetherAsync([Record("a"), Record("b")]).SoonAsync());

        Assert.Equal((ErrorCode.MessageTooLarge, false), (refused.Code, refused.MayBeWritten));
        Assert.Empty(Broker.Log(Topic));
        Assert.Equal((0, 2, 1), (failures, producer.Statistics.RecordsFailed, Broker.Calls));
        await producer.SendAsync(Record("after")).SoonAsync();
        Assert.Equal(["after"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Records_that_are_too_large_together_are_refused()
    {
        await using var producer = NewProducer(Quick with { MaxRequestSize = 2000 });
        var half = new string('x', 1000);
        var refused = await Assert.ThrowsAsync<ProduceException>(() =>
            producer.SendTogetherAsync([Record(half), Record(half)]).SoonAsync());
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Code);
        Assert.Contains("MaxRequestSize", refused.Message, StringComparison.Ordinal);
        Assert.Equal((0, 0), (Broker.Calls, producer.Statistics.BufferedBytes));
    }

    [Fact]
    public async Task Records_of_several_partitions_are_refused()
    {
        Broker.SetPartitions(Topic, 4);
        await using var producer = NewProducer();
        foreach (var other in new[] { Record("b") with { Partition = 2 }, Record("b", key: KeyOf(3)) })
        {
            var refused = await Assert.ThrowsAsync<ProduceException>(() =>
                producer.SendTogetherAsync([Record("a", key: KeyOf(1)), other]).SoonAsync());
            Assert.Equal(ErrorCode.InvalidRecord, refused.Code);
        }
        Assert.Equal((0, 0), (Broker.Calls, producer.Statistics.BufferedBytes));
        var together = await producer.SendTogetherAsync([Record("a", key: KeyOf(1)), Record("b") with { Partition = 1 }, Record("c")])
            .SoonAsync();
        Assert.Equal(["a", "b", "c"], Broker.Values(Topic, 1));
        Assert.Equal(1, together[2].TopicPartition.Partition);
        await producer.SendTogetherAsync([Record("d"), Record("e", key: KeyOf(3))]).SoonAsync();
        Assert.Equal(["d", "e"], Broker.Values(Topic, 3));

        static string KeyOf(int partition) => Enumerable.Range(0, 1000).Select(static number => $"{number}").First(key =>
            new DefaultPartitioner().Choose(Topic, System.Text.Encoding.UTF8.GetBytes(key), hasKey: true, 4) == partition);
    }

    [Fact]
    public async Task Nothing_and_several_topics_are_refused()
    {
        await using var producer = NewProducer();
        await Assert.ThrowsAsync<ArgumentException>(() => producer.SendTogetherAsync([]));
        await Assert.ThrowsAsync<ArgumentException>(() => producer.SendTogetherAsync([Record("a"), Record("b") with { Topic = "other" }]));
    }

    [Fact]
    public async Task Lost_answer_writes_them_once()
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.LoseAnswer : Reaction.Normal;
        await using var producer = NewProducer();
        var reports = await producer.SendTogetherAsync([Record("a"), Record("b"), Record("c")]).SoonAsync();
        Assert.Equal(["a", "b", "c"], Broker.Values(Topic));
        Assert.Equal([0L, 1, 2], reports.Select(report => report.Offset));
    }

    [Fact]
    public async Task Unknown_topic_fails_all()
    {
        await using var producer = new Producer<string?, string?>(Broker, options: Quick);
        var refused = await Assert.ThrowsAsync<ProduceException>(() => producer.SendTogetherAsync(
            [new ProducerRecord<string?, string?>("missing", null, "a"), new ProducerRecord<string?, string?>("missing", null, "b")])
            .SoonAsync());
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
        Assert.Equal((0, 2), (producer.Statistics.BufferedBytes, producer.Statistics.RecordsFailed));
    }

    [Fact]
    public async Task Records_wait_for_room_together_and_a_flush_waits_for_them()
    {
        var gate = NewGate();
        Broker.OnProduce = _ => Reaction.Normal with { Before = gate.Task };
        await using var producer = NewProducer(Still with { MaxRequestSize = 1500, BufferMemory = 2000 });
        var half = new string('x', 600);
        producer.Send(Record(half));
        producer.Send(Record(half));

        using var cancel = new CancellationTokenSource();
        var cancelled = producer.SendTogetherAsync([Record(half), Record(half)], cancel.Token);
        var together = producer.SendTogetherAsync([Record("a" + half), Record("b" + half)]);
        var flushed = producer.FlushAsync();
        await cancel.CancelAsync();
        await Assert.ThrowsAsync<OperationCanceledException>(() => cancelled.SoonAsync());
        Assert.False(flushed.IsCompleted);
        gate.SetResult();
        await flushed.SoonAsync();

        Assert.Equal([half, half, "a" + half, "b" + half], Broker.Values(Topic));
        var reports = await together.SoonAsync();
        Assert.Equal(reports[0].Offset + 1, reports[1].Offset);
    }
}
