using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Quotas;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Sasl;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Quotas;

/// <summary>Kafka's clients are slowed, and its tools administer quotas.</summary>
public sealed class QuotaClientTests
{
    [SkippableFact]
    public async Task Confluent_Kafka_writes_and_reads_everything_at_its_rate()
    {
        Librdkafka.Require();
        await using var server = await SaslServer.StartAsync();
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        await server.LimitAsync(new QuotaEntity("admin"), QuotaKey.ProducerByteRate, 100_000);
        await server.LimitAsync(new QuotaEntity("admin"), QuotaKey.ConsumerByteRate, 100_000);
        // A window may be used at once. What is beyond it takes about a second.
        const int records = 22;
        var writer = new ProducerConfig(Client()) { EnableIdempotence = true, BatchSize = 60_000 };
        using (var producer = new ProducerBuilder<Null, byte[]>(writer).Build())
        {
            await Task.WhenAll(Enumerable.Range(0, records).Select(_ =>
                producer.ProduceAsync("orders", new Message<Null, byte[]> { Value = new byte[50_000] })));
        }
        Assert.True(server.Broker.Quotas.SecondsThrottled("admin", QuotaKey.ProducerByteRate) > 0);
        using var consumer = new ConsumerBuilder<Ignore, byte[]>(new ConsumerConfig(Client()) { GroupId = "readers" }).Build();
        consumer.Assign(new TopicPartitionOffset("orders", 0, 0));
        for (var offset = 0; offset < records; offset++)
            Assert.Equal(offset, consumer.Consume(KafkaServer.Patience).Offset.Value);
        Assert.True(server.Broker.Quotas.SecondsThrottled("admin", QuotaKey.ConsumerByteRate) > 0);
        Assert.Equal(records, (await server.Broker.FindOffsetAsync(new OrleansMq.TopicPartition("orders", 0), OffsetSpec.Latest)).Offset);

        // Each has its own: a configuration shares what it is made from.
        ClientConfig Client() => new()
        {
            BootstrapServers = server.Address,
            SecurityProtocol = Confluent.Kafka.SecurityProtocol.SaslPlaintext,
            SaslMechanism = SaslMechanism.Plain,
            SaslUsername = "admin",
            SaslPassword = SaslServer.AdminPassword,
        };
    }

    [SkippableFact]
    public async Task Kafkas_tool_sets_describes_and_removes_quotas()
    {
        await using var server = await KafkaServer.StartAsync();
        await server.AddUserAsync("alice", "secret");
        await RunAsync("--alter", "--entity-type", "users", "--entity-name", "alice", "--add-config",
            "producer_byte_rate=1024,request_percentage=12.5");
        await RunAsync("--alter", "--entity-type", "users", "--entity-default", "--entity-type", "clients", "--entity-name", "app",
            "--add-config", "consumer_byte_rate=2048");
        await RunAsync("--alter", "--entity-type", "ips", "--entity-name", "10.0.0.1", "--add-config", "connection_creation_rate=5");
        Assert.Equal([(new QuotaEntity(null, null, "10.0.0.1"), 1), (new QuotaEntity("", "app"), 1), (new QuotaEntity("alice"), 2)],
            server.Broker.Quotas.List(QuotaFilter.All).Select(static one => (one.Entity, one.Limits.Count)));

        var users = await RunAsync("--describe", "--entity-type", "users");
        Assert.Contains("user-principal 'alice'", users, StringComparison.Ordinal);
        Assert.Contains("producer_byte_rate=1024", users, StringComparison.Ordinal);
        Assert.Contains("SCRAM-SHA-256", users, StringComparison.Ordinal);

        await RunAsync("--alter", "--entity-type", "users", "--entity-name", "alice", "--delete-config",
            "producer_byte_rate,request_percentage");
        Assert.DoesNotContain(server.Broker.Quotas.List(QuotaFilter.All), static one => one.Entity.User == "alice");

        Task<string> RunAsync(params string[] arguments) => ClientProgram.JavaAsync("kafka.admin.ConfigCommand",
            ["--bootstrap-server", server.Address, .. arguments]);
    }
}
