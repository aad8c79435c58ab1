namespace OrleansMq.Log;

/// <summary>The parts of a file to write to disk before a flush. Pure.</summary>
/// <param name="From">The start of the range to begin with.</param>
/// <param name="To">The end of that range.</param>
/// <param name="AwaitedFrom">The start of the previous step's range, which must be complete by now; it ends at
/// <paramref name="From"/>.</param>
internal readonly record struct WritebackStep(long From, long To, long AwaitedFrom)
{
    /// <summary>Enough for efficient writing; small enough that a flush of another file does not wait long behind it.</summary>
    public const int MinBytes = 4 << 20;

    /// <summary>Returns the next step, once enough was written since the last; null before.</summary>
    /// <param name="last">The last step in this file; default for none.</param>
    /// <param name="size">The file's size.</param>
    public static WritebackStep? Next(WritebackStep last, long size)
    {
        var done = last.To <= size ? last : default; // It was truncated.
        return size - done.To >= MinBytes ? new WritebackStep(done.To, size, done.From) : null;
    }
}

/// <summary>
/// Writes bulk data to disk as it arrives. Gigabytes of dirty pages would delay every flush, also those of other logs.
/// </summary>
/// <remarks>Used under the flush lock.</remarks>
internal sealed class LogWriteback
{
    // The last step, and the segment that it was made in.
    private Segment? _segment;
    private WritebackStep _last;

    /// <summary>Starts writing recent data of the active segment.</summary>
    /// <param name="active">The active segment.</param>
    /// <param name="wait">Whether to wait for the previous step, so that at most two steps accumulate.</param>
    /// <exception cref="IOException">The disk failed: nothing may be flushed again.</exception>
    public void Advance(Segment active, bool wait)
    {
        if (!ReferenceEquals(active, _segment))
            (_segment, _last) = (active, default);
        if (WritebackStep.Next(_last, active.Size) is not { } step)
            return;
        try
        {
            using var lease = active.Log.Rent();
            lease.File.WriteBack(step.From, step.To - step.From, wait: false);
            if (wait && step.From > step.AwaitedFrom)
                lease.File.WriteBack(step.AwaitedFrom, step.From - step.AwaitedFrom, wait: true);
        }
        catch (FileNotFoundException) when (active.IsRemoved)
        {
            // Nothing is left to write.
        }
        _last = step;
    }
}
