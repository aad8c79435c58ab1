namespace OrleansMq.Log;

/// <summary>
/// Remembers where the last few reads of a segment ended, since most readers continue there and can skip the search. Marks are hints: a
/// reader checks that the batch is there. Thread safe and lock-free.
/// </summary>
internal sealed class ReadMarks
{
    // Enough for a few consumers that read the same segment; further ones search.
    private const int Count = 8;

    private readonly Mark?[] _marks = new Mark?[Count];
    private int _next;

    /// <summary>Records that a read ended before this offset, at this position.</summary>
    public void Add(long offset, long position) =>
        Volatile.Write(ref _marks[(uint)Interlocked.Increment(ref _next) % Count], new Mark(offset, position));

    /// <summary>Returns the probable position of the batch with an offset; -1 if not known.</summary>
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
