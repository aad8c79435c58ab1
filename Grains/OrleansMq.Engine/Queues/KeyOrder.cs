using OrleansMq.Diagnostics;

namespace OrleansMq.Queues;

/// <summary>
/// Order by key: a record is handed out only if it is the lowest unsettled one of its key, and no other one of it is out, or as a run with
/// those that are: together, in order, under one lock. Keys come from reads of the log, a window of bounded size ahead. A record without
/// key waits for none, and one that is postponed holds none back. One with a key that cannot be read is handed out alone. When the window
/// is full of records that wait for their keys, the longest lines forget their ends, so that reading goes on for other keys. A line that
/// knows no record any more is read again from where it forgot.
/// </summary>
/// <param name="from">Where reading begins: the floor.</param>
/// <param name="lookAhead">The number of records that are known and not handed out; up to twice as many after lines are read
/// again.</param>
internal sealed class KeyOrder(long from, int lookAhead) : DispatchOrder
{
    private const int MostPerRead = 500;
    // Reading goes on past forgotten records for so many times the look-ahead: 1,000,000 offsets by default.
    private const int MostReadOn = 1_000;
    private const long NotReady = -1;
    private const long Nothing = long.MaxValue;

    private sealed class Line(long key)
    {
        public long Key { get; } = key;
        public SortedSet<long> Records { get; } = [];
        // Those that are handed out, or deferred after a return.
        public int Out { get; set; }
        public long Ready { get; set; } = NotReady;
        // The records of the key from here on are not known, as far as reading has come.
        public long ForgottenFrom { get; set; } = Nothing;
    }

    private readonly Dictionary<long, long?> _keys = [];
    private readonly Dictionary<long, long?> _postponed = [];
    private readonly Dictionary<long, Line> _lines = [];
    private readonly HashSet<long> _available = [];
    private readonly SortedSet<long> _ready = [];
    // The lines that know no record, and forgot some; those of them that are read again now.
    private readonly HashSet<Line> _wanting = [];
    private readonly HashSet<Line> _reread = [];
    private long _readEnd = from;
    // No line forgot a record below it.
    private long _forgottenFrom = Nothing;
    // While it is known, it is the only one.
    private long _unread = NotReady;

    /// <summary>The keys of the records below it are known.</summary>
    public override long Next => _readEnd;

    /// <summary>The number of records that may be read now; 0 while enough are known.</summary>
    public int Wanted => _ready.Count > 0 || HasUnread || _readEnd - _forgottenFrom >= MostReadOn * (long)lookAhead
        ? 0 : Math.Clamp(lookAhead - _available.Count, 0, MostPerRead);

    /// <summary>The records that wait for their key.</summary>
    public int Waiting => _available.Count - _ready.Count;

    /// <summary>The first record that a line forgot and needs now; null: none does.</summary>
    public long? Forgotten => _wanting.Count == 0 ? null : _wanting.Min(static line => line.ForgottenFrom);

    /// <summary>The number of records that may be read again now.</summary>
    public int WantedAgain => Math.Clamp(lookAhead / 2, 1, MostPerRead);

    /// <summary>Whether the record that is known is one with a key that cannot be read.</summary>
    public bool HasUnread => _keys.ContainsKey(_unread);

    /// <summary>Whether every record below <see cref="Next"/> is over.</summary>
    public bool IsEmpty => _keys.Count == 0 && _postponed.Count == 0 && _lines.Count == 0;

    /// <summary>Adds a record that is not settled, with a key that cannot be read. Every record before it is over, and reading goes on
    /// when it is.</summary>
    public void AddUnread(long offset, bool isAvailable)
    {
        Invariant.Check(IsEmpty, "A record whose key is not known is the only one of its order.");
        _unread = offset;
        Add(offset, key: null, isAvailable);
        ReadUpTo(offset + 1);
    }

    /// <summary>Forgets a record with a key that could not be read: reading goes on with it. Returns false if it is not such a
    /// one.</summary>
    public bool TryForgetUnread(long offset)
    {
        if (offset != _unread || !HasUnread)
            return false;
        Remove(offset);
        (_unread, _readEnd) = (NotReady, offset);
        return true;
    }

    /// <summary>The keys below an offset are known, or forgotten.</summary>
    public void ReadUpTo(long end) => _readEnd = Math.Max(_readEnd, end);

    /// <summary>Forgets the ends of the longest lines, where there is no room to read.</summary>
    public void MakeRoom()
    {
        if (_available.Count < lookAhead || (_ready.Count > 0 && _available.Count < 2L * lookAhead))
            return;
        foreach (var line in _lines.Values.OrderByDescending(static line => line.Records.Count).ToList())
        {
            while (_available.Count > lookAhead / 2 && line.Records.Count > 0 && line.Records.Max is var last && last != line.Ready
                && _available.Remove(last))
            {
                line.Records.Remove(last);
                _keys.Remove(last);
                line.ForgottenFrom = last;
                _forgottenFrom = Math.Min(_forgottenFrom, last);
            }
        }
    }

    /// <summary>Begins to read again, from what <see cref="Forgotten"/> was when the read began.</summary>
    public void BeginAgain(long forgotten)
    {
        _reread.Clear();
        // A line that came to want more during the read may begin before it.
        _reread.UnionWith(_wanting.Where(line => line.ForgottenFrom >= forgotten));
    }

    /// <summary>Whether a record that was read again is one that its line forgot.</summary>
    /// <remarks>One that is postponed comes back by itself.</remarks>
    public bool IsForgotten(long offset, long? key) => offset < _readEnd && key is { } value && _lines.TryGetValue(value, out var line)
        && line.ForgottenFrom <= offset && _reread.Contains(line) && !_postponed.ContainsKey(offset);

    /// <summary>Adds a record that its line forgot, and that is not settled. Those of its line are added in order.</summary>
    public void AddAgain(long offset, long key, bool isAvailable)
    {
        var line = _lines[key];
        line.ForgottenFrom = Nothing;
        Add(offset, key, isAvailable);
        line.ForgottenFrom = offset + 1;
        _wanting.Remove(line);
    }

    /// <summary>What is between the place where reading again began and another one is known.</summary>
    public void EndAgain(long end)
    {
        foreach (var line in _reread.Where(line => line.ForgottenFrom < end || end >= _readEnd))
        {
            line.ForgottenFrom = end < _readEnd ? end : Nothing;
            KeepOrRemove(line);
        }
        _reread.Clear();
        _forgottenFrom = _lines.Count == 0 ? Nothing : _lines.Values.Min(static line => line.ForgottenFrom);
    }

    /// <summary>Adds a record that is not settled.</summary>
    public void Add(long offset, long? key, bool isAvailable)
    {
        Line? line = null;
        if (key is { } value)
        {
            if (!_lines.TryGetValue(value, out line))
                _lines[value] = line = new Line(value);
            if (line.ForgottenFrom <= offset)
                return;
        }
        _keys[offset] = key;
        if (line is not null)
        {
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
                KeepOrRemove(line);
        }
        else
            _ready.Remove(offset);
        _keys.Remove(offset);
    }

    // A line that forgot records is kept until they are known again.
    private void KeepOrRemove(Line line)
    {
        _wanting.Remove(line);
        if (line.Records.Count > 0)
            return;
        if (line.ForgottenFrom == Nothing)
            _lines.Remove(line.Key);
        else
            _wanting.Add(line);
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
