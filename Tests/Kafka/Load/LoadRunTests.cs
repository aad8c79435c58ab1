using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Load;

public sealed class LoadRunTests
{
    [Theory]
    [InlineData(1, 1, 1, "none")]
    [InlineData(8, 3, 2, "none")]
    [InlineData(2, 5, 1, "zstd")]
    [InlineData(1, 20, 1, "none")]
    public async Task Produced_records_are_fetched(int partitions, int connections, int requestPartitions, string codec)
    {
        await using var server = await KafkaServer.StartAsync();
        var load = Load(server) with
        {
            Partitions = partitions,
            Connections = connections,
            RequestPartitions = requestPartitions,
            Codec = Enum.Parse<CompressionType>(codec, ignoreCase: true),
            WarmRecords = 200,
        };
        var produced = LoadRun.Run(load);
        Assert.True(produced.Records >= load.Records);

        // The warm-up's records are stored, too, but not counted.
        var inRequest = produced.Records / produced.Requests;
        var read = LoadRun.Run(load with { IsProduce = false, Records = 0, WarmRecords = 0 });
        Assert.Equal(produced.Records + ((load.WarmRecords + inRequest - 1) / inRequest * inRequest), read.Records);
    }

    [Fact]
    public async Task Topic_is_read_repeatedly_until_enough_is_read()
    {
        await using var server = await KafkaServer.StartAsync();
        var load = Load(server);
        var once = LoadRun.Run(load).Records;
        var read = LoadRun.Run(load with { IsProduce = false, Records = 3 * once });
        Assert.True(read.Records >= 3 * once);
    }

    [Fact]
    public async Task Fixed_rate_sends_everything()
    {
        await using var server = await KafkaServer.StartAsync();
        var load = Load(server) with { Rate = 1e9, Connections = 2, InFlight = 2 };
        Assert.True(LoadRun.Run(load).Records >= load.Records);
    }

    [Fact]
    public async Task Error_in_a_response_ends_the_load_with_a_remedy()
    {
        await using var server = await KafkaServer.StartAsync();
        var load = Load(server) with { RecordBytes = 20_000,
            TopicConfig = new Dictionary<string, string> { ["max.message.bytes"] = "10000" } };
        var failure = Assert.Throws<LoadFailedException>(() => LoadRun.Run(load));
        Assert.Equal("Produce of partition 0 was answered with error 10 (message too large: take a smaller --batch-bytes).",
            failure.Message);
    }

    [Fact]
    public async Task Topic_with_another_partition_count_is_refused()
    {
        await using var server = await KafkaServer.StartAsync();
        LoadRun.Run(Load(server) with { Partitions = 2 });
        var failure = Assert.Throws<LoadFailedException>(() => LoadRun.Run(Load(server) with { Partitions = 3 }));
        Assert.StartsWith("t has 2 partitions, not 3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Empty_topic_cannot_be_read()
    {
        await using var server = await KafkaServer.StartAsync();
        TopicLayout.Create(server.Address, "t", 1, 1, new Dictionary<string, string>());
        Assert.StartsWith("t is empty", Assert.Throws<LoadFailedException>(() => LoadRun.Run(Load(server) with { IsProduce = false }))
            .Message, StringComparison.Ordinal);
    }

    private static LoadOptions Load(KafkaServer server) => new()
    {
        IsProduce = true,
        Bootstrap = server.Address,
        Topic = "t",
        Records = 1000,
        RecordBytes = 50,
        BatchBytes = 1000,
    };
}
