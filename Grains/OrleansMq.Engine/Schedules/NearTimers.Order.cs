namespace OrleansMq.Schedules;

// The entries in the order of their handles: runs of bounded length, none of them empty. To add or to remove one moves a part of a run.
internal sealed partial class NearTimers
{
    private const int RunSize = 512;

    private readonly List<Run> _runs = [];

    private sealed class Run
    {
        public int[] Entries { get; } = new int[RunSize];
        public int Count { get; set; }
    }

    /// <summary>Returns the first timer.</summary>
    public bool TryPeek(out ScheduledTimer timer)
    {
        timer = Count == 0 ? default : TimerAt(_runs[0].Entries[0]);
        return Count > 0;
    }

    /// <summary>Returns all timers, in order.</summary>
    public IEnumerable<ScheduledTimer> All() => From(0, 0);

    /// <summary>Returns the timers behind a place, in order.</summary>
    public IEnumerable<ScheduledTimer> After(ScheduleHandle place)
    {
        var (run, at) = Find(place);
        return From(run, at).SkipWhile(timer => timer.Handle == place);
    }

    private IEnumerable<ScheduledTimer> From(int run, int at)
    {
        for (; run < _runs.Count; run++, at = 0)
        {
            for (; at < _runs[run].Count; at++)
                yield return TimerAt(_runs[run].Entries[at]);
        }
    }

    // The first place whose handle is not below this one, in the run that it belongs to; that may be the run's end.
    private (int Run, int At) Find(ScheduleHandle handle)
    {
        var (first, end) = (0, _runs.Count);
        while (end - first > 1)
        {
            var middle = (first + end) / 2;
            if (EntryAt(_runs[middle].Entries[0]).Handle.CompareTo(handle) <= 0)
                first = middle;
            else
                end = middle;
        }
        if (_runs.Count == 0)
            return (0, 0);
        var run = _runs[first];
        var (from, to) = (0, run.Count);
        while (from < to)
        {
            var middle = (from + to) / 2;
            if (EntryAt(run.Entries[middle]).Handle.CompareTo(handle) < 0)
                from = middle + 1;
            else
                to = middle;
        }
        return (first, from);
    }

    private void Insert(int entry)
    {
        var (index, at) = Find(EntryAt(entry).Handle);
        if (_runs.Count == 0)
            _runs.Add(new Run());
        var run = _runs[index];
        if (run.Count == RunSize)
        {
            // Handles that ascend fill their runs.
            var kept = at == RunSize ? RunSize : RunSize / 2;
            var next = new Run { Count = RunSize - kept };
            run.Entries.AsSpan(kept).CopyTo(next.Entries);
            run.Count = kept;
            _runs.Insert(index + 1, next);
            if (at > kept || kept == RunSize)
                (run, at) = (next, at - kept);
        }
        run.Entries.AsSpan(at, run.Count - at).CopyTo(run.Entries.AsSpan(at + 1));
        run.Entries[at] = entry;
        run.Count++;
    }

    private void RemoveFromOrder(ScheduleHandle handle)
    {
        var (index, at) = Find(handle);
        var run = _runs[index];
        run.Entries.AsSpan(at + 1, run.Count - at - 1).CopyTo(run.Entries.AsSpan(at));
        run.Count--;
        // A run that is nearly empty is joined with the next.
        if (run.Count == 0)
        {
            _runs.RemoveAt(index);
        }
        else if (run.Count < RunSize / 4 && index + 1 < _runs.Count && run.Count + _runs[index + 1].Count <= RunSize / 2)
        {
            var next = _runs[index + 1];
            next.Entries.AsSpan(0, next.Count).CopyTo(run.Entries.AsSpan(run.Count));
            run.Count += next.Count;
            _runs.RemoveAt(index + 1);
        }
    }
}
