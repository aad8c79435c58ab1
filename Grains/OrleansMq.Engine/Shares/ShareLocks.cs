using OrleansMq.Queues;

namespace OrleansMq.Shares;

/// <summary>The records that a member was given, with the lock of each. The protocol names records by offset alone. Pure.</summary>
internal sealed class ShareLocks
{
    // Locks that ended by time stay until their offset is given out again: above this number the lowest are dropped.
    private const int Most = 10_000;

    // By offset, disjoint.
    private readonly List<(OffsetRange Records, LockToken Lock)> _held = [];

    /// <summary>The number of ranges.</summary>
    public int Count => _held.Count;

    /// <summary>Adds records. An earlier lock of any of them has ended.</summary>
    public void Add(OffsetRange records, LockToken token)
    {
        Remove(records);
        var at = FirstAt(records.First);
        _held.Insert(at, (records, token));
        if (at > 0 && _held[at - 1] is var before && before.Lock == token && before.Records.Last + 1 == records.First)
        {
            _held[at - 1] = (new OffsetRange(before.Records.First, records.Last), token);
            _held.RemoveAt(at);
        }
        if (_held.Count > Most)
            _held.RemoveAt(0);
    }

    /// <summary>Returns the parts of a range with the lock of each; null unless every record of it is held.</summary>
    public IReadOnlyList<(OffsetRange Records, LockToken Lock)>? Find(OffsetRange records)
    {
        var parts = new List<(OffsetRange, LockToken)>();
        var next = records.First;
        for (var at = FirstAt(records.First); at < _held.Count && next <= records.Last; at++)
        {
            var (held, token) = _held[at];
            if (held.First > next)
                return null;
            var last = Math.Min(held.Last, records.Last);
            parts.Add((new OffsetRange(next, last), token));
            next = last + 1;
        }
        return next > records.Last ? parts : null;
    }

    /// <summary>Removes records.</summary>
    public void Remove(OffsetRange records)
    {
        for (var at = FirstAt(records.First); at < _held.Count && _held[at].Records.First <= records.Last;)
        {
            var (held, token) = _held[at];
            _held.RemoveAt(at);
            if (held.First < records.First)
                _held.Insert(at++, (held with { Last = records.First - 1 }, token));
            if (held.Last > records.Last)
                _held.Insert(at++, (held with { First = records.Last + 1 }, token));
        }
    }

    // The first range that does not end before the offset.
    private int FirstAt(long offset)
    {
        var (low, high) = (0, _held.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_held[middle].Records.Last < offset)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
}
