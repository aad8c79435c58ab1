namespace OrleansMq.Queues;

/// <summary>
/// Order by key: a record is handed out only if it is the lowest unsettled one of its key, and no other one of it is out, or as a run with
/// those that are: together, in order, under one lock. Keys come from reads of the log, a window of bounded size ahead. A record without
/// key waits for none, and one that is postponed holds none back.
/// </summary>
/// <param name="from">Where reading begins: the floor.</param>
/// <param name="lookAhead">The most records that are known and not handed out.</param>
internal sealed class KeyOrder(long from, int lookAhead) : DispatchOrder
{
    private const int MostPerRead = 500;
    private const long NotReady = -1;

    private sealed class Line
    {
        public SortedSet<long> Records { get; } = [];
        // Those that are handed out, or deferred after a return.
        public int Out { get; set; }
        public long Ready { get; set; } = NotReady;
    }

    private readonly Dictionary<long, long?> _keys = [];
    private readonly Dictionary<long, long?> _postponed = [];
    private readonly Dictionary<long, Line> _lines = [];
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

    /// <summary>Adds a record that is not settled.</summary>
    public void Add(long offset, long? key, bool isAvailable)
    {
        _keys[offset] = key;
        if (key is { } value)
        {
            if (!_lines.TryGetValue(value, out var line))
                _lines[value] = line = new Line();
            line.Records.Add(offset);
            line.Out++;
            Refresh(line);
        }
        if (isAvailable)
            Return(offset);
    }

    public override bool TryPeek(long readableEnd, out long offset)
    {
        offset = _ready.Count > 0 ? _ready.Min : NotReady;
        return offset >= 0 && offset < readableEnd;
    }

    /// <summary>Finds the record after one that is out, in the line of its key: the one that goes on with a run. All records of the key
    /// before it are out then.</summary>
    public bool TryPeekNext(long offset, long readableEnd, out long next)
    {
        next = NotReady;
        if (!_keys.TryGetValue(offset, out var key) || key is not { } value || _lines[value].Records.Max <= offset
            || offset + 1 >= readableEnd)
            return false;
        foreach (var other in _lines[value].Records.GetViewBetween(offset + 1, readableEnd - 1))
        {
            next = other;
            return _available.Contains(other);
        }
        return false;
    }

    public override void Take(long offset)
    {
        if (!_available.Remove(offset))
            return;
        if (LineOf(offset) is { } line)
        {
            line.Out++;
            Refresh(line);
        }
        else
            _ready.Remove(offset);
    }

    public override void Return(long offset)
    {
        if (_postponed.Remove(offset, out var key))
            Add(offset, key, isAvailable: true);
        else if (_keys.ContainsKey(offset) && _available.Add(offset))
        {
            if (LineOf(offset) is { } line)
            {
                line.Out--;
                Refresh(line);
            }
            else
                _ready.Add(offset);
        }
    }

    public override void Postpone(long offset)
    {
        if (!_keys.TryGetValue(offset, out var key))
            return;
        Remove(offset);
        _postponed[offset] = key;
    }

    public override void Remove(OffsetRange records)
    {
        if (records.Count <= _keys.Count + _postponed.Count)
        {
            for (var offset = records.First; offset <= records.Last; offset++)
                Remove(offset);
            return;
        }
        foreach (var offset in _keys.Keys.Concat(_postponed.Keys).Where(o => o >= records.First && o <= records.Last).ToList())
            Remove(offset);
    }

    // A skipped record keeps its key until that is in force.
    public override void SkipTo(long offset)
    {
        foreach (var skipped in _available.Where(other => other < offset).ToList())
            Take(skipped);
        _readEnd = Math.Max(_readEnd, offset);
    }

    private Line? LineOf(long offset) => _keys[offset] is { } key ? _lines[key] : null;

    private void Remove(long offset)
    {
        if (_postponed.Remove(offset) || !_keys.ContainsKey(offset))
            return;
        var isAvailable = _available.Remove(offset);
        if (LineOf(offset) is { } line)
        {
            line.Records.Remove(offset);
            line.Out -= isAvailable ? 0 : 1;
            Refresh(line);
            if (line.Records.Count == 0)
                _lines.Remove(_keys[offset]!.Value);
        }
        else
            _ready.Remove(offset);
        _keys.Remove(offset);
    }

    private void Refresh(Line line)
    {
        var ready = line is { Out: 0, Records.Count: > 0 } ? line.Records.Min : NotReady;
        if (ready == line.Ready)
            return;
        _ready.Remove(line.Ready);
        if (ready != NotReady)
            _ready.Add(ready);
        line.Ready = ready;
    }
}
