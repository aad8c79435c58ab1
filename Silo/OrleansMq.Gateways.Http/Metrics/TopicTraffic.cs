using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>What went into and out of one topic since the broker started.</summary>
internal sealed class TopicCounts
{
    private long _recordsIn;
    private long _bytesIn;
    private long _recordsOut;
    private long _bytesOut;
    private long _refused;

    /// <summary>Records appended.</summary>
    public long RecordsIn => Interlocked.Read(ref _recordsIn);
    /// <summary>Bytes of batches appended, as they were sent.</summary>
    public long BytesIn => Interlocked.Read(ref _bytesIn);
    /// <summary>Records read.</summary>
    public long RecordsOut => Interlocked.Read(ref _recordsOut);
    /// <summary>Bytes of batches read.</summary>
    public long BytesOut => Interlocked.Read(ref _bytesOut);
    /// <summary>Batches refused.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>A batch was appended.</summary>
    public void Produced(int records, int bytes)
    {
        Interlocked.Add(ref _recordsIn, records);
        Interlocked.Add(ref _bytesIn, bytes);
    }

    /// <summary>Batches were read.</summary>
    public void Fetched(int records, int bytes)
    {
        Interlocked.Add(ref _recordsOut, records);
        Interlocked.Add(ref _bytesOut, bytes);
    }

    /// <summary>A batch was refused.</summary>
    public void Refuse() => Interlocked.Increment(ref _refused);
}

/// <summary>
/// Traffic by topic. Counted in plain numbers, since the data path must not allocate or look tags up; instruments read them when somebody
/// asks. Only topics that exist are counted, so that requests for made-up names take no memory.
/// </summary>
internal sealed class TopicTraffic : IRecordTraffic
{
    private readonly ConcurrentDictionary<string, TopicCounts> _topics = new(StringComparer.Ordinal);

    /// <summary>The counts of a topic.</summary>
    public TopicCounts Of(string topic) => _topics.GetOrAdd(topic, static _ => new TopicCounts());

    /// <inheritdoc/>
    public void Produced(string topic, int records, int bytes) => Of(topic).Produced(records, bytes);

    /// <inheritdoc/>
    public void Refused(string topic) => Of(topic).Refuse();

    /// <inheritdoc/>
    public void Fetched(string topic, int records, int bytes) => Of(topic).Fetched(records, bytes);

    /// <summary>The topic is gone, and so are its series.</summary>
    public void Forget(string topic) => _topics.TryRemove(topic, out _);

    /// <summary>Adds the instruments that report it.</summary>
    public void AddTo(Meter meter)
    {
        Add(meter, "orleansmq.produced.records", "{record}", "Records appended, by topic.", static counts => counts.RecordsIn);
        Add(meter, "orleansmq.produced.size", "By", "Bytes of record batches appended, by topic.", static counts => counts.BytesIn);
        Add(meter, "orleansmq.produce.refusals", "{batch}", "Record batches refused, by topic.", static counts => counts.Refused);
        Add(meter, "orleansmq.fetched.records", "{record}", "Records read, by topic.", static counts => counts.RecordsOut);
        Add(meter, "orleansmq.fetched.size", "By", "Bytes of record batches read, by topic.", static counts => counts.BytesOut);
    }

    private void Add(Meter meter, string name, string unit, string description, Func<TopicCounts, long> value) =>
        meter.CreateObservableCounter(name, () => Observe(value), unit, description);

    private IEnumerable<Measurement<long>> Observe(Func<TopicCounts, long> value)
    {
        foreach (var (topic, counts) in _topics)
            yield return new Measurement<long>(value(counts), new KeyValuePair<string, object?>("topic", topic));
    }
}
