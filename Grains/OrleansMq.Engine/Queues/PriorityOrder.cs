namespace OrleansMq.Queues;

/// <summary>
/// The highest level first, in log order within one. Records of level 0 are those of a <see cref="LogOrder"/> and cost nothing; the others
/// are in sets of their level. Levels come from reads of the log, of everything up to its readable end.
/// </summary>
internal sealed class PriorityOrder : DispatchOrder
{
    private sealed class Level
    {
        // Those that are not settled.
        public OffsetSet Records { get; } = new();
        public OffsetSet Available { get; } = new();
    }

    private readonly Level?[] _levels;
    private readonly OffsetSet _raised = new();
    private readonly LogOrder _lowest;

    /// <summary>Creates an order without known levels.</summary>
    /// <param name="from">Where the log's order begins.</param>
    /// <param name="levels">The number of levels; a higher one counts as the highest.</param>
    /// <param name="nextAvailable">Returns the first available record between two offsets, or the second one.</param>
    /// <param name="returnedFirst">Whether returned records of level 0 come before later ones.</param>
    public PriorityOrder(long from, int levels, Func<long, long, long> nextAvailable, bool returnedFirst)
    {
        _levels = new Level?[levels];
        ReadEnd = from;
        _lowest = new LogOrder(from, NextOfLowest, returnedFirst);

        long NextOfLowest(long first, long end)
        {
            for (var offset = nextAvailable(first, end); ; offset = nextAvailable(_raised.NextNotIn(offset), end))
            {
                if (offset >= end || !_raised.Contains(offset))
                    return offset;
            }
        }
    }

    /// <summary>The levels of the records below it are known.</summary>
    public long ReadEnd { get; private set; }

    public override long Next => _lowest.Next;

    public override long KnownUpTo => Math.Max(Next, ReadEnd);

    /// <summary>The levels below an offset are known.</summary>
    public void ReadUpTo(long end) => ReadEnd = Math.Max(ReadEnd, end);

    /// <summary>Adds a record that is not settled.</summary>
    public void Add(long offset, int level, bool isAvailable)
    {
        if (level <= 0)
            return;
        var records = _levels[Math.Min(level, _levels.Length - 1)] ??= new Level();
        records.Records.Add(offset);
        _raised.Add(offset);
        if (isAvailable)
            records.Available.Add(offset);
    }

    public override bool TryPeek(long readableEnd, out long offset)
    {
        for (var level = _levels.Length - 1; level > 0; level--)
        {
            if (_levels[level] is not { Available.IsEmpty: false } records)
                continue;
            offset = records.Available.Min;
            return offset < readableEnd;
        }
        return _lowest.TryPeek(Math.Min(readableEnd, ReadEnd), out offset);
    }

    public override bool TryPeekFirst(long readableEnd, out long offset)
    {
        if (!_lowest.TryPeek(Math.Min(readableEnd, ReadEnd), out offset))
            offset = long.MaxValue;
        foreach (var records in _levels)
        {
            if (records is { Available.IsEmpty: false })
                offset = Math.Min(offset, records.Available.Min);
        }
        return offset < readableEnd;
    }

    public override void Take(long offset)
    {
        if (LevelOf(offset) is { } records)
            records.Available.Remove(offset);
        else
            _lowest.Take(offset);
    }

    public override void Return(long offset)
    {
        if (LevelOf(offset) is { } records)
            records.Available.Add(offset);
        else
            _lowest.Return(offset);
    }

    public override void Remove(OffsetRange records)
    {
        _lowest.Remove(records);
        if (_raised.NextIn(records.First) > records.Last)
            return;
        _raised.Remove(records);
        foreach (var level in _levels)
        {
            level?.Records.Remove(records);
            level?.Available.Remove(records);
        }
    }

    public override void SkipTo(long offset)
    {
        _lowest.SkipTo(offset);
        foreach (var level in _levels)
            level?.Available.RemoveBelow(offset);
        ReadUpTo(offset);
    }

    private Level? LevelOf(long offset) =>
        _raised.Contains(offset) ? Array.Find(_levels, level => level?.Records.Contains(offset) == true) : null;
}
