namespace OrleansMq.Client;

/// <summary>
/// Which records of a partition are done, where they are not done in order: what may be committed is the lowest offset that is not done.
/// Pure; not thread safe.
/// </summary>
internal sealed class OffsetTracker
{
    // A ring of what was started, by offset ascending, from the lowest that is not done on.
    private Entry[] _entries = new Entry[16];
    private int _head;
    private int _count;
    private long _last = -1;

    /// <summary>Records that are started, and either not done or behind one that is not.</summary>
    public int Count => _count;

    /// <summary>The offset up to which all is done; -1 before anything is.</summary>
    public long DoneTo { get; private set; } = -1;

    /// <summary>The leader epoch of the record before <see cref="DoneTo"/>; -1 if not known.</summary>
    public int DoneEpoch { get; private set; } = -1;

    /// <summary>A record is handed out. Offsets ascend, with gaps.</summary>
    public void Start(long offset, int leaderEpoch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(offset, _last);
        _last = offset;
        if (_count == _entries.Length)
            Grow();
        At(_count++) = new Entry(offset, leaderEpoch, false);
    }

    /// <summary>A record is done. Returns whether <see cref="DoneTo"/> has moved.</summary>
    /// <exception cref="InvalidOperationException">It was not started, or was done already.</exception>
    public bool Finish(long offset)
    {
        var index = IndexOf(offset);
        if (index < 0 || At(index).IsDone)
            throw new InvalidOperationException($"Offset {offset} is not in flight.");
        At(index).IsDone = true;
        if (index > 0)
            return false;
        while (_count > 0 && At(0).IsDone)
        {
            (DoneTo, DoneEpoch) = (At(0).Offset + 1, At(0).LeaderEpoch);
            _head = (_head + 1) & (_entries.Length - 1);
            _count--;
        }
        return true;
    }

    private ref Entry At(int index) => ref _entries[(_head + index) & (_entries.Length - 1)];

    private int IndexOf(long offset)
    {
        var (low, high) = (0, _count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var found = At(middle).Offset;
            if (found == offset)
                return middle;
            if (found < offset)
                low = middle + 1;
            else
                high = middle - 1;
        }
        return -1;
    }

    private void Grow()
    {
        var larger = new Entry[_entries.Length * 2];
        for (var i = 0; i < _count; i++)
            larger[i] = At(i);
        (_entries, _head) = (larger, 0);
    }

    private record struct Entry(long Offset, int LeaderEpoch, bool IsDone);
}
