using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Kafka's own performance tools, and thus Kafka's Java client: runs one and parses its output.</summary>
internal static class KafkaTools
{
    /// <summary>Runs the producer.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">An existing topic.</param>
    /// <param name="recordBytes">The size of a record's value.</param>
    /// <param name="count">The number of counted records.</param>
    /// <param name="acks"><c>1</c> or <c>all</c>.</param>
    /// <param name="rate">Records a second; -1 for no limit.</param>
    /// <param name="warmCount">The number of uncounted records sent first.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    public static async Task<Dictionary<Figure, double>> ProduceAsync(RunningBroker broker, string topic, int recordBytes, int count,
        string acks, int rate, int warmCount,
        CancellationToken cancellationToken)
    {
        string[] warm = warmCount == 0 ? [] : ["--warmup-records", $"{warmCount}"];
        var output =
            await ChildProcess.RunAsync(PeerScript.Words(["kafka-tool", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
                "--num-records", $"{count + warmCount}",
            .. warm, "--record-size", $"{recordBytes}", "--throughput", $"{rate}", "--producer-props",
            $"bootstrap.servers={broker.Endpoint}", $"acks={acks}"]), cancellationToken);
        return KafkaToolOutput.Producer(output.Text, recordBytes)
            ?? throw new PeerFailedException($"ProducerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    /// <summary>Runs the consumer.</summary>
    public static async Task<Dictionary<Figure, double>> ConsumeAsync(RunningBroker broker, string topic, int count,
        CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.ConsumerPerformance", "--topic",
            topic, "--bootstrap-server", broker.Endpoint,
            "--messages", $"{count}", "--timeout", "60000"), cancellationToken);
        return KafkaToolOutput.Consumer(output.Text)
            ?? throw new PeerFailedException($"ConsumerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    /// <summary>Runs share consumers, whose group begins at the first record.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topic">A topic with records.</param>
    /// <param name="group">A group of its own.</param>
    /// <param name="count">The number of records.</param>
    /// <param name="consumers">The number of consumers, each with a thread.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    public static async Task<Dictionary<Figure, double>> ConsumeSharedAsync(RunningBroker broker, string topic, string group, int count,
        int consumers, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.ShareConsumerPerformance",
            "--topic", topic, "--bootstrap-server", broker.Endpoint, "--group", group, "--num-records", $"{count}",
            "--threads", $"{consumers}", "--timeout", "60000"), cancellationToken);
        return KafkaToolOutput.ShareConsumer(output.Text)
            ?? throw new PeerFailedException($"ShareConsumerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    /// <summary>Has a share group begin at the first record.</summary>
    public static async Task BeginAtFirstAsync(RunningBroker broker, string group, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "kafka.admin.ConfigCommand", "--bootstrap-server",
            broker.Endpoint, "--entity-type", "groups", "--entity-name", group, "--alter", "--add-config",
            "share.auto.offset.reset=earliest"), cancellationToken);
        if (!output.Text.Contains("Completed", StringComparison.Ordinal))
            throw new PeerFailedException($"ConfigCommand did not configure group {group}: {output.Text} {output.Errors}");
    }

    /// <summary>Measures round trips from a producer to a consumer, one record at a time.</summary>
    public static async Task<Dictionary<Figure, double>> RoundTripAsync(RunningBroker broker, string topic, int recordBytes, int count,
        string acks, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.EndToEndLatency", broker.Endpoint,
            topic, $"{count}", acks, $"{recordBytes}"),
            cancellationToken);
        return KafkaToolOutput.EndToEnd(output.Text)
            ?? throw new PeerFailedException($"EndToEndLatency wrote no result: {output.Text} {output.Errors}");
    }
}
