using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka;

/// <summary>The Kafka listener's instruments, for a meter of the host.</summary>
public sealed class KafkaMetrics
{
    // Clients choose their names freely, so the number of time series must be bounded.
    private const int MaxSoftware = 100;

    private readonly ConcurrentDictionary<(string Name, string Version), int> _software = new();
    private Histogram<double>? _requests;
    private long _connections;
    private long _accepted;
    private long _refused;
    private long _malformed;

    /// <summary>The number of open connections.</summary>
    public long Connections => Interlocked.Read(ref _connections);

    /// <summary>Adds the instruments to a meter.</summary>
    public void AddTo(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        meter.CreateObservableUpDownCounter("orleansmq.kafka.connections", () => Connections, "{connection}",
            "Kafka connections that are open.");
        meter.CreateObservableCounter("orleansmq.kafka.connections.accepted", () => Interlocked.Read(ref _accepted), "{connection}",
            "Kafka connections that were accepted.");
        meter.CreateObservableCounter("orleansmq.kafka.connections.refused", () => Interlocked.Read(ref _refused), "{connection}",
            "Kafka connections that were closed as they came: too many from one address.");
        meter.CreateObservableCounter("orleansmq.kafka.requests.malformed", () => Interlocked.Read(ref _malformed), "{request}",
            "Kafka requests that could not be read; each closed its connection.");
        meter.CreateObservableUpDownCounter("orleansmq.kafka.clients", Software, "{connection}",
            "Kafka connections that are open, by the program the client says it is.");
        _requests = meter.CreateHistogram("orleansmq.kafka.request.duration", "s",
            "Duration of Kafka requests by kind, long polls included.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                2.5, 5, 10, 30] });
    }

    internal void Accepted()
    {
        Interlocked.Increment(ref _connections);
        Interlocked.Increment(ref _accepted);
    }

    internal void Closed() => Interlocked.Decrement(ref _connections);

    internal void Refused() => Interlocked.Increment(ref _refused);

    internal void Malformed() => Interlocked.Increment(ref _malformed);

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
