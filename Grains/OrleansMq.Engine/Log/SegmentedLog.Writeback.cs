namespace OrleansMq.Log;

/// <summary>What of a file is to be brought to the disk before anybody flushes it. Pure.</summary>
/// <param name="From">Where the range begins that is to be begun with.</param>
/// <param name="To">Where it ends.</param>
/// <param name="AwaitedFrom">Where the range begins that was begun with the time before, and that is to be done by now; it ends at
/// <paramref name="From"/>.</param>
internal readonly record struct WritebackStep(long From, long To, long AwaitedFrom)
{
    /// <summary>Enough for a disk to write in one go; so little that a flush of something else does not wait long behind it.</summary>
    public const int MinBytes = 4 << 20;

    /// <summary>The next step, once enough was written since the last; null before.</summary>
    /// <param name="last">The last step in this file; default for none.</param>
    /// <param name="size">The file's size.</param>
    public static WritebackStep? Next(WritebackStep last, long size)
    {
        var done = last.To <= size ? last : default; // It was cut.
        return size - done.To >= MinBytes ? new WritebackStep(done.To, size, done.From) : null;
    }
}

// Bulk writes are brought to the disk as they come: gigabytes that the system has yet to write make every flush wait for them, also those
// of other logs.
internal sealed partial class SegmentedLog
{
    private Segment? _writtenBack;
    private WritebackStep _writeback;

    /// <summary>Sees to it that what was written since the last call goes to the disk by and by. By one thread at a time, on no
    /// lock.</summary>
    /// <param name="wait">Whether to wait for what was begun with before, so that no more piles up than two steps.</param>
    /// <exception cref="IOException">The disk failed: nothing may be flushed again.</exception>
    public void WriteBack(bool wait)
    {
        var segment = Active;
        if (!ReferenceEquals(segment, _writtenBack))
            (_writtenBack, _writeback) = (segment, default);
        if (WritebackStep.Next(_writeback, segment.Size) is not { } step)
            return;
        try
        {
            using var lease = segment.Log.Rent();
            lease.File.WriteBack(step.From, step.To - step.From, wait: false);
            if (wait && step.From > step.AwaitedFrom)
                lease.File.WriteBack(step.AwaitedFrom, step.From - step.AwaitedFrom, wait: true);
        }
        catch (FileNotFoundException) when (segment.IsRemoved)
        {
            // Nothing is left to write.
        }
        _writeback = step;
    }
}
