namespace OrleansMq.Replication.Links;

/// <summary>The shortest recent round trip to another broker. A busy processor and the queues of both sides make round trips longer, but
/// hardly all of them, so the shortest one tells how far away the broker is. Not thread safe. Pure.</summary>
internal sealed class ShortestRoundTrip
{
    /// <summary>How long a round trip counts: this at least, and twice as long at most.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    private TimeSpan _began;
    private TimeSpan _current = TimeSpan.MaxValue;
    private TimeSpan _before = TimeSpan.MaxValue;

    /// <summary>Records a round trip.</summary>
    /// <param name="now">The time when it ended, from any fixed start.</param>
    /// <param name="took">Its duration.</param>
    public void Took(TimeSpan now, TimeSpan took)
    {
        if (now - _began >= Window)
            (_before, _current, _began) = (now - _began < 2 * Window ? _current : TimeSpan.MaxValue, TimeSpan.MaxValue, now);
        if (took < _current)
            _current = took;
    }

    /// <summary>Whether the shortest one took at least so long; false before the first.</summary>
    public bool IsAtLeast(TimeSpan duration) =>
        (_current < _before ? _current : _before) is var shortest && shortest >= duration && shortest < TimeSpan.MaxValue;
}
