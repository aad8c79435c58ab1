using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>
/// Reads one meter and renders it as Prometheus text. Observable instruments are asked at each reading and nothing of them is kept, so
/// that the series of a deleted topic end with it and there is no limit to their number; histograms are kept, by their tags.
/// </summary>
internal sealed class MeterReader : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _reading = new();
    private readonly SortedDictionary<string, MetricFamily> _families = new(StringComparer.Ordinal);

    /// <summary>Listens to <paramref name="meter"/>, to what it has and what it gets.</summary>
    public MeterReader(Meter meter)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (ReferenceEquals(instrument.Meter, meter))
                listener.EnableMeasurementEvents(instrument, AddFamily(instrument));
        };
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, state) => ((MetricFamily)state!).Measure(value, tags));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, state) => ((MetricFamily)state!).Measure(value, tags));
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, state) => ((MetricFamily)state!).Measure(value, tags));
        _listener.Start();
    }

    /// <summary>Writes all families, by name.</summary>
    public void WriteText(IBufferWriter<byte> output)
    {
        lock (_reading)
        {
            _listener.RecordObservableInstruments();
            foreach (var family in _families.Values)
                family.WriteText(output);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    private MetricFamily AddFamily(Instrument instrument)
    {
        MetricFamily family = instrument is Histogram<double> histogram ? new HistogramFamily(histogram) : new ObservedFamily(instrument);
        lock (_reading)
            _families.Add(family.Name, family);
        return family;
    }
}

/// <summary>One metric with all its series.</summary>
internal abstract class MetricFamily(string name, string type, string? help)
{
    /// <summary>Its name in the text.</summary>
    public string Name => name;

    /// <summary>A measurement was made.</summary>
    public abstract void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags);

    /// <summary>Writes the family: its help, its type and its series.</summary>
    public void WriteText(IBufferWriter<byte> output)
    {
        var text = new PrometheusText(output);
        text.Head(name, type, help);
        WriteSeries(text);
    }

    /// <summary>Writes the series.</summary>
    protected abstract void WriteSeries(PrometheusText text);
}

/// <summary>A counter or gauge that is asked when somebody reads: its measurements live for one reading.</summary>
internal sealed class ObservedFamily(Instrument instrument)
    : MetricFamily(PrometheusText.NameOf(instrument), PrometheusText.IsCounter(instrument) ? "counter" : "gauge", instrument.Description)
{
    private readonly List<(double Value, KeyValuePair<string, object?>[] Tags)> _measured = [];

    /// <inheritdoc/>
    public override void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) => _measured.Add((value, tags.ToArray()));

    /// <inheritdoc/>
    protected override void WriteSeries(PrometheusText text)
    {
        foreach (var (value, tags) in _measured)
            text.Sample(Name, "", tags, null, value);
        _measured.Clear();
    }
}

/// <summary>A histogram, kept by up to three tags.</summary>
internal sealed class HistogramFamily(Histogram<double> instrument)
    : MetricFamily(PrometheusText.NameOf(instrument), "histogram", instrument.Description)
{
    private readonly double[] _bounds = [.. instrument.Advice?.HistogramBucketBoundaries ?? []];
    private readonly ConcurrentDictionary<(object?, object?, object?), Series> _series = new();

    /// <inheritdoc/>
    public override void Measure(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var key = (tags.Length > 0 ? tags[0].Value : null, tags.Length > 1 ? tags[1].Value : null, tags.Length > 2 ? tags[2].Value : null);
        if (!_series.TryGetValue(key, out var series))
            series = _series.GetOrAdd(key, new Series(tags.ToArray(), _bounds.Length));
        series.Add(value, _bounds);
    }

    /// <inheritdoc/>
    protected override void WriteSeries(PrometheusText text)
    {
        foreach (var series in _series.Values)
            series.Write(text, Name, _bounds);
    }

    private sealed class Series(KeyValuePair<string, object?>[] tags, int bounds)
    {
        private readonly Lock _lock = new();
        private readonly long[] _counts = new long[bounds + 1];
        private double _sum;

        public void Add(double value, double[] bounds)
        {
            var at = Array.BinarySearch(bounds, value);
            lock (_lock)
            {
                _counts[at < 0 ? ~at : at]++;
                _sum += value;
            }
        }

        public void Write(PrometheusText text, string name, double[] bounds)
        {
            lock (_lock)
            {
                var total = 0L;
                for (var i = 0; i < _counts.Length; i++)
                {
                    total += _counts[i];
                    text.Sample(name, "_bucket", tags, i < bounds.Length ? bounds[i] : double.PositiveInfinity, total);
                }
                text.Sample(name, "_sum", tags, null, _sum);
                text.Sample(name, "_count", tags, null, total);
            }
        }
    }
}
