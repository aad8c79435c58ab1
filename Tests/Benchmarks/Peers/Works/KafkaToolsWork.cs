using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Kafka's own performance tools: ProducerPerformance and ConsumerPerformance, which is Kafka's Java client.</summary>
/// <param name="settings">How the broker is started.</param>
/// <param name="recordBytes">Of a record's value.</param>
/// <param name="records">How many.</param>
/// <param name="partitions">Of the topic.</param>
internal sealed class KafkaToolsWork(BrokerSettings settings, int recordBytes, int records, int partitions) : IWork
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
        return KafkaToolOutput.Producer(output.Text, recordBytes) ?? throw new PeerFailedException($"ProducerPerformance wrote no result: {output.Text} {output.Errors}");
    }

    private static async Task<Dictionary<Figure, double>> ConsumeAsync(RunningBroker broker, string topic, int count, CancellationToken cancellationToken)
    {
        var output = await ChildProcess.RunAsync(PeerScript.Words("kafka-tool", "org.apache.kafka.tools.ConsumerPerformance", "--topic", topic, "--bootstrap-server", broker.Endpoint,
            "--messages", $"{count}", "--timeout", "60000"), cancellationToken);
        return KafkaToolOutput.Consumer(output.Text) ?? throw new PeerFailedException($"ConsumerPerformance wrote no result: {output.Text} {output.Errors}");
    }
}
