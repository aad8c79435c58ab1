using System.Buffers;
using System.Diagnostics.Metrics;
using OrleansMq.Access;
using OrleansMq.Hosting;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>
/// What the broker measures: instruments of the meter <see cref="MeterName"/>, which any listener of the process can subscribe to, and
/// their values as Prometheus text. Names and units follow OpenTelemetry's conventions in the meter and Prometheus' in the text.
/// </summary>
internal sealed class BrokerMetrics : IDisposable
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "OrleansMq";

    private readonly MeterReader _reader;
    private readonly Histogram<double> _requests;

    /// <param name="source">Where the numbers come from that are not counted here.</param>
    public BrokerMetrics(MetricSource source)
    {
        _reader = new MeterReader(Meter);
        Groups.AddTo(Meter);
        Queues = new QueueMetrics(TimeProvider.System, source);
        Queues.AddTo(Meter);
        _requests = Meter.CreateHistogram("orleansmq.http.request.duration", "s",
            "Duration of HTTP requests by route, long polls included.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                2.5, 5, 10, 30] });
        PartitionInstruments.AddTo(Meter, source);
        ProcessInstruments.AddTo(Meter, source);
    }

    /// <summary>The meter with all instruments.</summary>
    public Meter Meter { get; } = new(MeterName);

    /// <summary>Other gateways, whose values are looked up before they are read.</summary>
    public IReadOnlyList<IRefreshedMetrics> Gateways { get; set; } = [];

    /// <summary>Adds what the sessions of the broker do.</summary>
    public void Add(AccessMeter access)
    {
        access.AddTo(Meter);
        access.GroupDeleted += Groups.Forget;
    }

    /// <summary>Groups that this broker coordinates.</summary>
    public GroupMetrics Groups { get; } = new(TimeProvider.System);

    /// <summary>Queues of the partitions that this broker leads.</summary>
    public QueueMetrics Queues { get; }

    /// <summary>A request was answered.</summary>
    /// <param name="route">The route's pattern, so that names in paths do not become series.</param>
    /// <param name="method">The method.</param>
    /// <param name="status">The status it was answered with.</param>
    /// <param name="duration">From the request's head to the end of the answer.</param>
    public void RecordRequest(string route, string method, int status, TimeSpan duration) =>
        _requests.Record(duration.TotalSeconds, new("route", route), new("method", KnownMethod(method)), new("status", StatusText(status)));

    /// <summary>Writes everything in the Prometheus text format 0.0.4.</summary>
    public void WriteText(IBufferWriter<byte> output) => _reader.WriteText(output);

    /// <inheritdoc/>
    public void Dispose()
    {
        _reader.Dispose();
        Meter.Dispose();
    }

    /// <summary>Methods are what a client makes up, series are not.</summary>
    private static string KnownMethod(string method) => method is "GET" or "POST" or "PUT" or "PATCH" or "DELETE" or "HEAD" or "OPTIONS"
        ? method : "other";

    private static readonly string[] StatusTexts =
        [.. Enumerable.Range(0, 600).Select(static status => status.ToString(System.Globalization.CultureInfo.InvariantCulture))];

    private static string StatusText(int status) => (uint)status < (uint)StatusTexts.Length ? StatusTexts[status] : "other";
}

/// <summary>Where metrics come from that are read when asked for.</summary>
internal sealed record MetricSource
{
    /// <summary>The partitions on this broker.</summary>
    public required Func<IReadOnlyCollection<Partition>> Partitions { get; init; }
    /// <summary>Free bytes of the data volume, or null where that cannot be told.</summary>
    public required Func<long?> FreeBytes { get; init; }
    /// <summary>The program's version.</summary>
    public required string Version { get; init; }
    /// <summary><c>standalone</c> or <c>cluster</c>.</summary>
    public required string Flavour { get; init; }
}
