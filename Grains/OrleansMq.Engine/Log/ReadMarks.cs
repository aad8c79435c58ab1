namespace OrleansMq.Log;

/// <summary>
/// Where the last few reads of a segment ended: a reader mostly goes on there, and is spared the search. Marks are hints: whoever follows
/// one looks whether the batch is there. Thread safe, without a lock.
/// </summary>
internal sealed class ReadMarks
{
    // A few consumers that read the same segment; more search.
    private const int Count = 8;

    private readonly Mark?[] _marks = new Mark?[Count];
    private int _next;

    /// <summary>A read ended before this offset, at this position.</summary>
    public void Add(long offset, long position) =>
        Volatile.Write(ref _marks[(uint)Interlocked.Increment(ref _next) % Count], new Mark(offset, position));

    /// <summary>Where the batch with an offset most likely begins; -1 where that is not known.</summary>
    public long Find(long offset)
    {
        foreach (ref var place in _marks.AsSpan())
        {
            if (Volatile.Read(ref place) is { } mark && mark.Offset == offset)
                return mark.Position;
        }
        return -1;
    }

    private sealed record Mark(long Offset, long Position);
}
