namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>What was ever observed of one partition: the record at each offset, and the visible end. Later observations must agree. Thread
/// safe.</summary>
internal sealed class PartitionHistory(int partition, Violations violations)
{
    private readonly Lock _lock = new();
    private readonly List<RecordId?> _seen = [];
    private long _visibleEnd;

    /// <summary>The offset after the last record that was read or acknowledged. The latest offset is never below it again.</summary>
    public long VisibleEnd => Volatile.Read(ref _visibleEnd);

    /// <summary>A consumer read a record, or its sender received this offset.</summary>
    public void Saw(long offset, RecordId id, string by)
    {
        lock (_lock)
        {
            while (_seen.Count <= offset)
                _seen.Add(null);
            if (_seen[(int)offset] is { } before && before != id)
                violations.Report(ViolationKind.Changed,
                    $"partition {partition} offset {offset} is {id} for {by}; it was {before} before.");
            _seen[(int)offset] ??= id;
            Raise(offset + 1);
        }
    }

    /// <summary>The latest offset was returned to a query sent when <see cref="VisibleEnd"/> was <paramref name="floor"/>.</summary>
    public void AnsweredLatest(long latest, long floor)
    {
        if (latest < floor)
            violations.Report(ViolationKind.WentBack,
                $"partition {partition}: the latest offset is {latest}; {floor} was known before the query.");
        lock (_lock)
            Raise(latest);
    }

    private void Raise(long end)
    {
        if (end > _visibleEnd)
            Volatile.Write(ref _visibleEnd, end);
    }
}
