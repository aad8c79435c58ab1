namespace OrleansMq.Log;

/// <summary>What of a file is to be brought to the disk before anybody flushes it: whole pages, since the last one is still being written to. Pure.</summary>
/// <param name="From">Where the range begins that is to be begun with.</param>
/// <param name="To">Where it ends.</param>
/// <param name="AwaitedFrom">Where the range begins that was begun with the time before, and that is to be done by now; it ends at <paramref name="From"/>.</param>
internal readonly record struct WritebackStep(long From, long To, long AwaitedFrom)
{
    /// <summary>Enough for a disk to write in one go; so little that a flush of something else does not wait long behind it.</summary>
    public const int MinBytes = 4 << 20;

    private const long PageBytes = 4096;

    /// <summary>The next step, once enough was written since the last; null before.</summary>
    /// <param name="last">The last step in this file; default for none.</param>
    /// <param name="size">The file's size.</param>
    public static WritebackStep? Next(WritebackStep last, long size)
    {
        var done = last.To <= size ? last : default; // It was cut.
        var end = size - (size % PageBytes);
        return end - done.To >= MinBytes ? new WritebackStep(done.To, end, done.From) : null;
    }
}

// What is written goes to the disk as it comes: gigabytes that the system has yet to write make every flush wait for them, also those of other logs, and every write once it begins.
internal sealed partial class SegmentedLog
{
    private readonly Lock _writebackLock = new();
    private Segment? _writtenBack;
    private WritebackStep _writeback;
    private LogPosition _writebackWanted;

    /// <summary>Whether enough was written, since this said so the last time, to be worth a call of <see cref="WriteBack"/>. Under <see cref="AppendLock"/>.</summary>
    public bool WantsWriteback()
    {
        var end = End;
        if (end.SegmentBase != _writebackWanted.SegmentBase || end.Position < _writebackWanted.Position)
            _writebackWanted = end with { Position = 0 }; // Another segment, or it was cut.
        if (end.Position - _writebackWanted.Position < WritebackStep.MinBytes)
            return false;
        _writebackWanted = end;
        return true;
    }

    /// <summary>Sees to it that what was written since the last call goes to the disk by and by. On no other lock of the log.</summary>
    /// <param name="wait">Whether to wait for what was begun with before, so that no more piles up than two steps.</param>
    /// <exception cref="IOException">The disk failed: nothing may be flushed again.</exception>
    public void WriteBack(bool wait)
    {
        lock (_writebackLock)
        {
            var segment = Active;
            if (!ReferenceEquals(segment, _writtenBack))
                (_writtenBack, _writeback) = (segment, default);
            if (WritebackStep.Next(_writeback, segment.Size) is not { } step)
                return;
            try
            {
                using var lease = segment.Log.Rent();
                FlushOnce.WriteBack(lease.File, step.From, step.To - step.From, wait: false);
                if (wait && step.From > step.AwaitedFrom)
                    FlushOnce.WriteBack(lease.File, step.AwaitedFrom, step.From - step.AwaitedFrom, wait: true);
            }
            catch (FileNotFoundException) when (segment.IsRemoved)
            {
                // Nothing is left to write.
            }
            _writeback = step;
        }
    }
}
