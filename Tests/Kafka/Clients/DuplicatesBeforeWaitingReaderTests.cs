using System.Text;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>librdkafka waits at the end of a log while an idempotent producer publishes what the log has.</summary>
public sealed class DuplicatesBeforeWaitingReaderTests
{
    // Ten fetches without anything raise librdkafka's fetch size from 1 MiB to its most; the next one is an error.
    private const int Duplicates = 15;
    private const string Topic = "orders";

    [SkippableFact]
    public async Task Confluent_Kafka_waits_for_the_next_record()
    {
        Librdkafka.Require();
        await using var server = await KafkaServer.StartAsync();
        await server.Broker.CreateTopicAsync(new NewTopic(Topic, Partitions: 1, Configs: new Dictionary<string, string>
        {
            ["dedupe.window.ms"] = "86400000",
        }));
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig
        {
            BootstrapServers = server.Address,
            GroupId = "readers",
        }).Build();
        consumer.Assign(new TopicPartitionOffset(Topic, 0, Offset.Beginning));
        await PublishAsync("first", 0);
        Assert.Equal("first", consumer.Consume(KafkaServer.Patience).Message.Value);
        for (var sequence = 1; sequence <= Duplicates; sequence++)
        {
            await PublishAsync("first", sequence);
            // Time for the fetch that passes the duplicate.
            Assert.Null(consumer.Consume(TimeSpan.FromMilliseconds(200)));
        }
        await PublishAsync("last", Duplicates + 1);
        Assert.Equal("last", consumer.Consume(KafkaServer.Patience).Message.Value);
        consumer.Close();

        async Task PublishAsync(string id, int sequence)
        {
            using var builder = new RecordBatchBuilder();
            builder.Add(1_700_000_000_000, "key"u8, true, Encoding.UTF8.GetBytes(id), true,
                [new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes(id))]);
            builder.SetProducer(1, 0, sequence);
            var result = await server.Broker.ProduceAsync(new TopicPartition(Topic, 0), builder.Build().ToArray(), Acks.All);
            Assert.True(result.Error == ErrorCode.None, result.Message);
        }
    }
}
