namespace OrleansMq.Schedules;

/// <summary>The time as a leader of schedules knows it.</summary>
/// <param name="Now">The time of day, in milliseconds since 1970, by which records are due. It may go back.</param>
/// <param name="Elapsed">Milliseconds that passed since some moment, by which retries are timed. It never goes back.</param>
internal readonly record struct ScheduleTime(long Now, long Elapsed);

/// <summary>
/// The time of day of a leader of schedules: that of its broker, but a step far ahead is believed only when it has lasted. So a clock that
/// is far ahead for a moment delivers nothing early. A step back is followed at once: late is better than early. Pure.
/// </summary>
internal sealed class ScheduleClock
{
    /// <summary>Steps ahead that are believed at once, in milliseconds.</summary>
    public const long MostStepMs = 60_000;

    /// <summary>How long a larger step lasts before it is believed, in milliseconds.</summary>
    public const long HoldMs = 10_000;

    private long _now;
    private long _readAt;
    private long? _aheadSince;
    private bool _hasBegun;

    /// <summary>Whether a step ahead is not believed yet: the clock is to be read again soon.</summary>
    public bool IsHolding => _aheadSince is not null;

    /// <summary>Reads the clock.</summary>
    /// <param name="clock">What the broker's clock says, in milliseconds since 1970.</param>
    /// <param name="elapsed">Milliseconds that passed since some moment.</param>
    public ScheduleTime Read(long clock, long elapsed)
    {
        var expected = _now + (elapsed - _readAt);
        if (!_hasBegun || clock <= expected + MostStepMs)
            _aheadSince = null;
        else
            _aheadSince ??= elapsed;
        if (elapsed - _aheadSince >= HoldMs)
            _aheadSince = null;
        _now = IsHolding ? expected : clock;
        (_readAt, _hasBegun) = (elapsed, true);
        return new ScheduleTime(_now, elapsed);
    }
}
