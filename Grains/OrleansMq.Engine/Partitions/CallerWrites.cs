namespace OrleansMq.Partitions;

/// <summary>
/// Who may write a batch on his own thread, instead of waking an append thread and being woken by it: a write to the page cache takes less
/// time than either. As many as there are processors, since callers' threads are few; and nobody for a while after a write that had to
/// wait, since a disk that falls behind must stop nothing but appends.
/// </summary>
internal sealed class CallerWrites(TimeProvider time)
{
    /// <summary>Copying a batch takes microseconds; a writer whom the system holds back waits for tens of milliseconds.</summary>
    private static readonly TimeSpan SlowWrite = TimeSpan.FromMilliseconds(20);
    /// <summary>For how long the append threads have it to themselves then.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly int _most = Environment.ProcessorCount;
    private readonly long _slow = (long)(SlowWrite.TotalSeconds * time.TimestampFrequency);
    private readonly long _pause = (long)(Pause.TotalSeconds * time.TimestampFrequency);
    private int _writing;
    private long _notBefore = long.MinValue;

    /// <summary>Begins to write, where that may be: call <see cref="Leave"/> then.</summary>
    /// <param name="began">The time.</param>
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

    /// <summary>It is written.</summary>
    public void Leave(long began)
    {
        Interlocked.Decrement(ref _writing);
        var now = time.GetTimestamp();
        if (now - began > _slow)
            Volatile.Write(ref _notBefore, now + _pause);
    }
}
