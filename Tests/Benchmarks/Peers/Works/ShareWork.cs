using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Share groups by Kafka's own performance tool, and thus its Java client: records that were produced before are acquired and
/// accepted.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="recordBytes">The size of a record's value.</param>
/// <param name="records">The number of records.</param>
/// <param name="partitions">The partitions of the topic.</param>
/// <param name="consumers">The members of the group.</param>
internal sealed class ShareWork(BrokerSettings settings, int recordBytes, int records, int partitions, int consumers) : IWork
{
    private const string Topic = "shared";

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => PeerScript.Lacks;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var count = (int)(records * scale);
        WorkTopics.Create(broker, Topic, partitions, Settings);
        await KafkaTools.ProduceAsync(broker, Topic, recordBytes, count, Settings.Nodes == 1 ? "1" : "all", rate: -1, warmCount: 0,
            cancellationToken);
        await KafkaTools.BeginAtFirstAsync(broker, "warm", cancellationToken);
        await KafkaTools.BeginAtFirstAsync(broker, "counted", cancellationToken);
        await ConsumeAsync("warm");
        return [new Measurement("ShareConsumerPerformance", await BrokerCpu.OfAsync(broker, count, () => ConsumeAsync("counted")))];

        Task<Dictionary<Figure, double>> ConsumeAsync(string group) =>
            KafkaTools.ConsumeSharedAsync(broker, Topic, group, count, consumers, cancellationToken);
    }
}
