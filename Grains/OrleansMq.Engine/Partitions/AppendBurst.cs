namespace OrleansMq.Partitions;

/// <summary>
/// Appends that reached a caller together: they are begun one after the other, and written when he calls <see cref="Run"/>, those to one
/// partition with one call to the system. Until then those partitions write nothing, so he calls it before he waits for anything. Used by
/// one thread at a time.
/// </summary>
/// <param name="home">Where those are answered that another thread has written: it runs what it is given soon, on the caller's thread.
/// Null: on the thread pool.</param>
public sealed class AppendBurst(Action<IThreadPoolWorkItem>? home = null)
{
    // So many that a call to the system is nothing beside them; no more, or the first would wait for the last.
    private const int MaxAppends = 64;
    private const long MaxBytes = 256 << 10;

    private readonly List<(Partition Partition, bool MayWrite)> _claimed = [];
    private int _appends;
    private long _bytes;

    /// <summary>Whether nothing waits for <see cref="Run"/>.</summary>
    public bool IsEmpty => _claimed.Count == 0;

    /// <summary>Whether there is no room for more.</summary>
    public bool IsFull => _appends >= MaxAppends || _bytes >= MaxBytes;

    internal Action<IThreadPoolWorkItem>? Home { get; } = home;

    /// <summary>Writes what was begun. What is complete then is answered on this thread, before it returns.</summary>
    public void Run()
    {
        (_appends, _bytes) = (0, 0);
        for (var i = 0; i < _claimed.Count; i++)
        {
            var (partition, mayWrite) = _claimed[i];
            partition.RunClaimed(this, mayWrite);
        }
        _claimed.Clear();
    }

    /// <summary>An append was begun.</summary>
    internal void Added(int bytes)
    {
        _appends++;
        _bytes += bytes;
    }

    /// <summary>The partition's turn is this burst's: nobody else writes to it before.</summary>
    internal void Claim(Partition partition, bool mayWrite) => _claimed.Add((partition, mayWrite));
}
