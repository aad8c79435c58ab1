using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace OrleansMq.Access;

/// <summary>
/// Traffic by topic. Plain numbers, since the data path must neither allocate nor look up tags; instruments read them on demand. Only
/// topics that exist are counted, so that requests for made-up names take no memory. Thread safe.
/// </summary>
internal sealed class TopicTraffic
{
    private readonly ConcurrentDictionary<string, TopicCounts> _topics = new(StringComparer.Ordinal);

    /// <summary>The counts of a topic that exists.</summary>
    public TopicCounts Of(string topic) => _topics.GetOrAdd(topic, static _ => new TopicCounts());

    /// <summary>The counts of a topic that may not exist; null where there are none yet.</summary>
    internal TopicCounts? Find(string topic) => _topics.GetValueOrDefault(topic);

    /// <summary>Adds the instruments that report the counts.</summary>
    public void AddTo(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        Add(meter, "orleansmq.produced.records", "{record}", "Records appended, by topic.", static counts => counts.RecordsIn);
        Add(meter, "orleansmq.produced.size", "By", "Bytes of record batches appended, by topic.", static counts => counts.BytesIn);
        Add(meter, "orleansmq.produce.refusals", "{batch}", "Record batches refused, by topic.", static counts => counts.Refused);
        Add(meter, "orleansmq.fetched.records", "{record}", "Records read, by topic.", static counts => counts.RecordsOut);
        Add(meter, "orleansmq.fetched.size", "By", "Bytes of record batches read, by topic.", static counts => counts.BytesOut);
    }

    /// <summary>Ends the series of a deleted topic.</summary>
    internal void Forget(string topic)
    {
        if (_topics.TryRemove(topic, out var counts))
            counts.Retire();
    }

    private void Add(Meter meter, string name, string unit, string description, Func<TopicCounts, long> value) =>
        meter.CreateObservableCounter(name, () => Observe(value), unit, description);

    private IEnumerable<Measurement<long>> Observe(Func<TopicCounts, long> value)
    {
        foreach (var (topic, counts) in _topics)
            yield return new Measurement<long>(value(counts), new KeyValuePair<string, object?>("topic", topic));
    }
}
