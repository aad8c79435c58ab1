namespace OrleansMq.Queues;

/// <summary>Which available record is handed out next.</summary>
internal abstract class DispatchOrder
{
    /// <summary>The first record that this leader never handed out, and does not know to be unavailable.</summary>
    public abstract long Next { get; }

    /// <summary>Records below it may be known to the order, so that it has to learn of those that are gone.</summary>
    public virtual long KnownUpTo => Next;

    /// <summary>Finds the next record.</summary>
    /// <param name="readableEnd">Records below it may be handed out.</param>
    /// <param name="offset">The record.</param>
    public abstract bool TryPeek(long readableEnd, out long offset);

    /// <summary>Finds the first record in the log.</summary>
    public virtual bool TryPeekFirst(long readableEnd, out long offset) => TryPeek(readableEnd, out offset);

    /// <summary>The record that was found is handed out.</summary>
    public abstract void Take(long offset);

    /// <summary>The record that was found comes later, and holds no other one back until then.</summary>
    public virtual void Postpone(long offset) => Take(offset);

    /// <summary>A record is available again.</summary>
    public abstract void Return(long offset);

    /// <summary>Records are settled, or being dead-lettered, in force.</summary>
    public abstract void Remove(OffsetRange records);

    /// <summary>Every record below an offset that is not held is being settled.</summary>
    public abstract void SkipTo(long offset);
}

/// <summary>Returned records first, at their old place, then the log's order. Costs nothing for a backlog that was never handed
/// out.</summary>
/// <param name="from">Where the log's order begins.</param>
/// <param name="nextAvailable">Returns the first available record between two offsets, or the second one.</param>
/// <param name="returnedFirst">Whether returned records come first.</param>
internal sealed class LogOrder(long from, Func<long, long, long> nextAvailable, bool returnedFirst) : DispatchOrder
{
    private readonly OffsetSet _returned = new();
    private long _next = from;

    public override long Next => _next;

    public override bool TryPeek(long readableEnd, out long offset)
    {
        if (_next < readableEnd)
            _next = nextAvailable(_next, readableEnd);
        var hasFresh = _next < readableEnd;
        var hasReturned = !_returned.IsEmpty && _returned.Min < readableEnd;
        offset = hasReturned && (returnedFirst || !hasFresh) ? _returned.Min : _next;
        return hasFresh || hasReturned;
    }

    public override void Take(long offset)
    {
        if (offset == _next)
            _next++;
        else
            _returned.Remove(offset);
    }

    // A record above is found when its turn comes.
    public override void Return(long offset)
    {
        if (offset < _next)
            _returned.Add(offset);
    }

    public override void Remove(OffsetRange records) => _returned.Remove(records);

    public override void SkipTo(long offset)
    {
        _returned.RemoveBelow(offset);
        _next = Math.Max(_next, offset);
    }
}
