namespace OrleansMq.Client;

/// <summary>A clock that only goes forward, in the ticks of its <see cref="TimeProvider"/>.</summary>
internal sealed class ProducerClock(TimeProvider time)
{
    public long Now => time.GetTimestamp();

    public long Ticks(TimeSpan span) => (long)(span.TotalSeconds * time.TimestampFrequency);

    public long After(long then, TimeSpan span) => then + Ticks(span);

    /// <summary>How long until a time; never so short that a timer would fire before it.</summary>
    public TimeSpan Until(long then, long now) =>
        then <= now ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Math.Ceiling((then - now) * 1000.0 / time.TimestampFrequency));

    /// <summary>Milliseconds since 1970, for records.</summary>
    public long UnixMilliseconds => time.GetUtcNow().ToUnixTimeMilliseconds();
}
