using System.Globalization;
using System.Text;
using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Clients;

/// <summary>Kafka's clients on a topic whose log has more than records: they read the records, and nothing else.</summary>
public abstract class RecordsAmongOthersTests : IAsyncLifetime
{
    private const string Topic = "mixed";
    private static readonly TopicPartition s_partition = new(Topic, 0);

    private KafkaServer _server = null!;
    private IReadOnlyList<(long Offset, string Value)> _records = [];

    public async Task InitializeAsync()
    {
        _server = await KafkaServer.StartAsync();
        // The records' timestamps are old.
        await _server.Broker.CreateTopicAsync(new NewTopic(Topic, Configs: new Dictionary<string, string>(Configs)
        {
            ["retention.ms"] = "-1",
        }));
        _records = await WriteAsync(_server.Broker, s_partition);
    }

    /// <summary>The topic's configuration.</summary>
    protected abstract IReadOnlyDictionary<string, string> Configs { get; }

    /// <summary>The offsets of a last batch without records. librdkafka's position stays before it until another batch comes, as in a
    /// compacted topic.</summary>
    protected virtual int OffsetsOfEmptyEnd => 0;

    /// <summary>Fills the topic, and returns its records.</summary>
    protected abstract Task<IReadOnlyList<(long Offset, string Value)>> WriteAsync(IBroker broker, TopicPartition partition);

    public async Task DisposeAsync() => await _server.DisposeAsync();

    [SkippableFact]
    public async Task Kcat_reads_exactly_the_records()
    {
        Assert.Equal(Lines(), await ClientProgram.RunAsync(ClientProgram.Require("kcat"),
            ["-b", _server.Address, "-C", "-t", Topic, "-o", "beginning", "-e", "-q", "-f", "%o %s\n"]));
    }

    [SkippableFact]
    public void Confluent_Kafka_reads_exactly_the_records_and_its_position_passes_the_rest()
    {
        Librdkafka.Require();
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig
        {
            BootstrapServers = _server.Address,
            GroupId = "readers",
            EnablePartitionEof = true,
        }).Build();
        consumer.Assign(new TopicPartitionOffset(Topic, 0, Offset.Beginning));
        var read = new List<(long, string)>();
        for (; ; )
        {
            var result = consumer.Consume(KafkaServer.Patience);
            Assert.NotNull(result);
            if (result.IsPartitionEOF)
                break;
            read.Add((result.Offset, result.Message.Value));
        }
        Assert.Equal(_records, read);
        Assert.Equal(consumer.QueryWatermarkOffsets(new KafkaPartition(Topic, 0), KafkaServer.Patience).High.Value - OffsetsOfEmptyEnd,
            consumer.Position(new KafkaPartition(Topic, 0)).Value);
        consumer.Close();
    }

    [SkippableTheory]
    [InlineData("read_uncommitted")]
    [InlineData("read_committed")]
    public async Task Kafkas_consumer_reads_exactly_the_records(string isolation)
    {
        // The tool ends at its timeout, and logs that: nothing else arrives. The timeout includes its start and the join.
        var read = await ClientProgram.JavaAsync("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--bootstrap-server", _server.Address,
            "--topic", Topic, "--from-beginning", "--timeout-ms", "20000", "--isolation-level", isolation,
            "--formatter-property", "print.offset=true", "--group", "readers"]);
        Assert.Equal(_records.Select(static record => $"Offset:{record.Offset}\t{record.Value}"),
            read.Split('\n').Where(static line => line.StartsWith("Offset:", StringComparison.Ordinal)));
        // It has committed the position behind all of it.
        var end = (await _server.Broker.FindOffsetAsync(s_partition, OffsetSpec.Latest)).Offset;
        var committed = await _server.Broker.Groups.FetchOffsetsAsync(new Api.OffsetFetch { GroupId = "readers" });
        Assert.Equal(end, Assert.Single(committed.Partitions).Offset!.Offset);
    }

    [SkippableFact]
    public async Task Kafkajs_reads_exactly_the_records()
    {
        using var packages = await NodePackages.RequireKafkajsAsync();
        Assert.Equal(Lines(), await ClientProgram.RunAsync(ClientProgram.Require("node"),
            [NodePackages.Script("read.js"), _server.Address, Topic, $"{_records.Count}"], environment: packages.Environment));
    }

    private string Lines() => _records.Aggregate(new StringBuilder(),
        static (text, record) => text.Append(CultureInfo.InvariantCulture, $"{record.Offset} {record.Value}\n")).ToString();
}
