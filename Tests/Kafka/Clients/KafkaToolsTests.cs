using OrleansMq.Brokers;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Apache Kafka's own command-line tools, where they are.</summary>
public sealed class KafkaToolsTests : IAsyncLifetime
{
    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Topics_are_created_described_changed_and_deleted()
    {
        const string tool = "org.apache.kafka.tools.TopicCommand";
        await RunAsync(tool, ["--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=1000"]);
        var described = await RunAsync(tool, ["--describe", "--topic", "orders"]);
        Assert.Contains("PartitionCount: 3", described, StringComparison.Ordinal);
        Assert.Contains("retention.ms=1000", described, StringComparison.Ordinal);
        Assert.Contains("Leader: 0", described, StringComparison.Ordinal);
        await RunAsync(tool, ["--alter", "--topic", "orders", "--partitions", "5"]);
        Assert.Equal(5, _server.Broker.Metadata.Image.FindServed("orders")!.Serving);
        var configured = await RunAsync("kafka.admin.ConfigCommand", ["--entity-type", "topics", "--entity-name", "orders", "--alter", "--add-config", "cleanup.policy=compact"]);
        Assert.Contains("Completed", configured, StringComparison.Ordinal);
        Assert.Contains("cleanup.policy=compact", await RunAsync("kafka.admin.ConfigCommand", ["--entity-type", "topics", "--entity-name", "orders", "--describe"]), StringComparison.Ordinal);
        await RunAsync(tool, ["--delete", "--topic", "orders"]);
        Assert.Equal("", (await RunAsync(tool, ["--list"])).Trim());
    }

    [SkippableFact]
    public async Task The_consoles_produce_and_consume_in_a_group_that_the_group_tool_shows()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "orders"], "one\ntwo\nthree\n");
        var read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--topic", "orders", "--from-beginning", "--max-messages", "3", "--group", "readers"]);
        Assert.Equal(["one", "three", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        const string groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        Assert.Contains("readers", await RunAsync(groups, ["--list"]), StringComparison.Ordinal);
        var described = await RunAsync(groups, ["--describe", "--group", "readers"]);
        Assert.Contains("orders", described, StringComparison.Ordinal);
        await RunAsync(groups, ["--group", "readers", "--topic", "orders", "--reset-offsets", "--to-earliest", "--execute"]);
        read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--topic", "orders", "--max-messages", "3", "--group", "readers"]);
        Assert.Equal(3, read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        await RunAsync(groups, ["--delete", "--group", "readers"]);
    }

    [SkippableFact]
    public async Task The_console_consumer_reads_in_a_group_of_the_consumer_protocol()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "orders"], "one\ntwo\n");
        var read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--topic", "orders", "--max-messages", "2", "--group", "modern",
            "--command-property", "group.protocol=consumer", "--command-property", "auto.offset.reset=earliest"]);
        Assert.Equal(["one", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        var described = await RunAsync("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", ["--describe", "--group", "modern", "--state"]);
        Assert.Contains("modern", described, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task The_performance_producer_loses_nothing()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 3));
        var report = await ClientProgram.JavaAsync("org.apache.kafka.tools.ProducerPerformance", ["--topic", "orders", "--num-records", "20000", "--record-size", "100",
            "--throughput", "-1", "--producer-props", $"bootstrap.servers={_server.Address}", "acks=all", "compression.type=zstd"]);
        Assert.Contains("20000 records sent", report, StringComparison.Ordinal);
        var ends = await Task.WhenAll(Enumerable.Range(0, 3).Select(number => _server.Broker.FindOffsetAsync(new TopicPartition("orders", number), OffsetSpec.Latest).AsTask()));
        Assert.Equal(20_000, ends.Sum(static end => end.Offset));
    }

    private Task<string> RunAsync(string main, string[] arguments, string input = "") =>
        ClientProgram.JavaAsync(main, ["--bootstrap-server", _server.Address, .. arguments], input);
}
