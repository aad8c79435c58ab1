using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Apache Kafka's own command-line tools, if installed.</summary>
public sealed class KafkaToolsTests : IAsyncLifetime
{
    // The records' timestamps are old.
    private static readonly Dictionary<string, string> s_kept = new() { ["retention.ms"] = "-1" };

    private KafkaServer _server = null!;

    public async Task InitializeAsync() => _server = await KafkaServer.StartAsync();

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Topics_are_created_described_altered_and_deleted()
    {
        const string tool = "org.apache.kafka.tools.TopicCommand";
        await RunAsync(tool, ["--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=1000"]);
        var described = await RunAsync(tool, ["--describe", "--topic", "orders"]);
        Assert.Contains("PartitionCount: 3", described, StringComparison.Ordinal);
        Assert.Contains("retention.ms=1000", described, StringComparison.Ordinal);
        Assert.Contains("Leader: 0", described, StringComparison.Ordinal);
        await RunAsync(tool, ["--alter", "--topic", "orders", "--partitions", "5"]);
        Assert.Equal(5, _server.Broker.Metadata.Image.FindServed("orders")!.Serving);
        var configured = await RunAsync("kafka.admin.ConfigCommand",
            ["--entity-type", "topics", "--entity-name", "orders", "--alter", "--add-config", "cleanup.policy=compact"]);
        Assert.Contains("Completed", configured, StringComparison.Ordinal);
        Assert.Contains("cleanup.policy=compact", await RunAsync("kafka.admin.ConfigCommand",
            ["--entity-type", "topics", "--entity-name", "orders", "--describe"]), StringComparison.Ordinal);
        await RunAsync(tool, ["--delete", "--topic", "orders"]);
        Assert.Equal("", (await RunAsync(tool, ["--list"])).Trim());
    }

    [SkippableFact]
    public async Task Console_tools_use_a_group_that_the_group_tool_shows()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "orders"], "one\ntwo\nthree\n");
        var read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer",
            ["--topic", "orders", "--from-beginning", "--max-messages", "3", "--group", "readers"]);
        Assert.Equal(["one", "three", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        const string groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        Assert.Contains("readers", await RunAsync(groups, ["--list"]), StringComparison.Ordinal);
        var described = await RunAsync(groups, ["--describe", "--group", "readers"]);
        Assert.Contains("orders", described, StringComparison.Ordinal);
        await RunAsync(groups, ["--group", "readers", "--topic", "orders", "--reset-offsets", "--to-earliest", "--execute"]);
        read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer",
            ["--topic", "orders", "--max-messages", "3", "--group", "readers"]);
        Assert.Equal(3, read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        await RunAsync(groups, ["--delete", "--group", "readers"]);
    }

    [SkippableFact]
    public async Task Console_consumer_reads_in_a_group_of_the_consumer_protocol()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2));
        await RunAsync("org.apache.kafka.tools.ConsoleProducer", ["--topic", "orders"], "one\ntwo\n");
        var read = await RunAsync("org.apache.kafka.tools.consumer.ConsoleConsumer",
            ["--topic", "orders", "--max-messages", "2", "--group", "modern",
            "--command-property", "group.protocol=consumer", "--command-property", "auto.offset.reset=earliest"]);
        Assert.Equal(["one", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        var described = await RunAsync("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            ["--describe", "--group", "modern", "--state"]);
        Assert.Contains("modern", described, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Group_offsets_are_reset_by_every_method()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", Configs: s_kept));
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 0),
            TestBatches.Of([.. Enumerable.Range(0, 10).Select(static number => $"{number}")]), Acks.All);
        const string groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        // Records are a second apart.
        var fifth = DateTimeOffset.FromUnixTimeMilliseconds(TestBatches.FirstTimestamp + 4500)
            .ToString("yyyy-MM-ddTHH:mm:ss.fff", System.Globalization.CultureInfo.InvariantCulture);
        foreach (var (way, offset) in new (string[], int)[] { (["--to-latest"], 10), (["--shift-by", "-3"], 7),
            (["--to-datetime", fifth], 5), (["--to-offset", "2"], 2) })
        {
            var told = await RunAsync(groups, ["--group", "readers", "--topic", "orders", "--reset-offsets", .. way, "--execute"]);
            Assert.Matches($@"readers\s+orders\s+0\s+{offset}\s", told);
            var committed = await _server.Broker.Groups.FetchOffsetsAsync(new Api.OffsetFetch { GroupId = "readers" });
            Assert.Equal(offset, Assert.Single(committed.Partitions).Offset!.Offset);
        }
        Assert.Matches(@"readers\s+orders\s+0\s+2\s+10\s+8\s", await RunAsync(groups, ["--describe", "--offsets", "--group", "readers"]));
        await RunAsync(groups, ["--delete-offsets", "--group", "readers", "--topic", "orders"]);
        Assert.Empty((await _server.Broker.Groups.FetchOffsetsAsync(new Api.OffsetFetch { GroupId = "readers" })).Partitions);
    }

    [SkippableFact]
    public async Task Offset_log_directory_delete_and_election_tools_are_answered()
    {
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 2, Configs: s_kept));
        await _server.Broker.ProduceAsync(new TopicPartition("orders", 1),
            TestBatches.Of([.. Enumerable.Range(0, 10).Select(static number => $"{number}")]), Acks.All);
        Assert.Equal("orders:0:0\norders:1:10\n", await RunAsync("org.apache.kafka.tools.GetOffsetShell", ["--topic", "orders"]));
        var size = _server.Broker.Partitions.Single(static partition => partition.TopicPartition.Partition == 1).SizeInBytes;
        var directories = await RunAsync("org.apache.kafka.tools.LogDirsCommand", ["--describe", "--topic-list", "orders"]);
        Assert.Contains($$"""{"partition":"orders-1","size":{{size}},"offsetLag":0,"isFuture":false}""", directories,
            StringComparison.Ordinal);

        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, """{"partitions":[{"topic":"orders","partition":1,"offset":4}],"version":1}""");
            Assert.Contains("low_watermark: 4", await RunAsync("org.apache.kafka.tools.DeleteRecordsCommand", ["--offset-json-file", file]),
                StringComparison.Ordinal);
            Assert.Contains("Valid replica already elected", await RunAsync("org.apache.kafka.tools.LeaderElectionCommand",
                ["--election-type", "preferred", "--topic", "orders", "--partition", "1"]), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private Task<string> RunAsync(string main, string[] arguments, string input = "") =>
        ClientProgram.JavaAsync(main, ["--bootstrap-server", _server.Address, .. arguments], input);
}
