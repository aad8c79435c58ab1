using System.Globalization;
using System.Text.RegularExpressions;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Kafka's own performance tools: ProducerPerformance and ConsumerPerformance, which is Kafka's Java client.</summary>
/// <param name="settings">How the broker is started.</param>
/// <param name="recordBytes">Of a record's value.</param>
/// <param name="records">How many.</param>
/// <param name="partitions">Of the topic.</param>
internal sealed partial class KafkaToolsWork(BrokerSettings settings, int recordBytes, int records, int partitions) : IWork
{
    private const string Topic = "tools";

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => PeerScript.Lacks;

    private string Acks => Settings.Nodes == 1 ? "1" : "all";

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var count = (int)(records * scale);
        WorkTopics.Create(broker, Topic, partitions, Settings);
        WorkTopics.Create(broker, Topic + "-warm", partitions, Settings);
        await ProduceAsync(broker, Topic + "-warm", Math.Max(count / 4, 1), cancellationToken);
        var produced = await BrokerCpu.OfAsync(broker, count, () => ProduceAsync(broker, Topic, count, cancellationToken));
        await ConsumeAsync(broker, Topic, count, cancellationToken); // warm-up
        var consumed = await BrokerCpu.OfAsync(broker, count, () => ConsumeAsync(broker, Topic, count, cancellationToken));
        return [new Measurement("ProducerPerformance", produced), new Measurement("ConsumerPerformance", consumed)];
    }

    private async Task<Dictionary<Figure, double>> ProduceAsync(RunningBroker broker, string topic, int count, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", $"{count}",
            "--record-size", $"{recordBytes}", "--throughput", "-1", "--producer-props", $"bootstrap.servers={broker.Endpoint}", $"acks={Acks}"), cancellationToken);
        return ParseProducer(output.Text, recordBytes) ?? throw new PeerFailedException($"ProducerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    private static async Task<Dictionary<Figure, double>> ConsumeAsync(RunningBroker broker, string topic, int count, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.ConsumerPerformance", "--topic", topic, "--bootstrap-server", broker.Endpoint,
            "--messages", $"{count}", "--timeout", "60000"), cancellationToken);
        return ParseConsumer(output.Text) ?? throw new PeerFailedException($"ConsumerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    /// <summary>Reads the producer's last line, the sum of the run; null where it is not one.</summary>
    internal static Dictionary<Figure, double>? ParseProducer(string output, int recordBytes)
    {
        var sums = ProducerSum().Matches(output);
        if (sums.Count == 0)
            return null;
        var sum = sums[^1];
        return new Dictionary<Figure, double>
        {
            [Figure.RecordsPerSecond] = Number(sum, "rate"),
            [Figure.MegabytesPerSecond] = Number(sum, "rate") * recordBytes / 1e6,
            [Figure.P50] = Number(sum, "p50"),
            [Figure.P99] = Number(sum, "p99"),
            [Figure.P999] = Number(sum, "p999"),
        };
    }

    /// <summary>Reads the consumer's line below its headings: what it fetched, after it had joined its group; null where there is none.</summary>
    internal static Dictionary<Figure, double>? ParseConsumer(string output)
    {
        var lines = output.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var at = Array.FindIndex(lines, line => line.StartsWith("start.time", StringComparison.Ordinal));
        if (at < 0 || at + 1 >= lines.Length)
            return null;
        var values = lines[at].Split(", ").Zip(lines[at + 1].Split(", ")).ToDictionary(pair => pair.First, pair => pair.Second);
        return new Dictionary<Figure, double>
        {
            [Figure.RecordsPerSecond] = double.Parse(values["fetch.nMsg.sec"], CultureInfo.InvariantCulture),
            [Figure.MegabytesPerSecond] = double.Parse(values["fetch.MB.sec"], CultureInfo.InvariantCulture) * 1.048576,
            [Figure.JoinMs] = double.Parse(values["rebalance.time.ms"], CultureInfo.InvariantCulture),
        };
    }

    private static double Number(Match match, string group) => double.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"records sent, (?<rate>[\d.]+) records/sec.* (?<p50>\d+) ms 50th, \d+ ms 95th, (?<p99>\d+) ms 99th, (?<p999>\d+) ms 99\.9th")]
    private static partial Regex ProducerSum();
}
