namespace OrleansMq.Schedules;

/// <summary>
/// All timers, in two levels. Those due before the horizon are in memory; those beyond it are notes in the bucket of their time, on
/// disk, and take no memory. As time goes on the horizon moves from bucket to bucket, and a bucket that it passes is loaded. Pure but for
/// the buckets; time is given.
/// <para>
/// Which timers exist follows from the calls of <see cref="Schedule"/> and <see cref="Cancel"/> alone. Where they are kept follows from the
/// time. <see cref="Take"/> lends the timers that are due to the caller: they still exist, until they are cancelled. A wheel that is
/// restored lends them again.
/// </para>
/// </summary>
internal sealed class TimerWheel
{
    private readonly ITimerBuckets _buckets;
    private readonly long _bucketMs;
    private readonly NearTimers _near;
    private readonly NearTimers _taken;
    // The buckets beyond the horizon, and those that were loaded since the last checkpoint: it still needs them.
    private readonly SortedDictionary<long, long> _notes = [];
    private readonly List<long> _loaded = [];
    private long _horizonBucket;

    /// <summary>Creates an empty wheel.</summary>
    /// <param name="buckets">The timers beyond the horizon; none yet.</param>
    /// <param name="bucketMs">How long a bucket is, in milliseconds. The horizon is one to two buckets ahead.</param>
    /// <param name="now">The time, in milliseconds since 1970.</param>
    public TimerWheel(ITimerBuckets buckets, long bucketMs, long now)
    {
        (_buckets, _bucketMs) = (buckets, bucketMs);
        (_near, _taken) = (new NearTimers(Topics), new NearTimers(Topics));
        _horizonBucket = BucketOf(now) + 2;
    }

    /// <summary>The number of timers in memory, with those that are lent.</summary>
    public int InMemory => _near.Count + _taken.Count;

    /// <summary>The topics of the timers in memory.</summary>
    public TimerTopics Topics { get; } = new();

    /// <summary>When <see cref="Take"/> has something to do next, in milliseconds since 1970; <see cref="long.MaxValue"/>: never.</summary>
    public long NextDue
    {
        get
        {
            if (_near.TryPeek(out var first))
                return first.Handle.Due;
            foreach (var bucket in _notes.Keys)
                return (bucket - 1) * _bucketMs;
            return long.MaxValue;
        }
    }

    /// <summary>Adds a timer. One with the same handle is replaced.</summary>
    public void Schedule(in ScheduledTimer timer)
    {
        if (_taken.TryGet(timer.Handle, out _))
            _taken.Set(timer);
        else if (BucketOf(timer.Handle.Due) < _horizonBucket)
            _near.Set(timer);
        else
            Note(new TimerNote(timer, IsCancelled: false));
    }

    /// <summary>Removes a timer.</summary>
    /// <returns>False if there is none; true also for a time beyond the horizon, whose timers are not known.</returns>
    public bool Cancel(ScheduleHandle handle)
    {
        if (BucketOf(handle.Due) < _horizonBucket)
            return _near.Remove(handle) | _taken.Remove(handle);
        Note(new TimerNote(new ScheduledTimer(handle, 0), IsCancelled: true));
        return true;
    }

    /// <summary>Whether a timer of that time would be on disk.</summary>
    public bool IsBeyondHorizon(ScheduleHandle handle) => BucketOf(handle.Due) >= _horizonBucket;

    /// <summary>Whether a timer is in memory. Those beyond the horizon are not known.</summary>
    public bool IsInMemory(ScheduleHandle handle) => TryGet(handle, out _);

    /// <summary>Returns a timer in memory, lent or not.</summary>
    public bool TryGet(ScheduleHandle handle, out ScheduledTimer timer) =>
        _near.TryGet(handle, out timer) || _taken.TryGet(handle, out timer);

    /// <summary>Returns a timer in memory by its id alone.</summary>
    public bool TryFind(Guid id, out ScheduledTimer timer) => _near.TryFind(id, out timer) || _taken.TryFind(id, out timer);

    /// <summary>Returns the first timers in memory behind a place, in order.</summary>
    /// <param name="place">The place; null: the begin.</param>
    /// <param name="most">The most timers.</param>
    public IReadOnlyList<ScheduledTimer> After(ScheduleHandle? place, int most) =>
        [.. After(_near, place).Take(most).Concat(After(_taken, place).Take(most)).OrderBy(timer => timer.Handle).Take(most)];

    /// <summary>Returns the first timers behind a place that are in memory and not lent, in order.</summary>
    /// <param name="place">The place; null: the begin.</param>
    /// <param name="most">The most timers.</param>
    public IReadOnlyList<ScheduledTimer> NearAfter(ScheduleHandle? place, int most) => [.. After(_near, place).Take(most)];

    /// <summary>Returns a lent timer as it is now.</summary>
    /// <returns>False if it is not lent, or was cancelled meanwhile.</returns>
    public bool TryGetTaken(ScheduleHandle handle, out ScheduledTimer timer) => _taken.TryGet(handle, out timer);

    /// <summary>Takes a lent timer back, which is lent again later. A timer that is not lent is left alone.</summary>
    public void Return(ScheduleHandle handle)
    {
        if (_taken.Remove(handle, out var timer))
            _near.Set(timer);
    }

    /// <summary>Lends one timer. One that is not in memory, or is lent, is left alone.</summary>
    public void Lend(ScheduleHandle handle)
    {
        if (_near.Remove(handle, out var timer))
            _taken.Set(timer);
    }

    /// <summary>Lends the timers that are due, in their order.</summary>
    /// <param name="now">The time, in milliseconds since 1970. A time before that of an earlier call lends none beyond it.</param>
    /// <param name="most">The most timers to lend.</param>
    public List<ScheduledTimer> Take(long now, int most)
    {
        while (_horizonBucket < BucketOf(now) + 2)
            MoveHorizon(BucketOf(now) + 2);
        var due = new List<ScheduledTimer>();
        while (due.Count < most && _near.TryPeek(out var timer) && timer.Handle.Due <= now)
        {
            _near.Remove(timer.Handle);
            _taken.Set(timer);
            due.Add(timer);
        }
        return due;
    }

    /// <summary>Returns all timers, in no order. It reads all buckets.</summary>
    public IEnumerable<ScheduledTimer> All() => Near().Concat(_notes.Keys.SelectMany(Load));

    /// <summary>Returns what a later wheel needs beside the buckets, and makes the buckets durable. What was loaded before is removed from
    /// them when the checkpoint is durable: see <see cref="CheckpointStored"/>.</summary>
    public TimerCheckpoint Checkpoint()
    {
        _buckets.Flush();
        return new TimerCheckpoint(_horizonBucket, [.. Near()], [.. _notes.Select(bucket => (bucket.Key, bucket.Value))]);
    }

    /// <summary>Removes the buckets that only older checkpoints need.</summary>
    public void CheckpointStored()
    {
        foreach (var bucket in _loaded)
            _buckets.Delete(bucket);
        _loaded.Clear();
    }

    /// <summary>Restores the wheel of a checkpoint. What its buckets got later is cut.</summary>
    public static TimerWheel Restore(TimerCheckpoint checkpoint, ITimerBuckets buckets, long bucketMs)
    {
        var wheel = new TimerWheel(buckets, bucketMs, 0) { _horizonBucket = checkpoint.HorizonBucket };
        foreach (var timer in checkpoint.Near)
            wheel._near.Set(timer);
        foreach (var (bucket, notes) in checkpoint.Buckets)
        {
            buckets.Truncate(bucket, notes);
            wheel._notes.Add(bucket, notes);
        }
        return wheel;
    }

    private static IEnumerable<ScheduledTimer> After(NearTimers timers, ScheduleHandle? place) =>
        place is { } some ? timers.After(some) : timers.All();

    private IEnumerable<ScheduledTimer> Near() => _near.All().Concat(_taken.All());

    private long BucketOf(long time) => Math.Max(time, 0) / _bucketMs;

    private void Note(in TimerNote note)
    {
        var bucket = BucketOf(note.Timer.Handle.Due);
        var notes = _notes.GetValueOrDefault(bucket);
        // A restart may have left a bucket that no checkpoint knows.
        if (notes == 0)
            _buckets.Delete(bucket);
        _buckets.Append(bucket, note);
        _notes[bucket] = notes + 1;
    }

    private void MoveHorizon(long end)
    {
        var first = _notes.Keys.FirstOrDefault(end);
        if (first >= end)
        {
            _horizonBucket = end;
            return;
        }
        foreach (var timer in Load(first))
            _near.Set(timer);
        _notes.Remove(first);
        _loaded.Add(first);
        _horizonBucket = first + 1;
    }

    private IEnumerable<ScheduledTimer> Load(long bucket)
    {
        var timers = new Dictionary<ScheduleHandle, ScheduledTimer>();
        foreach (var note in _buckets.Read(bucket))
        {
            if (note.IsCancelled)
                timers.Remove(note.Timer.Handle);
            else
                timers[note.Timer.Handle] = note.Timer;
        }
        return timers.Values;
    }
}

/// <summary>What restores a wheel, with its buckets.</summary>
/// <param name="HorizonBucket">The first bucket on disk.</param>
/// <param name="Near">The timers in memory.</param>
/// <param name="Buckets">The buckets on disk, each with its number of notes.</param>
internal sealed record TimerCheckpoint(long HorizonBucket, IReadOnlyList<ScheduledTimer> Near,
    IReadOnlyList<(long Bucket, long Notes)> Buckets);
