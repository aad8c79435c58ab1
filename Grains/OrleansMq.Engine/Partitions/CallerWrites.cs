namespace OrleansMq.Partitions;

/// <summary>
/// Decides whether a caller's thread may write its batch. A write to the page cache takes less time than to wake an append thread and to be
/// woken by it. At most as many callers write as there are processors. After a slow write none does for a while: a disk that falls behind
/// must delay appends only.
/// </summary>
internal sealed class CallerWrites(TimeProvider time)
{
    /// <summary>The least duration of a slow write. Copying a batch takes microseconds; a write that the system throttles takes tens of
    /// milliseconds.</summary>
    private static readonly TimeSpan SlowWrite = TimeSpan.FromMilliseconds(20);
    /// <summary>How long only append threads write after a slow write.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly int _most = Environment.ProcessorCount;
    private readonly long _slow = (long)(SlowWrite.TotalSeconds * time.TimestampFrequency);
    private readonly long _pause = (long)(Pause.TotalSeconds * time.TimestampFrequency);
    private int _writing;
    private long _notBefore = long.MinValue;

    /// <summary>Begins a write if the caller may write; <see cref="Leave"/> must follow.</summary>
    /// <param name="began">The timestamp of the beginning.</param>
    public bool TryEnter(out long began)
    {
        began = time.GetTimestamp();
        if (began < Volatile.Read(ref _notBefore))
            return false;
        if (Interlocked.Increment(ref _writing) <= _most)
            return true;
        Interlocked.Decrement(ref _writing);
        return false;
    }

    /// <summary>Ends a write.</summary>
    public void Leave(long began)
    {
        Interlocked.Decrement(ref _writing);
        var now = time.GetTimestamp();
        if (now - began > _slow)
            Volatile.Write(ref _notBefore, now + _pause);
    }
}
