using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Kafka's own performance tools, and thus Kafka's Java client: ProducerPerformance and ConsumerPerformance.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="recordBytes">The size of a record's value.</param>
/// <param name="records">The number of records.</param>
/// <param name="partitions">The partitions of the topic.</param>
internal sealed class KafkaToolsWork(BrokerSettings settings, int recordBytes, int records, int partitions) : IWork
{
    private const string Topic = "tools";

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => PeerScript.Lacks;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var count = (int)(records * scale);
        WorkTopics.Create(broker, Topic, partitions, Settings);
        WorkTopics.Create(broker, Topic + "-warm", partitions, Settings);
        await ProduceAsync(Topic + "-warm", Math.Max(count / 4, 1));
        var produced = await BrokerCpu.OfAsync(broker, count, () => ProduceAsync(Topic, count));
        await KafkaTools.ConsumeAsync(broker, Topic, count, cancellationToken); // warm-up
        var consumed = await BrokerCpu.OfAsync(broker, count, () => KafkaTools.ConsumeAsync(broker, Topic, count, cancellationToken));
        return [new Measurement("ProducerPerformance", produced), new Measurement("ConsumerPerformance", consumed)];

        Task<Dictionary<Figure, double>> ProduceAsync(string topic, int records) =>
            KafkaTools.ProduceAsync(broker, topic, recordBytes, records, Settings.Nodes == 1 ? "1" : "all", rate: -1, warmCount: 0,
                cancellationToken);
    }
}
