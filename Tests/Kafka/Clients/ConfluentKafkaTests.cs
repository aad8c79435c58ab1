using System.Text;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using KafkaCompression = Confluent.Kafka.CompressionType;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Confluent.Kafka, the usual client of .NET services: it reads back what it wrote, from any position.</summary>
public sealed class ConfluentKafkaTests : IAsyncLifetime
{
    private const int FirstOffset = 0;
    private static readonly DateTime FirstTime = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableTheory]
    [InlineData(KafkaCompression.None)]
    [InlineData(KafkaCompression.Gzip)]
    [InlineData(KafkaCompression.Snappy)]
    [InlineData(KafkaCompression.Lz4)]
    [InlineData(KafkaCompression.Zstd)]
    public async Task Records_round_trip_in_every_codec(KafkaCompression codec)
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        var sent = Enumerable.Range(0, 500).Select(static number => new Message<byte[]?, byte[]?>
        {
            Key = number % 3 == 0 ? null : Encoding.UTF8.GetBytes($"key {number}"),
            Value = number % 5 == 0 ? null : Encoding.UTF8.GetBytes($"value {number} value {number} value {number}"),
            Timestamp = new Timestamp(FirstTime.AddSeconds(number)),
            Headers = new Headers { { "trace", Encoding.UTF8.GetBytes($"{number}") }, { "trace", Array.Empty<byte>() }, { "none", null } },
        }).ToArray();
        using (var producer = Producer(config => config.CompressionType = codec))
            await Task.WhenAll(sent.Select(message => producer.ProduceAsync("orders", message)));

        using var consumer = Reader(FirstOffset);
        foreach (var expected in sent)
        {
            var read = Next(consumer).Message;
            Assert.Equal(expected.Key, read.Key);
            Assert.Equal(expected.Value, read.Value);
            Assert.Equal(expected.Timestamp, read.Timestamp);
            Assert.Equal(expected.Headers.Select(static header => (header.Key, Text(header))),
                read.Headers.Select(static header => (header.Key, Text(header))));
        }
        using var stored = await _server.Broker.FetchAsync(new FetchRequest(new TopicPartition("orders", 0), 0));
        // A batch of a record or two may be larger when compressed; librdkafka then sends it uncompressed.
        Assert.Contains($"{codec}", BatchCodecs.Of(stored.Records.Span), StringComparer.OrdinalIgnoreCase);
    }

    [SkippableFact]
    public async Task Record_of_eight_megabytes_is_accepted_only_where_the_topic_allows_it()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new NewTopic("large",
            Configs: new Dictionary<string, string> { ["max.message.bytes"] = "10000000" }));
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        var value = new byte[8 << 20];
        new Random(8).NextBytes(value);
        using (var producer = Producer(static config => config.MessageMaxBytes = 10_000_000))
        {
            await producer.ProduceAsync("large", new Message<byte[]?, byte[]?> { Value = value });
            var refused = await Assert.ThrowsAsync<ProduceException<byte[]?, byte[]?>>(() =>
                producer.ProduceAsync("orders", new Message<byte[]?, byte[]?> { Value = value }));
            Assert.Equal(Confluent.Kafka.ErrorCode.MsgSizeTooLarge, refused.Error.Code);
            await producer.ProduceAsync("orders", new Message<byte[]?, byte[]?> { Value = value[..100_000] });
        }
        // One fetch requests far fewer bytes than the record has.
        using var consumer = Reader(FirstOffset, "large");
        Assert.Equal(value, Next(consumer).Message.Value);
    }

    [SkippableFact]
    public async Task Consumer_seeks_by_time_and_offset_and_sees_the_end()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        using (var producer = Producer())
        {
            for (var number = 0; number < 100; number++)
                await producer.ProduceAsync("orders",
                    new Message<byte[]?, byte[]?> { Value = [(byte)number], Timestamp = new Timestamp(FirstTime.AddMinutes(number)) });
        }
        using var consumer = Reader(FirstOffset);
        Assert.Equal(0, Next(consumer).Message.Value![0]);
        Assert.Equal((0L, 100L), Bounds(consumer.QueryWatermarkOffsets(new KafkaPartition("orders", 0), KafkaServer.Patience)));
        var partition = new KafkaPartition("orders", 0);
        var found = consumer.OffsetsForTimes([new TopicPartitionTimestamp(partition, new Timestamp(FirstTime.AddMinutes(41.5)))],
            KafkaServer.Patience);
        Assert.Equal(42, Assert.Single(found).Offset.Value);
        consumer.Seek(found[0]);
        Assert.Equal(42, Next(consumer).Message.Value![0]);
        var never = consumer.OffsetsForTimes([new TopicPartitionTimestamp(partition, new Timestamp(FirstTime.AddYears(1)))],
            KafkaServer.Patience);
        Assert.Equal(Offset.End, Assert.Single(never).Offset);
        consumer.Seek(new TopicPartitionOffset(partition, 99));
        Assert.Equal(99, Next(consumer).Message.Value![0]);
        Assert.True(Next(consumer).IsPartitionEOF);
    }

    [SkippableFact]
    public async Task Idempotent_producer_keeps_order_over_many_batches()
    {
        Librdkafka.Require();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders"));
        var failed = 0;
        using (var producer =
            Producer(static config => (config.EnableIdempotence, config.LingerMs, config.BatchNumMessages) = (true, 1, 100)))
        {
            for (var number = 0; number < 20_000; number++)
            {
                producer.Produce("orders", new Message<byte[]?, byte[]?> { Value = BitConverter.GetBytes(number) }, report =>
                {
                    if (report.Error.IsError)
                        Interlocked.Increment(ref failed);
                });
            }
            Assert.Equal(0, producer.Flush(KafkaServer.Patience));
        }
        Assert.Equal(0, failed);
        using var consumer = Reader(FirstOffset);
        for (var number = 0; number < 20_000; number++)
            Assert.Equal(number, BitConverter.ToInt32(Next(consumer).Message.Value!));
        Assert.True(Next(consumer).IsPartitionEOF);
    }

    private static string? Text(IHeader header) => header.GetValueBytes() is { } bytes ? Encoding.UTF8.GetString(bytes) : null;

    private static (long, long) Bounds(WatermarkOffsets offsets) => (offsets.Low.Value, offsets.High.Value);

    private IProducer<byte[]?, byte[]?> Producer(Action<ProducerConfig>? change = null)
    {
        var config = new ProducerConfig { BootstrapServers = _server.Address, LingerMs = 50 };
        change?.Invoke(config);
        return new ProducerBuilder<byte[]?, byte[]?>(config).Build();
    }

    private IConsumer<byte[]?, byte[]?> Reader(long offset, string topic = "orders")
    {
        var consumer = new ConsumerBuilder<byte[]?, byte[]?>(new ConsumerConfig { BootstrapServers = _server.Address, GroupId = "unused",
            EnablePartitionEof = true }).Build();
        consumer.Assign(new TopicPartitionOffset(topic, 0, offset));
        return consumer;
    }

    private static ConsumeResult<byte[]?, byte[]?> Next(IConsumer<byte[]?, byte[]?> consumer)
    {
        var next = consumer.Consume(KafkaServer.Patience);
        Assert.True(next is not null, "Nothing came.");
        return next!;
    }
}
