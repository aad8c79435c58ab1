using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>The schedules' log as its leaders see it: what is in force, and a tail that a failover may cut.</summary>
internal sealed class SimulatedScheduleLog
{
    private readonly SortedDictionary<long, ScheduleRecord> _records = [];
    private readonly List<(long First, long End)> _tail = [];

    public long End { get; private set; }
    public long HighWatermark { get; private set; }

    /// <summary>Appends a batch behind the high watermark.</summary>
    public long Append(IReadOnlyList<ScheduleRecord> records)
    {
        var first = End;
        foreach (var record in records)
            _records.Add(End++, record.Copied is { Timer: var timer } ? record with { Value = ValueOf(timer), Copied = null } : record);
        _tail.Add((first, End));
        return first;
    }

    /// <summary>Raises the high watermark to the end of a batch.</summary>
    public void Replicate(long first)
    {
        var index = _tail.FindIndex(batch => batch.First == first);
        HighWatermark = _tail[index].End;
        _tail.RemoveRange(0, index + 1);
    }

    /// <summary>Keeps so many batches of the tail, which are then in force, and cuts the others.</summary>
    /// <returns>The number of batches that were cut.</returns>
    public int FailOver(Random random)
    {
        var kept = random.Next(_tail.Count + 1);
        var cut = _tail.Count - kept;
        if (kept > 0)
            HighWatermark = _tail[kept - 1].End;
        for (var offset = HighWatermark; offset < End; offset++)
            _records.Remove(offset);
        // Offsets are not reused, so that a reference to what was cut is found out.
        End = Math.Max(End, HighWatermark);
        HighWatermark = End;
        _tail.Clear();
        return cut;
    }

    public IEnumerable<(long Offset, ScheduleRecord Record)> From(long offset) =>
        _records.Where(entry => entry.Key >= offset && entry.Key < HighWatermark).Select(entry => (entry.Key, entry.Value));

    /// <summary>Returns the value that was scheduled under a handle at an offset; null if the log has it no more.</summary>
    public ReadOnlyMemory<byte>? ValueAt(ScheduledTimer timer) =>
        _records.TryGetValue(timer.Reference, out var record) && record.Key[0] == ScheduleRecords.Scheduled
            && ScheduleRecords.ReadHandle(record.Key) == timer.Handle ? record.Value : null;

    private ReadOnlyMemory<byte>? ValueOf(ScheduledTimer timer)
    {
        Verdict.Require(ValueAt(timer) is not null, $"6: the payload of {timer}, which is copied, is gone.");
        return ValueAt(timer);
    }

    /// <summary>Keeps the last record of each key in force, and removals only where a checkpoint may need them.</summary>
    public void Compact(long removalsFrom)
    {
        var last = new Dictionary<string, long>();
        foreach (var (offset, record) in From(0))
            last[Convert.ToHexString(record.Key)] = offset;
        foreach (var (offset, record) in From(0).ToList())
        {
            if (last[Convert.ToHexString(record.Key)] != offset || record.Value is null && offset < removalsFrom)
                _records.Remove(offset);
        }
    }
}

/// <summary>A broker's disk: the last checkpoint, and buckets that lose at a crash what was not flushed.</summary>
internal sealed class SimulatedScheduleDisk(Random random) : ITimerBuckets
{
    private readonly SortedDictionary<long, List<TimerNote>> _buckets = [];
    private readonly Dictionary<long, int> _flushed = [];

    public ScheduleCheckpoint? Checkpoint { get; set; }

    public void Append(long bucket, in TimerNote note)
    {
        if (!_buckets.TryGetValue(bucket, out var notes))
            _buckets.Add(bucket, notes = []);
        notes.Add(note);
    }

    public IEnumerable<TimerNote> Read(long bucket) => _buckets.GetValueOrDefault(bucket, []);

    public void Truncate(long bucket, long notes)
    {
        var list = _buckets.GetValueOrDefault(bucket, []);
        Verdict.Require(list.Count >= notes, $"9: bucket {bucket} has {list.Count} notes, the checkpoint {notes}.");
        list.RemoveRange((int)notes, list.Count - (int)notes);
    }

    public void Delete(long bucket)
    {
        _buckets.Remove(bucket);
        _flushed.Remove(bucket);
    }

    public void Flush()
    {
        foreach (var (bucket, notes) in _buckets)
            _flushed[bucket] = notes.Count;
    }

    /// <summary>Loses some of what was not flushed.</summary>
    public void Crash()
    {
        foreach (var (bucket, notes) in _buckets)
        {
            var kept = random.Next(_flushed.GetValueOrDefault(bucket), notes.Count + 1);
            notes.RemoveRange(kept, notes.Count - kept);
        }
    }
}
