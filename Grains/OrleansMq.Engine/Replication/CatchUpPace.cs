namespace OrleansMq.Replication;

/// <summary>
/// Lets the replicas that catch up give way to clients: while records of clients are appended on a broker, whether it leads or follows,
/// each piece of its catch-up work is followed by a rest in proportion to the time the piece took. So the work has a share of the time, not
/// a rate: what slows it down, a busy processor or a slow disk, makes it rest longer, and what is free it may use. Without live traffic
/// nothing rests. One a broker: all that it sends to those who catch up, and all that it takes while its own replicas do. Thread safe.
/// </summary>
/// <param name="time">The broker's clock.</param>
internal sealed class CatchUpPace(TimeProvider time)
{
    /// <summary>A share that never rests.</summary>
    public const int WholeTime = 100;

    /// <summary>A record appended so long ago speaks of live traffic: longer than the pauses of a client that sends now and then, and
    /// shorter than anybody would notice that catch-up is not at full speed yet.</summary>
    private static readonly TimeSpan LiveTime = TimeSpan.FromSeconds(1);

    /// <summary>The longest rest, however long the work took: catch-up goes on also where the disk stands still for seconds. Below the time
    /// after which a leader sends again what is not answered.</summary>
    public static readonly TimeSpan LongestRest = TimeSpan.FromMilliseconds(200);

    /// <summary>The most that is read for a push while there is live traffic: some milliseconds of a disk's and a processor's time, which
    /// is what others may have to wait for, and enough that the way there and back is not most of it.</summary>
    public const int LivePushBytes = 256 << 10;

    private readonly Lock _lock = new();
    private readonly long _started = time.GetTimestamp();
    private long _liveAt = long.MinValue;
    private TimeSpan _restUntil;

    /// <summary>Percent of its time that a broker with live traffic spends on catch-up at most, 1 to 100. Set before anything is
    /// sent.</summary>
    public int LiveShare { get; init; } = WholeTime;

    /// <summary>Whether records of clients were appended here a moment ago, and catch-up is to give way to them.</summary>
    public bool IsLive =>
        LiveShare < WholeTime && Volatile.Read(ref _liveAt) is var at && at != long.MinValue && time.GetElapsedTime(at) < LiveTime;

    /// <summary>Records of clients were appended here: by a leader, or for one that waits for it.</summary>
    public void NoteLive() => Volatile.Write(ref _liveAt, time.GetTimestamp());

    /// <summary>For how long no catch-up work may begin; zero: now.</summary>
    public TimeSpan Wait()
    {
        lock (_lock)
        {
            var wait = _restUntil - Now;
            return wait > TimeSpan.Zero && IsLive ? wait : TimeSpan.Zero;
        }
    }

    /// <summary>A piece of catch-up work has ended, and took so long.</summary>
    public void Worked(TimeSpan work)
    {
        if (!IsLive)
            return;
        lock (_lock)
            _restUntil = RestUntil(_restUntil, Now, work, LiveShare);
    }

    /// <summary>Until when to rest after a piece of work. Pure.</summary>
    /// <param name="before">Until when there was to be rest before: pieces that run at the same time rest one after the other.</param>
    /// <param name="now">When the piece ended.</param>
    /// <param name="work">How long it took.</param>
    /// <param name="share">Percent of the time that work may take, 1 to 100.</param>
    public static TimeSpan RestUntil(TimeSpan before, TimeSpan now, TimeSpan work, int share)
    {
        var until = (before > now ? before : now) + work * ((double)(WholeTime - share) / share);
        return until < now + LongestRest ? until : now + LongestRest;
    }

    private TimeSpan Now => time.GetElapsedTime(_started);
}
