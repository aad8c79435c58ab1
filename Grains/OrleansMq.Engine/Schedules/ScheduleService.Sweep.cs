namespace OrleansMq.Schedules;

// Now and then, what is kept for deleted topics is removed: a record that is due in years would keep its place until then, and its schedule
// cannot be cancelled by the topic's name any more.
//
// idle -> listing -> sampling -> confirming -> removing -> idle
//
// The topics of all timers are listed. Those that are missing seem to be deleted; a list may be behind. So the first timer of each is
// sought, whose payload has the topic's name, and the topic is confirmed to be gone. Then their timers are removed. A turn looks at a
// bounded number of timers, and goes on in the next.
internal sealed partial class ScheduleService
{
    private enum Sweep
    {
        Idle,
        Listing,
        Sampling,
        Confirming,
        Removing,
    }

    private readonly Dictionary<Guid, ScheduledTimer> _samples = [];
    private IReadOnlySet<Guid> _missing = new HashSet<Guid>();
    private Sweep _sweep;
    private ScheduleHandle? _sweptTo;
    private long? _sweepAt;
    private bool _isRemoving;

    // When a turn goes on with the sweep; MaxValue: after an answer.
    private long NextSweep => _sweep switch
    {
        Sweep.Idle => _sweepAt ?? long.MaxValue,
        Sweep.Sampling => _time.Elapsed,
        Sweep.Removing when !_isRemoving => _time.Elapsed,
        _ => long.MaxValue,
    };

    private void GoOnSweeping()
    {
        _sweepAt ??= _time.Elapsed + _options.SweepMs;
        switch (_sweep)
        {
            case Sweep.Idle when _sweepAt <= _time.Elapsed:
                BeginSweep();
                break;
            case Sweep.Sampling:
                Sample();
                break;
            case Sweep.Removing when !_isRemoving:
                RemoveOfMissing();
                break;
        }
    }

    private void BeginSweep()
    {
        HashSet<Guid> topics = [.. _state.Timers.Topics.Ids, .. _state.Sequences.Keys.Select(target => target.TopicId)];
        if (topics.Count == 0)
        {
            EndSweep();
            return;
        }
        _sweep = Sweep.Listing;
        _effects.Add(new FindMissingTopics(topics));
    }

    private void MissingFound(MissingTopicsFound found)
    {
        if (_sweep != Sweep.Listing)
            return;
        RemoveSequences(found.TopicIds);
        _missing = found.TopicIds.Where(topic => _state.Timers.Topics.CountOf(topic) > 0).ToHashSet();
        if (_missing.Count == 0)
            EndSweep();
        else
            (_sweep, _sweptTo) = (Sweep.Sampling, null);
    }

    // Not confirmed: where the topic exists after all, this leader's lane has its sequence, and that of another leader is not this one's.
    private void RemoveSequences(IReadOnlySet<Guid> topics)
    {
        var targets = _state.Sequences.Keys.Where(target => topics.Contains(target.TopicId) && _state.IntentsOf(target).Count == 0
            && _lanes.GetValueOrDefault(target) is null or { Outstanding: 0 }).Take(_options.RecordsPerIntent);
        List<ScheduleRecord> removals = [.. targets.Select(ScheduleRecords.Removal)];
        if (removals.Count > 0)
            _queued.Enqueue(new PendingWrite(removals));
    }

    private void Sample()
    {
        foreach (var timer in NextSwept())
        {
            if (_missing.Contains(timer.TopicId))
                _samples.TryAdd(timer.TopicId, timer);
        }
        if (_sweptTo is not null && _samples.Count < Math.Min(_missing.Count, _options.RecordsPerIntent))
            return;
        if (_samples.Count == 0)
        {
            EndSweep();
            return;
        }
        _sweep = Sweep.Confirming;
        _effects.Add(new ConfirmMissingTopics([.. _samples.Values]));
    }

    private void Confirmed(MissingTopicsConfirmed confirmed)
    {
        if (_sweep != Sweep.Confirming)
            return;
        _missing = confirmed.TopicIds;
        if (_missing.Count == 0)
            EndSweep();
        else
            (_sweep, _sweptTo) = (Sweep.Removing, null);
    }

    private void RemoveOfMissing()
    {
        // A record that a request concerns is left for the next sweep.
        var timers = NextSwept().Where(timer => _rules.Sweeps(_missing.Contains(timer.TopicId)) && !_changing.ContainsKey(timer.Handle)
            && !_deciding.Contains(timer.Handle)).Select(timer => timer.Handle).ToList();
        if (timers.Count > 0)
        {
            Dropped += timers.Count;
            _deciding.UnionWith(timers);
            _isRemoving = true;
            _queued.Enqueue(new PendingWrite([.. timers.Select(ScheduleRecords.Removal)]) { Decided = timers, Sweeps = true });
        }
        if (_sweptTo is null)
            EndSweep();
    }

    // What a turn looks at: the timers behind the place, which moves on; at the end it is null.
    private IReadOnlyList<ScheduledTimer> NextSwept()
    {
        var timers = _state.Timers.NearAfter(_sweptTo, _options.RecordsPerSweep);
        _sweptTo = timers.Count == _options.RecordsPerSweep ? timers[^1].Handle : null;
        return timers;
    }

    private void EndSweep()
    {
        (_sweep, _sweptTo, _missing) = (Sweep.Idle, null, new HashSet<Guid>());
        _samples.Clear();
        _sweepAt = _time.Elapsed + _options.SweepMs;
    }
}
