namespace OrleansMq.Queues;

/// <summary>
/// Order by key: a record is handed out only if it is the lowest unsettled one of its key. Keys come from reads of the log, a window of
/// bounded size ahead. A record without key waits for none.
/// </summary>
/// <param name="from">Where reading begins: the floor.</param>
/// <param name="lookAhead">The most records that are known and not handed out.</param>
internal sealed class KeyOrder(long from, int lookAhead) : DispatchOrder
{
    private const int MostPerRead = 500;

    private readonly Dictionary<long, long?> _keys = [];
    private readonly Dictionary<long, SortedSet<long>> _records = [];
    private readonly HashSet<long> _available = [];
    private readonly SortedSet<long> _ready = [];
    private long _readEnd = from;

    /// <summary>The keys of the records below it are known.</summary>
    public override long Next => _readEnd;

    /// <summary>The number of records that may be read now; 0 while enough are known.</summary>
    public int Wanted => _ready.Count > 0 ? 0 : Math.Clamp(lookAhead - _available.Count, 0, MostPerRead);

    /// <summary>The records that wait for their key.</summary>
    public int Waiting => _available.Count - _ready.Count;

    /// <summary>The keys below an offset are known.</summary>
    public void ReadUpTo(long end) => _readEnd = Math.Max(_readEnd, end);

    /// <summary>Adds a record that is not settled. Records come in order.</summary>
    public void Add(long offset, long? key, bool isAvailable)
    {
        _keys[offset] = key;
        if (key is { } value)
        {
            if (!_records.TryGetValue(value, out var records))
                _records[value] = records = [];
            records.Add(offset);
        }
        if (isAvailable)
            Return(offset);
    }

    public override bool TryPeek(long readableEnd, out long offset)
    {
        offset = _ready.Count > 0 ? _ready.Min : -1;
        return offset >= 0 && offset < readableEnd;
    }

    public override void Take(long offset)
    {
        _available.Remove(offset);
        _ready.Remove(offset);
    }

    public override void Return(long offset)
    {
        if (!_keys.TryGetValue(offset, out var key))
            return;
        _available.Add(offset);
        if (key is not { } value || _records[value].Min == offset)
            _ready.Add(offset);
    }

    public override void Remove(OffsetRange records)
    {
        if (records.Count <= _keys.Count)
        {
            for (var offset = records.First; offset <= records.Last; offset++)
                Remove(offset);
            return;
        }
        foreach (var offset in _keys.Keys.Where(offset => offset >= records.First && offset <= records.Last).ToList())
            Remove(offset);
    }

    // A skipped record keeps its key until that is in force.
    public override void SkipTo(long offset)
    {
        foreach (var skipped in _available.Where(other => other < offset).ToList())
            Take(skipped);
        _readEnd = Math.Max(_readEnd, offset);
    }

    private void Remove(long offset)
    {
        if (!_keys.Remove(offset, out var key))
            return;
        Take(offset);
        if (key is not { } value || _records[value] is not { } records)
            return;
        records.Remove(offset);
        if (records.Count == 0)
            _records.Remove(value);
        else if (_available.Contains(records.Min))
            _ready.Add(records.Min);
    }
}
