namespace OrleansMq.Testing;

/// <summary>
/// A clock that stands still until a test advances it. Timers fire in the order of their due times, on the advancing thread, with the clock
/// at their due time. Thread-safe.
/// </summary>
public sealed class ManualTimeProvider : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now;

    /// <summary>Creates a clock that starts at a time; null for the start of the year 2026 (UTC).</summary>
    public ManualTimeProvider(DateTimeOffset? start = null) => _now = start ?? new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>One tick is 100 nanoseconds.</summary>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>The time until each armed timer fires, in ascending order.</summary>
    public IReadOnlyList<TimeSpan> ArmedTimers
    {
        get
        {
            lock (_gate)
                return [.. _timers.Where(timer => timer.DueAt is not null).Select(timer => timer.DueAt!.Value - _now).Order()];
        }
    }

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate)
            return _now;
    }

    /// <inheritdoc/>
    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new ManualTimer(this, callback, state);
        lock (_gate)
            _timers.Add(timer);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Advances the clock and fires the timers that become due.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The time span is negative.</exception>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        DateTimeOffset until;
        lock (_gate)
            until = _now + by;
        while (TakeDue(until) is { } due)
            due.Fire();
    }

    /// <summary>Sets the clock ahead at once, as for a machine that slept: each timer that is due by then fires once, with the clock at the
    /// end. A year takes as long as a second.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The time span is negative.</exception>
    public void Jump(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        List<ManualTimer> due;
        lock (_gate)
        {
            _now += by;
            due = [.. _timers.Where(timer => timer.DueAt <= _now).OrderBy(timer => timer.DueAt)];
            foreach (var timer in due)
                timer.StepPast(_now);
        }
        foreach (var timer in due)
            timer.Fire();
    }

    /// <summary>Takes the next timer due by a time, and sets the clock to its due time. Without one, sets the clock to that time and
    /// returns null.</summary>
    private ManualTimer? TakeDue(DateTimeOffset until)
    {
        lock (_gate)
        {
            var next = _timers.Where(timer => timer.DueAt <= until).MinBy(timer => timer.DueAt);
            var now = next?.DueAt ?? until;
            _now = now > _now ? now : _now;
            next?.Step();
            return next;
        }
    }

    private sealed class ManualTimer(ManualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period = Timeout.InfiniteTimeSpan;

        public DateTimeOffset? DueAt { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._gate)
            {
                if (!clock._timers.Contains(this))
                    return false;
                DueAt = dueTime == Timeout.InfiniteTimeSpan ? null : clock._now + dueTime;
                _period = period;
                return true;
            }
        }

        /// <summary>Sets the next due time. Called under the clock's lock.</summary>
        public void Step() => DueAt = _period == Timeout.InfiniteTimeSpan || _period == TimeSpan.Zero ? null : DueAt + _period;

        /// <summary>Sets the first due time after one. Called under the clock's lock.</summary>
        public void StepPast(DateTimeOffset now)
        {
            var due = DueAt;
            Step();
            if (DueAt <= now)
                DueAt = due + (_period * (((now - due!.Value).Ticks / _period.Ticks) + 1));
        }

        public void Fire() => callback(state);

        public void Dispose()
        {
            lock (clock._gate)
                clock._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
