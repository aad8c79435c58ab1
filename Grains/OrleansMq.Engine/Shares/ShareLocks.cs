using OrleansMq.Queues;

namespace OrleansMq.Shares;

/// <summary>An acknowledgement that was sent, and whose outcome its member was not told.</summary>
/// <param name="Type">What became of its records.</param>
/// <param name="Answer">Its outcome.</param>
internal sealed record SentAcknowledgement(ShareAcknowledgeType Type, Task<Answer> Answer);

/// <summary>Records of one lock.</summary>
/// <param name="Records">Their offsets.</param>
/// <param name="Lock">The lock.</param>
/// <param name="Sent">What was said of them; null: nothing yet.</param>
internal readonly record struct LockedRecords(OffsetRange Records, LockToken Lock, SentAcknowledgement? Sent = null);

/// <summary>The records that a member was given, with the lock of each. The protocol names records by offset alone. Pure.</summary>
/// <remarks>
/// <code>
/// held -- acknowledged                        --> sent    a repetition joins it
/// sent -- the member is told that it is done  --> gone
/// sent -- refused                             --> held    nothing was changed
/// any  -- given out again                     --> held    by its new lock
/// </code>
/// </remarks>
/// <param name="most">The most ranges. Locks that ended by time stay until their offset is given out again: above this number the lowest
/// are dropped.</param>
internal sealed class ShareLocks(int most = ShareLocks.Least)
{
    /// <summary>The least bound: clients acknowledge late, too.</summary>
    public const int Least = 10_000;

    // By offset, disjoint.
    private readonly List<LockedRecords> _held = [];

    /// <summary>The most ranges.</summary>
    public int Most { get; set; } = most;

    /// <summary>The number of ranges.</summary>
    public int Count => _held.Count;

    /// <summary>Adds records. An earlier lock of any of them has ended.</summary>
    public void Add(OffsetRange records, LockToken token) => Add(new LockedRecords(records, token));

    private void Add(LockedRecords added)
    {
        var records = added.Records;
        Remove(records);
        var at = FirstAt(records.First);
        _held.Insert(at, added);
        if (at > 0 && _held[at - 1] is var before && before with { Records = records } == added && before.Records.Last + 1 == records.First)
        {
            _held[at - 1] = added with { Records = new OffsetRange(before.Records.First, records.Last) };
            _held.RemoveAt(at);
        }
        if (_held.Count > Most)
            _held.RemoveAt(0);
    }

    /// <summary>Something was said of records.</summary>
    public void Send(LockedRecords records, SentAcknowledgement sent) => Add(records with { Sent = sent });

    /// <summary>The member is told the outcome of what it said of records. Those that were given out again since stay.</summary>
    /// <param name="records">The records.</param>
    /// <param name="sent">What was said of them.</param>
    /// <param name="isDone">Whether it is in force. Otherwise the lock holds them as before.</param>
    public void End(OffsetRange records, SentAcknowledgement sent, bool isDone)
    {
        foreach (var part in Overlapping(records).Where(part => ReferenceEquals(part.Sent, sent)))
        {
            Remove(part.Records);
            if (!isDone)
                Add(part.Records, part.Lock);
        }
    }

    private List<LockedRecords> Overlapping(OffsetRange records)
    {
        var parts = new List<LockedRecords>();
        for (var at = FirstAt(records.First); at < _held.Count && _held[at].Records.First <= records.Last; at++)
        {
            var held = _held[at].Records;
            parts.Add(_held[at] with
            {
                Records = new OffsetRange(Math.Max(held.First, records.First), Math.Min(held.Last, records.Last)),
            });
        }
        return parts;
    }

    /// <summary>Returns the parts of a range with the lock of each; null unless every record of it is held.</summary>
    public IReadOnlyList<LockedRecords>? Find(OffsetRange records)
    {
        var parts = new List<LockedRecords>();
        var next = records.First;
        for (var at = FirstAt(records.First); at < _held.Count && next <= records.Last; at++)
        {
            var held = _held[at];
            if (held.Records.First > next)
                return null;
            var last = Math.Min(held.Records.Last, records.Last);
            parts.Add(held with { Records = new OffsetRange(next, last) });
            next = last + 1;
        }
        return next > records.Last ? parts : null;
    }

    /// <summary>Removes records.</summary>
    public void Remove(OffsetRange records)
    {
        for (var at = FirstAt(records.First); at < _held.Count && _held[at].Records.First <= records.Last;)
        {
            var one = _held[at];
            var held = one.Records;
            _held.RemoveAt(at);
            if (held.First < records.First)
                _held.Insert(at++, one with { Records = held with { Last = records.First - 1 } });
            if (held.Last > records.Last)
                _held.Insert(at++, one with { Records = held with { First = records.Last + 1 } });
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
