namespace OrleansMq.Client;

/// <summary>
/// Tracks which records of a partition are done when they complete out of order. The lowest offset that is not done is the one to commit.
/// Pure; not thread-safe.
/// </summary>
internal sealed class OffsetTracker
{
    // A ring of the started records in ascending offset order, beginning with the lowest that is not done.
    private Entry[] _entries = new Entry[16];
    private int _head;
    private int _count;
    private long _last = -1;

    /// <summary>The number of started records, from the lowest that is not done.</summary>
    public int Count => _count;

    /// <summary>The offset up to which all records are done; -1 before any is.</summary>
    public long DoneTo { get; private set; } = -1;

    /// <summary>The leader epoch of the record before <see cref="DoneTo"/>; -1 if unknown.</summary>
    public int DoneEpoch { get; private set; } = -1;

    /// <summary>Adds a record that is handed out. Offsets ascend, with gaps.</summary>
    public void Start(long offset, int leaderEpoch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(offset, _last);
        _last = offset;
        if (_count == _entries.Length)
            Grow();
        At(_count++) = new Entry(offset, leaderEpoch, false);
    }

    /// <summary>Marks a record as done. Returns whether <see cref="DoneTo"/> has moved.</summary>
    /// <exception cref="InvalidOperationException">The record was not started, or was done already.</exception>
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
