namespace OrleansMq.Partitions;

/// <summary>
/// Appends that reached a caller together. They are begun one after the other and written by <see cref="Run"/>, with one write call for
/// each partition. Until then no thread writes to these partitions, so the caller must call it before it waits. Used by one thread at a
/// time.
/// </summary>
/// <param name="home">Runs the completions of appends that another thread wrote: soon, and on the caller's thread. Null: the thread
/// pool.</param>
internal sealed class AppendBurst(Action<IThreadPoolWorkItem>? home = null)
{
    // Enough that the write call costs little per append; no more, since the first append waits for the last.
    private const int MaxAppends = 64;
    private const long MaxBytes = 256 << 10;

    private readonly List<(AppendLoop Appends, bool MayWrite)> _claimed = [];
    private int _appends;
    private long _bytes;

    /// <summary>Whether nothing waits for <see cref="Run"/>.</summary>
    public bool IsEmpty => _claimed.Count == 0;

    /// <summary>Whether there is no room for more.</summary>
    public bool IsFull => _appends >= MaxAppends || _bytes >= MaxBytes;

    internal Action<IThreadPoolWorkItem>? Home { get; } = home;

    /// <summary>Writes the appends. Those that are then complete are answered on this thread before it returns.</summary>
    public void Run()
    {
        (_appends, _bytes) = (0, 0);
        for (var i = 0; i < _claimed.Count; i++)
        {
            var (appends, mayWrite) = _claimed[i];
            appends.RunClaimed(this, mayWrite);
        }
        _claimed.Clear();
    }

    /// <summary>Counts an append that was begun.</summary>
    internal void Added(int bytes)
    {
        _appends++;
        _bytes += bytes;
    }

    /// <summary>Gives the burst the partition's turn: no other thread writes to it before <see cref="Run"/>.</summary>
    internal void Claim(AppendLoop appends, bool mayWrite) => _claimed.Add((appends, mayWrite));
}
