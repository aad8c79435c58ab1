using OrleansMq.Diagnostics;

namespace OrleansMq.Schedules;

// From due to published: read, sorted by target, intended, published, removed.
internal sealed partial class ScheduleService
{
    private readonly Dictionary<ScheduleTarget, Lane> _lanes = [];
    // Lanes whose records may now be intended.
    private readonly HashSet<ScheduleTarget> _toDecide = [];
    // Due records that wait for the requests about them.
    private readonly HashSet<ScheduleHandle> _waiting = [];
    // Records of intents that are not in force yet.
    private readonly HashSet<ScheduleHandle> _deciding = [];
    // Those of them that repeat, with their next firing.
    private readonly Dictionary<ScheduleHandle, ScheduleHandle> _repeating = [];
    // Due firings that wait for an earlier one.
    private readonly Dictionary<Guid, ScheduleHandle> _behind = [];
    private readonly Dictionary<ScheduleTarget, Publish> _publishing = [];
    // Intents that are over, but whose removal is not in force yet.
    private readonly HashSet<(ScheduleTarget Target, long FirstSequence)> _over = [];
    // The due records of topics and zones that cannot be looked up, and those that their topics refuse.
    private readonly Dictionary<WaitingPlace, Parked> _parked = [];
    // Those of refused records that are tried again.
    private readonly HashSet<ScheduleHandle> _probing = [];
    // Next firings that are removed when the refused one before them is scheduled again: that one.
    private readonly Dictionary<ScheduleHandle, ScheduleHandle> _takenBack = [];
    private long _nextRetry = long.MaxValue;
    private List<ScheduledTimer> _due = [];
    private long _reading; // the number of the read in progress; 0: none
    private long _reads;

    // A target's records between due and published.
    private sealed class Lane
    {
        /// <summary>Records as they were read: one that was replaced since may be for another target.</summary>
        public Queue<(ScheduledTimer Timer, int Bytes, long? NextDue)> Ready { get; } = new();
        public long NextSequence { get; set; }
        public int Outstanding { get; set; }
        public int RetryMs { get; set; }
    }

    private sealed class Parked
    {
        public Queue<ScheduleHandle> Handles { get; } = new();
        public long RetryAt { get; set; }
        public int RetryMs { get; set; }
    }

    // In the place of a sequence: nothing is published until a refusal is in force.
    private const long Blocked = -1;

    // An intent that is published. RetryAt is MaxValue until its target has not answered in time.
    private readonly record struct Publish(long FirstSequence, long RetryAt);

    private void ReadDue()
    {
        if (_reading != 0)
            return;
        _due = _state.Timers.Take(_rules.DueBy(_time.Now, _latest), _options.RecordsPerIntent);
        if (_due.Count == 0)
            return;
        _reading = ++_reads;
        _effects.Add(new ReadScheduleTargets(_reading, _due, _time.Now));
    }

    private void Sort(IReadOnlyList<FoundTarget> found)
    {
        // Topics and zones that are known again: all of their records are read again, in order. So are those of deleted topics.
        var known = found.Where(one => !one.IsUnknown && _parked.ContainsKey(one.Place)).Select(one => one.Place).ToHashSet();
        known.UnionWith(found.Where(one => one is { IsUnknown: false, Target: null }).Select(one => WaitingPlace.OfRefused(one.TopicId))
            .Where(_parked.ContainsKey));
        for (var i = 0; i < _due.Count; i++)
        {
            var (timer, one) = (_due[i], found[i]);
            if (one.Target is null)
                _probing.Remove(timer.Handle);
            // A request replaced the payload during the read: the one that was read may be compacted already.
            if (known.Contains(one.Place)
                || (_state.Timers.TryGetTaken(timer.Handle, out var current) && current.Reference != timer.Reference))
                _state.Timers.Return(timer.Handle);
            else if (one.IsUnknown)
                Park(one.Place, timer.Handle);
            else if (one.Target is { } target)
            {
                if (!_lanes.TryGetValue(target, out var lane))
                    _lanes.Add(target, lane = new Lane { NextSequence = _state.NextSequence(target) });
                lane.Ready.Enqueue((timer, one.Bytes, one.NextDue));
                _toDecide.Add(target);
            }
            else
                Drop(timer);
        }
        foreach (var place in known)
            Unpark(place);
        _reading = 0;
    }

    private void Drop(ScheduledTimer timer)
    {
        if (!TryBegin(timer, repeats: false))
            return;
        Dropped++;
        _queued.Enqueue(new PendingWrite([ScheduleRecords.Removal(timer.Handle)]) { Decided = [timer.Handle] });
    }

    private void Park(WaitingPlace place, ScheduleHandle handle)
    {
        if (!_parked.TryGetValue(place, out var parked))
        {
            _parked.Add(place, parked = new Parked { RetryMs = _options.RetryMs, RetryAt = _time.Elapsed + _options.RetryMs });
            _nextRetry = Math.Min(_nextRetry, parked.RetryAt);
        }
        parked.Handles.Enqueue(handle);
    }

    private void Unpark(WaitingPlace place)
    {
        if (!_parked.Remove(place, out var parked))
            return;
        foreach (var handle in parked.Handles)
            _state.Timers.Return(handle);
    }

    private void Decide()
    {
        foreach (var target in _toDecide)
        {
            var lane = _lanes[target];
            while (lane.Ready.Count > 0 && lane.Outstanding < _options.IntentsPerTarget)
            {
                var (timers, firings) = (new List<ScheduledTimer>(), new List<ScheduleRecord>());
                for (var bytes = 0; timers.Count < _options.RecordsPerIntent && lane.Ready.TryPeek(out var next)
                    && (timers.Count == 0 || bytes + next.Bytes <= _options.BytesPerIntent); lane.Ready.Dequeue())
                {
                    if (!TryBegin(next.Timer, repeats: next.NextDue is not null))
                    {
                        _probing.Remove(next.Timer.Handle);
                        continue;
                    }
                    timers.Add(next.Timer);
                    bytes += next.Bytes;
                    if (next.NextDue is { } due)
                        firings.Add(Repeat(next.Timer, due, next.Bytes));
                }
                if (timers.Count > 0)
                    Intend(target, lane, timers, firings);
            }
        }
        _toDecide.Clear();
    }

    private ScheduleRecord Repeat(in ScheduledTimer timer, long due, int bytes)
    {
        // The same time would be the same key: what is over would remove what is to come.
        Invariant.Check(due > timer.Handle.Due, "The next firing of a schedule is not later than this one.");
        _repeating[timer.Handle] = timer.Handle with { Due = due };
        return ScheduleRecords.OfCopied(_repeating[timer.Handle], new CopiedPayload(timer, bytes, Repeats: true));
    }

    private void Intend(ScheduleTarget target, Lane lane, List<ScheduledTimer> timers, List<ScheduleRecord> firings)
    {
        var intent = new ScheduleIntent(target, _rules.FirstSequence(lane.NextSequence, _state.NextSequence(target)), _origin, timers);
        lane.NextSequence = intent.NextSequence;
        lane.Outstanding++;
        List<ScheduleRecord> records = [ScheduleRecords.OfIntent(intent), ScheduleRecords.OfSequence(target, intent.NextSequence)];
        _queued.Enqueue(new PendingWrite(_rules.RepeatsAtOnce ? [.. records, .. firings] : records)
        {
            Decided = [.. timers.Select(timer => timer.Handle)],
            Intended = target,
        });
        if (!_rules.RepeatsAtOnce && firings.Count > 0)
            _queued.Enqueue(new PendingWrite(firings));
        if (_rules.MayPublish(isInForce: false))
            _effects.Add(new PublishIntent(intent));
    }

    // Whether a due record goes its way: not if it was cancelled or replaced since it was read, or the clock was set back, nor while a
    // request about it is not in force.
    private bool TryBegin(ScheduledTimer read, bool repeats)
    {
        var handle = read.Handle;
        if (_deciding.Contains(handle) || !_state.Timers.TryGetTaken(handle, out var current))
            return false;
        if (current.Reference != read.Reference || handle.Due > _rules.DueBy(_time.Now, _latest))
        {
            _state.Timers.Return(handle);
            return false;
        }
        if (_rules.Waits(_changing.ContainsKey(handle)))
        {
            _waiting.Add(handle);
            return false;
        }
        if (repeats && _rules.WaitsForEarlier(_state.IsIntended(handle.Id)))
        {
            _behind[handle.Id] = handle;
            return false;
        }
        _deciding.Add(handle);
        return true;
    }

    private void PublishNext(ScheduleTarget target)
    {
        if (_publishing.ContainsKey(target)
            || _rules.Next(_state.IntentsOf(target).Where(intent => !_over.Contains((target, intent.FirstSequence)))) is not { } next)
            return;
        _publishing.Add(target, new Publish(next.FirstSequence, long.MaxValue));
        _effects.Add(new PublishIntent(next));
    }

    private void Answered(IntentAnswered answered)
    {
        var target = answered.Target;
        if (!_publishing.TryGetValue(target, out var publish) || publish.FirstSequence != answered.FirstSequence)
            return;
        if (!_rules.IsOver(answered.Outcome))
        {
            var retried = _lanes[target];
            retried.RetryMs = Longer(retried.RetryMs, _options.MostRetryMs);
            _publishing[target] = publish with { RetryAt = _time.Elapsed + retried.RetryMs };
            _nextRetry = Math.Min(_nextRetry, _time.Elapsed + retried.RetryMs);
            return;
        }
        _publishing.Remove(target);
        var intent = _state.IntentsOf(target).First(intent => intent.FirstSequence == answered.FirstSequence);
        _over.Add((target, intent.FirstSequence));
        var lane = _lanes[target];
        lane.Outstanding--;
        lane.RetryMs = 0;
        _toDecide.Add(target);
        var isRemembered = answered.Outcome == PublishOutcome.Published && _rules.RemembersAppended;
        var (count, held) = (answered.Refused?.Index ?? intent.Timers.Count, new List<ScheduleHandle>());
        List<ScheduleRecord> removals = [ScheduleRecords.Removal(intent), .. intent.Timers.Take(count).Select(timer => isRemembered
            ? ScheduleRecords.OfAppended(new AppendedSchedule(timer.Handle, timer.Content, _time.Now,
                _state.IsRepeating(timer.Handle.Id)))
            : ScheduleRecords.Removal(timer.Handle))];
        if (answered.Refused is { } refused)
            Refuse(intent, refused, lane, removals, held);
        Probed(intent, count);
        if (answered.Outcome == PublishOutcome.TargetGone)
        {
            Dropped += intent.Timers.Count;
            if (lane.Outstanding == 0 && lane.Ready.Count == 0)
            {
                removals.Add(ScheduleRecords.Removal(target));
                _lanes.Remove(target);
                _toDecide.Remove(target);
            }
        }
        _queued.Enqueue(new PendingWrite(removals) { Over = intent, Held = held, IsRefused = answered.Refused is not null });
        PublishNext(target);
    }

    // The intent is cut at a record that its target refused: the record is scheduled again, and those behind it are an intent of their own.
    // Its target gets nothing until that is in force. A later sequence would make a duplicate of the record for a leader that finds the
    // whole intent.
    private void Refuse(ScheduleIntent intent, RefusedRecord refused, Lane lane, List<ScheduleRecord> records, List<ScheduleHandle> held)
    {
        if (_rules.WaitsForRefused)
            _publishing.Add(intent.Target, new Publish(Blocked, long.MaxValue));
        Hold(intent.Timers[refused.Index] with { TopicId = intent.Target.TopicId }, refused, records, held);
        if (refused.Index + 1 < intent.Timers.Count)
        {
            lane.Outstanding++;
            records.Add(ScheduleRecords.OfIntent(intent with
            {
                FirstSequence = intent.FirstSequence + refused.Index + 1,
                Timers = [.. intent.Timers.Skip(refused.Index + 1)],
            }));
        }
        // Those that wait for their turn are looked at again, by what is known of the topic now.
        while (lane.Ready.TryDequeue(out var ready))
            _state.Timers.Return(ready.Timer.Handle);
    }

    // A record that its target refused is scheduled again. Of one that repeats, the next firing is taken back: it has one timer. Where its
    // schedule was cancelled, or made anew, since the firing was decided, the firing is dropped.
    private void Hold(ScheduledTimer timer, RefusedRecord refused, List<ScheduleRecord> records, List<ScheduleHandle> held)
    {
        var handle = timer.Handle;
        if (refused.Repeats)
        {
            var isWaiting = _state.Timers.TryFind(handle.Id, out var next);
            if (_changingIds.ContainsKey(handle.Id) || (isWaiting ? next.Content != timer.Content : !refused.IsLast))
            {
                Dropped++;
                records.Add(ScheduleRecords.Removal(handle));
                return;
            }
            if (isWaiting)
            {
                records.Add(ScheduleRecords.Removal(next.Handle));
                _takenBack[next.Handle] = handle;
            }
        }
        records.Add(ScheduleRecords.OfCopied(handle, new CopiedPayload(timer, refused.Bytes, refused.Repeats)));
        held.Add(handle);
    }

    // Where a target took a record that was refused before, all that its topic refused are tried.
    private void Probed(ScheduleIntent intent, int taken)
    {
        var isTaken = false;
        for (var i = 0; i < Math.Min(taken + 1, intent.Timers.Count); i++)
            isTaken |= _probing.Remove(intent.Timers[i].Handle) && i < taken;
        if (isTaken)
            Unpark(WaitingPlace.OfRefused(intent.Target.TopicId));
    }

    // In force: the record waits for another try, and its target goes on.
    private void Refused(PendingWrite write)
    {
        var target = write.Over!.Target;
        foreach (var handle in write.Held)
        {
            _state.Timers.Lend(handle);
            Park(WaitingPlace.OfRefused(target.TopicId), handle);
            foreach (var (next, _) in _takenBack.Where(back => back.Value == handle).ToList())
                _takenBack.Remove(next);
        }
        if (_publishing.GetValueOrDefault(target).FirstSequence == Blocked)
            _publishing.Remove(target);
        PublishNext(target);
    }

    private void Retry()
    {
        foreach (var (target, publish) in _publishing.Where(publish => publish.Value.RetryAt <= _time.Elapsed).ToList())
        {
            _publishing.Remove(target);
            PublishNext(target);
        }
        foreach (var (place, parked) in _parked.Where(parked => parked.Value.RetryAt <= _time.Elapsed).ToList())
        {
            if (parked.Handles.Count == 0)
                _parked.Remove(place);
            // Some tell whether topic and zone are known now, or the topic takes them.
            var most = place.IsRefused ? _options.RefusedPerRetry : _options.RecordsPerIntent;
            for (var i = 0; i < most && parked.Handles.TryDequeue(out var handle); i++)
            {
                if (place.IsRefused)
                    _probing.Add(handle);
                _state.Timers.Return(handle);
            }
            parked.RetryMs = Longer(parked.RetryMs, place.IsRefused ? _options.MostRefusedRetryMs : _options.MostRetryMs);
            parked.RetryAt = _time.Elapsed + parked.RetryMs;
        }
        _nextRetry = Math.Min(_publishing.Count == 0 ? long.MaxValue : _publishing.Values.Min(publish => publish.RetryAt),
            _parked.Count == 0 ? long.MaxValue : _parked.Values.Min(parked => parked.RetryAt));
    }

    private int Longer(int retryMs, int most) => Math.Clamp(retryMs * 2, _options.RetryMs, most);
}
