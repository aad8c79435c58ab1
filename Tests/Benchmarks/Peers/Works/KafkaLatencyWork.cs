using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>The latency of a Java client: Kafka's ProducerPerformance at a fixed rate, and its EndToEndLatency, one record after the
/// other.</summary>
/// <param name="settings">The broker's settings.</param>
/// <param name="recordBytes">The size of a record's value.</param>
/// <param name="rate">Records a second.</param>
/// <param name="records">The records of the producer's measurement.</param>
/// <param name="roundTrips">The records of the end-to-end measurement.</param>
internal sealed class KafkaLatencyWork(BrokerSettings settings, int recordBytes, int rate, int records, int roundTrips) : IWork
{
    private const string Topic = "steady", RoundTripTopic = "there-and-back";

    public BrokerSettings Settings { get; } = settings;

    public string? Lacks => PeerScript.Lacks;

    public async Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken)
    {
        var acks = Settings.Nodes == 1 ? "1" : "all";
        var (count, trips) = ((int)(records * scale), (int)(roundTrips * scale));
        WorkTopics.Create(broker, Topic, partitions: 4, Settings);
        WorkTopics.Create(broker, RoundTripTopic, partitions: 1, Settings);
        // The broker's processor time includes that of uncounted records.
        var produced = await BrokerCpu.OfAsync(broker, 2 * count,
            () => KafkaTools.ProduceAsync(broker, Topic, recordBytes, count, acks, rate, warmCount: count, cancellationToken));
        await KafkaTools.RoundTripAsync(broker, RoundTripTopic, recordBytes, Math.Max(trips / 4, 1), acks,
            cancellationToken); // warm-up of the broker
        var there = await KafkaTools.RoundTripAsync(broker, RoundTripTopic, recordBytes, trips, acks, cancellationToken);
        return [new Measurement($"ProducerPerformance at {rate:N0}/s", produced), new Measurement("EndToEndLatency", there)];
    }
}
