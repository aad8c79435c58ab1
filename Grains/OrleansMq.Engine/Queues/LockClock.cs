namespace OrleansMq.Queues;

/// <summary>The clock of locks. It stands still while no lock may end: without lease, and while transitions cannot be appended.</summary>
internal sealed class LockClock
{
    private long _time;
    private long _last;
    private bool _stands = true;

    /// <summary>Milliseconds that the clock ran.</summary>
    public long Time => _time;

    /// <summary>Moves to a time, at the pace set before.</summary>
    /// <param name="now">The time.</param>
    /// <param name="leaseUntil">The end of the lease, beyond which the clock did not run.</param>
    public void MoveTo(long now, long leaseUntil)
    {
        if (!_stands)
            _time += Math.Max(Math.Min(now, leaseUntil) - _last, 0);
        _last = now;
    }

    /// <summary>Lets the clock stand still or run from now on.</summary>
    public void Set(bool stands) => _stands = stands;

    /// <summary>Returns when the clock will show a time, in milliseconds since 1970; <see cref="long.MaxValue"/>: not as it is
    /// now.</summary>
    public long WhenAt(long time) => _stands || time == long.MaxValue ? long.MaxValue : _last + Math.Max(time - _time, 0);
}
