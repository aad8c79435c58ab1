namespace OrleansMq.Diagnostics;

/// <summary>Log lines that a client, or a fault that goes on, could cause at will: one a minute, which counts those that were left out.
/// Thread safe.</summary>
/// <param name="log">Where the lines go.</param>
/// <param name="clock">The clock.</param>
internal sealed class RareLine(EngineLog log, TimeProvider clock)
{
    /// <summary>The least time between two lines.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private long? _last;
    private long _omitted;

    /// <summary>Writes a line, unless one was written within <see cref="Interval"/>.</summary>
    public void Write(EngineLogLevel level, string message, Exception? fault = null)
    {
        long omitted;
        lock (_lock)
        {
            if (_last is { } last && clock.GetElapsedTime(last) < Interval)
            {
                _omitted++;
                return;
            }
            _last = clock.GetTimestamp();
            (omitted, _omitted) = (_omitted, 0);
        }
        log.Write(level, omitted == 0 ? message : $"{message} {omitted} more such lines were left out.", fault);
    }
}
