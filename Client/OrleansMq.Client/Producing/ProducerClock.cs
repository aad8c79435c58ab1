namespace OrleansMq.Client;

/// <summary>A monotonic clock, in the ticks of its <see cref="TimeProvider"/>.</summary>
internal sealed class ProducerClock(TimeProvider time)
{
    public long Now => time.GetTimestamp();

    public long Ticks(TimeSpan span) => (long)(span.TotalSeconds * time.TimestampFrequency);

    public long After(long then, TimeSpan span) => then + Ticks(span);

    public TimeSpan Since(long then) => time.GetElapsedTime(then);

    /// <summary>Returns the time remaining until a moment, rounded up so that a timer never fires before it.</summary>
    public TimeSpan Until(long then, long now) =>
        then <= now ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Math.Ceiling((then - now) * 1000.0 / time.TimestampFrequency));

    /// <summary>Milliseconds since 1970, for record timestamps.</summary>
    public long UnixMilliseconds => time.GetUtcNow().ToUnixTimeMilliseconds();
}
