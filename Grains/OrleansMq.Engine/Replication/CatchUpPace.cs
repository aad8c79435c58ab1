namespace OrleansMq.Replication;

/// <summary>
/// Makes catch-up give way to clients. While client records are appended on a broker, as leader or as follower, each piece of catch-up work
/// is followed by a rest in proportion to its duration. So the work has a share of the time, not a rate: a busy processor or a slow disk
/// makes it rest longer, and it may use what is free. Without live traffic it does not rest. Each broker has one pace, for everything it
/// sends to catching-up replicas and everything its own ones receive. Thread safe.
/// </summary>
/// <param name="time">The broker's clock.</param>
internal sealed class CatchUpPace(TimeProvider time)
{
    /// <summary>A share that never rests.</summary>
    public const int WholeTime = 100;

    /// <summary>How long an append counts as live traffic: longer than the pauses of a client that sends occasionally, and too short to
    /// delay catch-up noticeably.</summary>
    private static readonly TimeSpan LiveTime = TimeSpan.FromSeconds(1);

    /// <summary>The longest rest, however long the work took, so that catch-up proceeds even if the disk stalls for seconds. Shorter than a
    /// leader's resend timeout.</summary>
    public static readonly TimeSpan LongestRest = TimeSpan.FromMilliseconds(200);

    /// <summary>The bytes read for a bundle while there is live traffic. They take a few milliseconds of disk and processor, which others
    /// may have to wait for, and are enough to outweigh the round trip.</summary>
    public const int LiveBundleBytes = 256 << 10;

    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private long _liveAt = long.MinValue;
    private TimeSpan _restUntil;

    /// <summary>The most of its time, in percent from 1 to 100, that a broker with live traffic spends on catch-up. Set before anything is
    /// sent.</summary>
    public int LiveShare { get; init; } = WholeTime;

    /// <summary>Whether client records were appended here recently, so that catch-up gives way.</summary>
    public bool IsLive =>
        LiveShare < WholeTime && Volatile.Read(ref _liveAt) is var at && at != long.MinValue && time.GetElapsedTime(at) < LiveTime;

    /// <summary>Records that client records were appended here, by a leader or by a follower that the leader waits for.</summary>
    public void NoteLive() => Volatile.Write(ref _liveAt, time.GetTimestamp());

    /// <summary>Returns how long no catch-up work may begin; zero for now.</summary>
    public TimeSpan Wait()
    {
        lock (_lock)
        {
            var wait = _restUntil - Now;
            return wait > TimeSpan.Zero && IsLive ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>Records the duration of a piece of catch-up work that has ended.</summary>
    public void Worked(TimeSpan work)
    {
        if (!IsLive)
            return;
        lock (_lock)
            _restUntil = RestUntil(_restUntil, Now, work, LiveShare);
    }

    /// <summary>Computes the end of the rest after a piece of work. Pure.</summary>
    /// <param name="before">The end of the previous rest: concurrent pieces rest one after the other.</param>
    /// <param name="now">When the piece ended.</param>
    /// <param name="work">The duration of the piece.</param>
    /// <param name="share">The percentage of the time that work may take, 1 to 100.</param>
    public static TimeSpan RestUntil(TimeSpan before, TimeSpan now, TimeSpan work, int share)
    {
        var until = (before > now ? before : now) + work * ((double)(WholeTime - share) / share);
        return until < now + LongestRest ? until : now + LongestRest;
    }

    private TimeSpan Now => time.GetElapsedTime(_started);
}
