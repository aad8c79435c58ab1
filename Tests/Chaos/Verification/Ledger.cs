namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>The outcome of a sent record.</summary>
internal enum Outcome : byte
{
    /// <summary>Sent; the outcome is unknown so far.</summary>
    Unknown = 0,
    /// <summary>Acknowledged.</summary>
    Acknowledged = 1,
    /// <summary>Certainly not written.</summary>
    Refused = 2,
}

/// <summary>The producers' knowledge of a run: each record sent, and its outcome. A producer numbers the records of each partition from 0
/// without gaps. Thread safe.</summary>
internal sealed class Ledger
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(int Partition, int Producer), List<Entry>> _sent = [];
    private readonly List<bool> _isOrdered = [];
    private long _acknowledged;

    /// <summary>One record: its outcome, and its offset if acknowledged and known, else -1.</summary>
    public readonly record struct Entry(Outcome Outcome, long Offset);

    /// <summary>Records acknowledged so far.</summary>
    public long Acknowledged => Volatile.Read(ref _acknowledged);

    /// <summary>Records sent whose outcome is unknown.</summary>
    public long Unknown
    {
        get
        {
            lock (_lock)
                return _sent.Values.Sum(entries => entries.LongCount(entry => entry.Outcome == Outcome.Unknown));
        }
    }

    /// <summary>Assigns a number to a new producer.</summary>
    /// <param name="isOrdered">Whether the order of its records is guaranteed.</param>
    public int NewProducer(bool isOrdered)
    {
        lock (_lock)
        {
            _isOrdered.Add(isOrdered);
            return _isOrdered.Count - 1;
        }
    }

    public bool IsOrdered(int producer)
    {
        lock (_lock)
            return producer >= 0 && producer < _isOrdered.Count && _isOrdered[producer];
    }

    /// <summary>Registers the next record of a producer for a partition, before it is sent.</summary>
    public RecordId Send(int partition, int producer)
    {
        lock (_lock)
        {
            if (!_sent.TryGetValue((partition, producer), out var entries))
                _sent.Add((partition, producer), entries = []);
            entries.Add(new Entry(Outcome.Unknown, -1));
            return new RecordId(producer, entries.Count - 1);
        }
    }

    /// <summary>Registers an acknowledgement; -1 if the offset is unknown.</summary>
    public void Acknowledge(int partition, RecordId id, long offset)
    {
        Set(partition, id, new Entry(Outcome.Acknowledged, offset));
        Interlocked.Increment(ref _acknowledged);
    }

    /// <summary>Registers that a record is certainly not in the log and never will be.</summary>
    public void Refuse(int partition, RecordId id) => Set(partition, id, new Entry(Outcome.Refused, -1));

    /// <summary>Returns a record, or null if it was never sent.</summary>
    public Entry? Find(int partition, RecordId id)
    {
        lock (_lock)
            return _sent.TryGetValue((partition, id.Producer), out var entries) && id.Number >= 0 && id.Number < entries.Count
                ? entries[(int)id.Number]
                : null;
    }

    /// <summary>Returns every record sent to a partition, by producer in send order.</summary>
    public IReadOnlyList<(int Producer, Entry[] Entries)> Of(int partition)
    {
        lock (_lock)
            return [.. _sent.Where(sent => sent.Key.Partition == partition).Select(sent => (sent.Key.Producer, sent.Value.ToArray()))];
    }

    private void Set(int partition, RecordId id, Entry entry)
    {
        lock (_lock)
            _sent[(partition, id.Producer)][(int)id.Number] = entry;
    }
}
