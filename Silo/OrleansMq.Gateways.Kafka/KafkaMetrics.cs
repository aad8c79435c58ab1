using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using OrleansMq.Gateways.Connections;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The metrics of a Kafka gateway, which are added to the host's meter.</summary>
internal sealed class KafkaMetrics
{
    // Clients choose the names, so the series are bounded.
    private const int MaxSoftware = 100;

    private readonly ConcurrentDictionary<(string Name, string Version), int> _software = new();
    private Histogram<double>? _requests;
    private readonly ConnectionMetrics _connections;

    internal KafkaMetrics(ConnectionMetrics connections) => _connections = connections;

    /// <summary>Connections that are open.</summary>
    public long Connections => _connections.Open;

    /// <summary>TLS handshakes that failed.</summary>
    public long FailedHandshakes => _connections.TotalFailedHandshakes;

    /// <summary>Adds the instruments to a meter.</summary>
    public void AddTo(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        _connections.AddTo(meter);
        meter.CreateObservableUpDownCounter("orleansmq.kafka.clients", Software, "{connection}",
            "Kafka connections that are open, by the program the client says it is.");
        _requests = meter.CreateHistogram("orleansmq.kafka.request.duration", "s",
            "Duration of Kafka requests by kind, long polls included.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                2.5, 5, 10, 30] });
    }

    internal void Introduced(string name, string version) => _software.AddOrUpdate(Known(name, version), 1, static (_, count) => count + 1);

    internal void Left(string name, string version) =>
        _software.AddOrUpdate(Known(name, version), 0, static (_, count) => Math.Max(count - 1, 0));

    internal void Answered(ApiKey key, TimeSpan duration) =>
        _requests?.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("request", Name(key)));

    private (string, string) Known(string name, string version) =>
        _software.Count < MaxSoftware || _software.ContainsKey((name, version)) ? (name, version) : ("other", "");

    private IEnumerable<Measurement<long>> Software() => _software.Select(static software => new Measurement<long>(software.Value,
        new KeyValuePair<string, object?>("name", software.Key.Name), new KeyValuePair<string, object?>("version", software.Key.Version)));

    private static readonly Dictionary<ApiKey, string> Names = Enum.GetValues<ApiKey>()
        .ToDictionary(static key => key, static key => key.ToString());

    private static string Name(ApiKey key) => Names[key];
}
