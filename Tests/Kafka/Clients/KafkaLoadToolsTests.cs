using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Apache Kafka's own bulk tools, if installed.</summary>
public sealed class KafkaLoadToolsTests : IAsyncLifetime
{
    private const string Tools = "org.apache.kafka.tools.";

    private KafkaServer _server = null!;

    public async Task InitializeAsync()
    {
        _server = await KafkaServer.StartAsync();
        await _server.Broker.CreateTopicAsync(new NewTopic("orders", 3));
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableTheory]
    [InlineData("classic")]
    [InlineData("consumer")]
    public async Task Verifiable_consumer_reads_all_records_acknowledged_to_the_verifiable_producer(string protocol)
    {
        const int records = 2000;
        var produced = Events(await JavaAsync("VerifiableProducer", "--topic", "orders", "--max-messages", $"{records}", "--acks", "-1"));
        var acknowledged = produced.Where(static line => Name(line) == "producer_send_success")
            .Select(static line => line.GetProperty("value").GetString()).ToArray();
        Assert.Equal(Enumerable.Range(0, records).Select(static number => $"{number}").Order(), acknowledged.Order());

        var consumed = Events(await JavaAsync("VerifiableConsumer", "--topic", "orders", "--group-id", "readers", "--max-messages",
            $"{records}", "--group-protocol", protocol, "--verbose"));
        Assert.Equal(acknowledged.Order(), consumed.Where(static line => Name(line) == "record_data")
            .Select(static line => line.GetProperty("value").GetString()).Order());
        Assert.All(consumed.Where(static line => Name(line) == "offsets_committed"),
            static line => Assert.True(line.GetProperty("success").GetBoolean()));
        var committed = await _server.Broker.Groups.FetchOffsetsAsync(new Api.OffsetFetch { GroupId = "readers" });
        Assert.Equal(records, committed.Partitions.Sum(static partition => partition.Offset!.Offset));
    }

    [SkippableFact]
    public async Task Performance_tools_lose_no_records()
    {
        const int records = 20_000;
        var written = await ClientProgram.JavaAsync(Tools + "ProducerPerformance",
            ["--topic", "orders", "--num-records", $"{records}", "--record-size", "100",
            "--throughput", "-1", "--producer-props", $"bootstrap.servers={_server.Address}", "acks=all", "compression.type=zstd"]);
        Assert.Contains($"{records} records sent", written, StringComparison.Ordinal);
        var ends = await Task.WhenAll(Enumerable.Range(0, 3)
            .Select(number => _server.Broker.FindOffsetAsync(new TopicPartition("orders", number), OffsetSpec.Latest).AsTask()));
        Assert.Equal(records, ends.Sum(static end => end.Offset));

        // The fifth field of the last line is the number of records read. By default the tool gives up after 10 s without a record, of
        // which its own start and the group's join take some.
        var read = await JavaAsync("ConsumerPerformance", "--topic", "orders", "--num-records", $"{records}", "--hide-header", "--timeout",
            "60000");
        Assert.Equal($"{records}", read.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1].Split(',')[4].Trim());
    }

    [SkippableFact]
    public async Task Latency_tool_receives_every_record()
    {
        var measured = await ClientProgram.JavaAsync(Tools + "EndToEndLatency", [_server.Address, "orders", "200", "all", "100"]);
        Assert.Matches(@"Avg latency: \d+[.,]\d+ ms", measured);
        Assert.Contains("Percentiles:", measured, StringComparison.Ordinal);
    }

    private Task<string> JavaAsync(string tool, params string[] arguments) =>
        ClientProgram.JavaAsync(Tools + tool, ["--bootstrap-server", _server.Address, .. arguments]);

    private static JsonElement[] Events(string output) =>
        [.. output.Split('\n').Where(static line => line.StartsWith('{'))
            .Select(static line => JsonSerializer.Deserialize<JsonElement>(line))];

    private static string? Name(JsonElement line) => line.GetProperty("name").GetString();
}
