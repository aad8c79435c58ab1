using System.Text.Json.Serialization;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>The usage of the client library over a real broker; one subclass for each way to reach it. Tests may share the broker, so each
/// test uses its own topics.</summary>
public abstract partial class ClientEndToEnd
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    protected abstract OrleansMqClient Client { get; }

    private async Task<string> TopicAsync(int partitions = 1, params (string Key, string Value)[] configs)
    {
        var name = $"topic-{Guid.NewGuid():n}";
        await Client.Admin.CreateTopicAsync(name, partitions, configs.ToDictionary(pair => pair.Key, pair => pair.Value));
        return name;
    }

    private static async Task<List<ConsumeResult<TKey, TValue>>> TakeAsync<TKey, TValue>(IPartitionReader<TKey, TValue> reader, int count)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        var taken = new List<ConsumeResult<TKey, TValue>>();
        if (count == 0)
            return taken;
        await foreach (var record in reader.WithCancellation(deadline.Token))
        {
            taken.Add(record);
            if (taken.Count == count)
                break;
        }
        return taken;
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    public async Task Sent_records_are_read_from_all_partitions_in_key_order(CompressionType compression)
    {
        const int Count = 10_000;
        var topic = await TopicAsync(partitions: 3);
        await using (var producer = Client.CreateProducer<string, string>(new ProducerOptions { Compression = compression }))
        {
            for (var i = 0; i < Count; i++)
                await producer.EnqueueAsync(new(topic, $"key {i % 50}", $"value {i}"));
        }

        await using var reader = Client.CreatePartitionReader<string, string>();
        reader.Assign(await Client.Admin.ListPartitionsAsync(topic), ReadFrom.Earliest);
        var records = await TakeAsync(reader, Count);

        Assert.Equal(Count, records.Select(record => record.Value).Distinct().Count());
        Assert.Equal(3, records.Select(record => record.TopicPartition).Distinct().Count());
        foreach (var key in records.GroupBy(record => record.Key))
        {
            Assert.Single(key.Select(record => record.TopicPartition).Distinct());
            var numbers = key.Select(record => int.Parse(record.Value["value ".Length..])).ToArray();
            Assert.Equal(numbers.Order(), numbers);
        }
        foreach (var partition in records.GroupBy(record => record.TopicPartition))
            Assert.Equal(Enumerable.Range(0, partition.Count()).Select(offset => (long)offset), partition.Select(record => record.Offset));
    }

    [Fact]
    public async Task Delivery_report_identifies_the_record()
    {
        var topic = await TopicAsync(partitions: 2);
        await using var producer = Client.CreateProducer<Ignore, string>();
        var reports = new List<(string Value, DeliveryReport Report)>();
        for (var i = 0; i < 20; i++)
            reports.Add(($"{i}",
                await producer.SendAsync(new(topic, default, $"{i}") { Timestamp = DateTimeOffset.UtcNow.AddSeconds(-i) })));

        await using var reader = Client.CreatePartitionReader<Ignore, string>();
        foreach (var (value, report) in reports)
        {
            reader.Assign(report.TopicPartition, ReadFrom.Offset(report.Offset));
            var record = Assert.Single(await TakeAsync(reader, 1));
            Assert.Equal((value, report.Offset, report.Timestamp), (record.Value, record.Offset, record.Timestamp));
            reader.Unassign(report.TopicPartition);
        }
    }

    [Fact]
    public async Task JSON_and_headers_round_trip()
    {
        var topic = await TopicAsync();
        var format = Serdes.Json(EndToEndJson.Default.Order);
        await using var producer = Client.CreateProducer<long, Order?>(values: format!);
        await producer.SendAsync(new(topic, 7,
            new Order("apples", 2)) { Headers = new[] { RecordHeaders.Text("trace", "abc"), RecordHeaders.Text("none", null) } });
        await producer.SendAsync(new(topic, 7, null));

        await using var reader = Client.CreatePartitionReader<long, Order?>(values: format!);
        reader.Assign(new TopicPartition(topic, 0), ReadFrom.Earliest);
        var records = await TakeAsync(reader, 2);

        Assert.Equal((7, new Order("apples", 2)), (records[0].Key, records[0].Value));
        Assert.Equal(["trace=abc", "none="], records[0].Headers.Select(header => $"{header.Name()}={header.TextValue()}"));
        Assert.Null(records[1].Value);
        Assert.Empty(records[1].Headers);
    }

    [Fact]
    public async Task Reader_at_the_end_gets_new_records()
    {
        var topic = await TopicAsync();
        var partition = new TopicPartition(topic, 0);
        await using var producer = Client.CreateProducer<Ignore, string>();
        await producer.SendAsync(new(topic, default, "old"));
        await using var reader = Client.CreatePartitionReader<Ignore, string>();
        reader.Assign(partition, ReadFrom.Latest);
        Assert.Equal(1, await reader.GetPositionAsync(partition));
        Assert.Null(await reader.ReadAsync(TimeSpan.FromMilliseconds(50)));

        var waiting = reader.ReadAsync().AsTask();
        await producer.SendAsync(new(topic, default, "new"));

        Assert.Equal("new", (await waiting.WaitAsync(Deadline)).Value);
        Assert.Equal(2, await reader.GetPositionAsync(partition));
    }

    [Fact]
    public async Task Reader_starts_at_a_timestamp_or_a_seek_position()
    {
        var topic = await TopicAsync();
        var partition = new TopicPartition(topic, 0);
        var start = DateTimeOffset.FromUnixTimeMilliseconds(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()).AddHours(-1);
        await using var producer = Client.CreateProducer<Ignore, int>();
        for (var i = 0; i < 10; i++)
            await producer.SendAsync(new(topic, default, i) { Timestamp = start.AddMinutes(i) });
        await using var reader = Client.CreatePartitionReader<Ignore, int>();

        reader.Assign(partition, ReadFrom.Time(start.AddMinutes(4).AddSeconds(-1)));
        Assert.Equal([4, 5], (await TakeAsync(reader, 2)).Select(record => record.Value));
        reader.Seek(partition, ReadFrom.Offset(8));
        Assert.Equal([8, 9], (await TakeAsync(reader, 2)).Select(record => record.Value));
        reader.Seek(partition, ReadFrom.Earliest);
        Assert.Equal([0], (await TakeAsync(reader, 1)).Select(record => record.Value));
        reader.Seek(partition, ReadFrom.Time(start.AddHours(2)));
        Assert.Equal(10, await reader.GetPositionAsync(partition));
    }

    [Fact]
    public async Task Deleted_records_are_out_of_range_and_never_skipped()
    {
        var topic = await TopicAsync();
        var partition = new TopicPartition(topic, 0);
        await using var producer = Client.CreateProducer<Ignore, int>();
        for (var i = 0; i < 5; i++)
            await producer.SendAsync(new(topic, default, i));
        Assert.Equal(3, await Client.Admin.DeleteRecordsAsync(partition, 3));
        await using var reader = Client.CreatePartitionReader<Ignore, int>();

        reader.Assign(partition, ReadFrom.Offset(1));
        var error = await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => reader.ReadAsync().AsTask().WaitAsync(Deadline));
        await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => reader.ReadAsync().AsTask().WaitAsync(Deadline));

        Assert.Equal((partition, 1, 3), (error.Partition, error.Offset, error.LogStartOffset));
        reader.Seek(partition, ReadFrom.Earliest);
        Assert.Equal([3, 4], (await TakeAsync(reader, 2)).Select(record => record.Value));
    }

    [Fact]
    public async Task Administration_creates_describes_changes_and_deletes()
    {
        var topic = await TopicAsync(partitions: 2, ("retention.ms", "60000"));

        Assert.Equal(2, (await Client.Admin.EnsureTopicAsync(topic, 1)).Partitions.Count);
        Assert.Equal(2, (await Client.Admin.EnsureTopicAsync(topic)).Partitions.Count);
        var fewer = await Assert.ThrowsAsync<BrokerException>(() => Client.Admin.EnsureTopicAsync(topic, 9));
        Assert.Equal(ErrorCode.InvalidPartitions, fewer.Code);
        Assert.Equal(4, (await Client.Admin.AddPartitionsAsync(topic, 4)).Partitions.Count);
        var altered = await Client.Admin.AlterTopicAsync(topic,
            new Dictionary<string, string?> { ["retention.ms"] = null, ["segment.bytes"] = "1048576" });
        Assert.True(altered.Configs.Single(config => config.Name == "retention.ms").IsDefault);
        Assert.Equal("1048576", altered.Configs.Single(config => config.Name == "segment.bytes").Value);
        Assert.Contains(await Client.Admin.ListTopicsAsync(), listing => listing.Name == topic && listing.Partitions == 4);
        Assert.Single((await Client.Admin.DescribeClusterAsync()).Brokers);
        await Client.Admin.DeleteTopicAsync(topic);
        var error = await Assert.ThrowsAsync<BrokerException>(() => Client.Admin.DescribeTopicAsync(topic));
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, ErrorAction.Abort), (error.Code, error.Action));
    }

    [Fact]
    public async Task Refused_records_fail_and_the_producer_continues()
    {
        var topic = await TopicAsync(1, ("cleanup.policy", "compact"), ("max.message.bytes", "2000"));
        await using var producer = Client.CreateProducer<string?, string>();

        var keyless = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(new(topic, null, "a record without a key"))
            .AsTask().WaitAsync(Deadline));
        var large = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(new(topic, "k", new string('x', 5000))).AsTask()
            .WaitAsync(Deadline));

        Assert.Equal((ErrorAction.Abort, false), (keyless.Action, keyless.MayBeWritten));
        Assert.Equal((ErrorCode.MessageTooLarge, ErrorAction.Abort, false), (large.Code, large.Action, large.MayBeWritten));
        Assert.Equal(0, (await producer.SendAsync(new(topic, "k", "fits")).AsTask().WaitAsync(Deadline)).Offset);
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Snappy)]
    public async Task Oversized_batches_are_split_without_loss_or_reordering(CompressionType compression)
    {
        const int Count = 3000;
        var topic = await TopicAsync(1, ("max.message.bytes", "3000"));
        var reported = new List<(int Number, DeliveryReport Report)>();
        var random = new Random(1);
        await using (var producer = Client.CreateProducer<int, byte[]>(new ProducerOptions { Compression = compression }))
        {
            for (var i = 0; i < Count; i++)
            {
                var (number, value) = (i, new byte[random.Next(400)]);
                random.NextBytes(value);
                await producer.EnqueueAsync(new(topic, number, value) { Headers = new[] { RecordHeaders.Text("n", $"{number}") } },
                    report => reported.Add((number, report)));
            }
            await producer.FlushAsync();
            Assert.Equal(0, producer.Statistics.BufferedBytes);
        }

        Assert.Equal(Enumerable.Range(0, Count), reported.Select(entry => entry.Number));
        Assert.Equal(Enumerable.Range(0, Count).Select(offset => (long)offset), reported.Select(entry => entry.Report.Offset));
        await using var reader = Client.CreatePartitionReader<int, byte[]>();
        reader.Assign(new TopicPartition(topic, 0), ReadFrom.Earliest);
        var records = await TakeAsync(reader, Count);
        Assert.Equal(Enumerable.Range(0, Count), records.Select(record => record.Key));
        Assert.All(records, record => Assert.Equal($"{record.Key}", Assert.Single(record.Headers).TextValue()));
    }

    [Fact]
    public async Task Several_producers_and_readers_share_a_topic()
    {
        const int Each = 2000;
        var topic = await TopicAsync(partitions: 2);
        var reading = Enumerable.Range(0, 2).Select(async partition =>
        {
            await using var reader = Client.CreatePartitionReader<Ignore, string>();
            reader.Assign(new TopicPartition(topic, partition), ReadFrom.Earliest);
            return (await TakeAsync(reader, 2 * Each)).Select(record => record.Value).ToArray();
        }).ToArray();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async number =>
        {
            await using var producer = Client.CreateProducer<Ignore, string>();
            for (var i = 0; i < Each; i++)
                await producer.EnqueueAsync(new(topic, default, $"{number} {i}") { Partition = i % 2 });
        }));

        var read = await Task.WhenAll(reading);

        for (var partition = 0; partition < 2; partition++)
        {
            foreach (var producer in read[partition].Select(value => value.Split(' '))
                .GroupBy(parts => parts[0], parts => int.Parse(parts[1])))
                Assert.Equal(Enumerable.Range(0, Each).Where(i => i % 2 == partition), producer);
        }
    }

    public sealed record Order(string What, int Pieces);

    [JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
    [JsonSerializable(typeof(Order))]
    internal sealed partial class EndToEndJson : JsonSerializerContext;
}
