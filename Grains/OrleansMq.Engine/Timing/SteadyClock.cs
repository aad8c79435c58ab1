namespace OrleansMq.Timing;

/// <summary>
/// The time of a clock that never goes back: while the machine's clock is behind what was read before, elapsed time counts. A clock that is
/// set forward, or a machine that slept, takes it along. Its owner reads it on one thread at a time.
/// </summary>
internal sealed class SteadyClock
{
    private readonly TimeProvider _clock;
    private DateTimeOffset _read;
    private long _readAt;

    /// <summary>Creates a clock that begins with the present time.</summary>
    public SteadyClock(TimeProvider clock) => (_clock, _read, _readAt) = (clock, clock.GetUtcNow(), clock.GetTimestamp());

    /// <summary>Reads the time: never before an earlier one.</summary>
    public DateTimeOffset Read()
    {
        // The clock first: what passes in between is then counted once.
        var now = _clock.GetUtcNow();
        var at = _clock.GetTimestamp();
        var steady = _read + _clock.GetElapsedTime(_readAt, at);
        (_read, _readAt) = (now > steady ? now : steady, at);
        return _read;
    }
}
