namespace OrleansMq.Consumers;

/// <summary>
/// The records that a silo holds of one cursor, a lane for each key and partition. A lane is served by one worker at a time, in order.
/// The records of a lane that came under one lock are a run: when one of them is not served, those after it go back, also those that come
/// later under the same lock. The cursor hands out the next run of a key when the one before is settled. Thread-safe.
/// </summary>
/// <typeparam name="T">A message.</typeparam>
/// <param name="sizeOf">Returns how many bytes a message takes in a call.</param>
/// <param name="maxTaken">The most bytes of records that are taken together; the first one is taken whatever its size.</param>
internal sealed class KeyLanes<T>(Func<T, long> sizeOf, long maxTaken)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(int Partition, IdSpan Key), Lane> _lanes = [];
    private readonly Dictionary<int, Latest> _latest = [];

    /// <summary>Adds a record.</summary>
    /// <param name="partition">Its partition.</param>
    /// <param name="key">Its key.</param>
    /// <param name="run">Its run: the consumer and its lock. Those of one partition come one after the other.</param>
    /// <param name="message">The record.</param>
    /// <param name="isBroken">Whether an earlier record of its run was not served: it is not added, and goes back.</param>
    /// <param name="isUncounted">Whether its delivery does not count then.</param>
    /// <returns>The lane, if it needs a worker.</returns>
    public Lane? Add(int partition, IdSpan key, (object Consumer, long Lock) run, T message, out bool isBroken, out bool isUncounted)
    {
        lock (_lock)
        {
            if (!_latest.TryGetValue(partition, out var latest))
                _latest[partition] = latest = new Latest();
            if (latest.Run != run)
            {
                latest.Run = run;
                latest.Broken.Clear();
            }
            isBroken = latest.Broken.TryGetValue(key, out isUncounted);
            if (isBroken)
                return null;
            if (_lanes.TryGetValue((partition, key), out var lane))
            {
                lane.Waiting.Enqueue((run, message));
                return null;
            }
            _lanes[(partition, key)] = lane = new Lane(partition, key);
            lane.Waiting.Enqueue((run, message));
            return lane;
        }
    }

    /// <summary>Takes the next records of a lane, of one run, as many as one call takes.</summary>
    /// <returns>None: the lane is over, and its worker ends.</returns>
    public List<T> Take(Lane lane)
    {
        lock (_lock)
        {
            var (taken, size) = (new List<T>(), 0L);
            while (lane.Waiting.TryPeek(out var next) && (taken.Count == 0 || next.Run == lane.Run))
            {
                size += sizeOf(next.Message);
                if (taken.Count > 0 && size > maxTaken)
                    break;
                lane.Run = next.Run;
                taken.Add(next.Message);
                lane.Waiting.Dequeue();
            }
            if (taken.Count == 0)
                _lanes.Remove((lane.Partition, lane.Key));
            return taken;
        }
    }

    /// <summary>A record that was taken was not served. Returns those after it in its run that wait.</summary>
    /// <param name="lane">Its lane.</param>
    /// <param name="isUncounted">Whether its delivery does not count, and so neither do those of the records after it.</param>
    public List<T> Break(Lane lane, bool isUncounted)
    {
        lock (_lock)
        {
            var latest = _latest[lane.Partition];
            if (latest.Run == lane.Run)
                latest.Broken[lane.Key] = isUncounted;
            var rest = new List<T>();
            while (lane.Waiting.TryPeek(out var next) && next.Run == lane.Run)
                rest.Add(lane.Waiting.Dequeue().Message);
            return rest;
        }
    }

    /// <summary>Records of one key in one partition.</summary>
    internal sealed class Lane(int partition, IdSpan key)
    {
        public int Partition { get; } = partition;
        public IdSpan Key { get; } = key;
        public Queue<((object Consumer, long Lock) Run, T Message)> Waiting { get; } = [];
        // That of the records that its worker has.
        public (object Consumer, long Lock) Run { get; set; }
    }

    // A lock that was followed by another one brings no more records.
    private sealed class Latest
    {
        public (object Consumer, long Lock) Run { get; set; }
        // The keys, and whether what comes back does not count.
        public Dictionary<IdSpan, bool> Broken { get; } = [];
    }
}
