namespace OrleansMq.Schedules;

// The appends to the schedules' log: one batch at a time, which is in force before the next is given.
internal sealed partial class ScheduleService
{
    private readonly Queue<PendingWrite> _queued = new();
    private readonly List<PendingWrite> _written = [];
    // Records with requests that are not in force: their number, and the content that the last one schedules; null: it cancels.
    private readonly Dictionary<ScheduleHandle, (int Count, long? Content)> _changing = [];
    // The record of each id that the last of these requests concerns.
    private readonly Dictionary<Guid, ScheduleHandle> _changingIds = [];
    private bool _isForgetting;
    private long _writing; // the number of the append in progress; 0: none
    private long _writes;

    // Records that are in one batch, and what follows when they are in force.
    private sealed record PendingWrite(IReadOnlyList<ScheduleRecord> Records)
    {
        /// <summary>The record that a request concerns; null: there is no request.</summary>
        public ScheduleHandle? Handle { get; init; }
        public long RequestId { get; init; }
        public ScheduleOutcome Outcome { get; init; }
        public IReadOnlyList<ScheduleHandle> Decided { get; init; } = [];
        public ScheduleTarget? Intended { get; init; }
        public ScheduleIntent? Over { get; init; }
        /// <summary>Whether its target refused a record of <see cref="Over"/>.</summary>
        public bool IsRefused { get; init; }
        /// <summary>That record, unless it is dropped.</summary>
        public IReadOnlyList<ScheduleHandle> Held { get; init; } = [];
        public bool Forgets { get; init; }
        public bool Sweeps { get; init; }
    }

    private void Change(ScheduleRecord record, ScheduleHandle handle, long requestId, ScheduleOutcome outcome, long? content)
    {
        _changing[handle] = (_changing.GetValueOrDefault(handle).Count + 1, content);
        _changingIds[handle.Id] = handle;
        _queued.Enqueue(new PendingWrite([record]) { Handle = handle, RequestId = requestId, Outcome = outcome });
        if (_rules.MayAnswer(isInForce: false))
            _effects.Add(new ScheduleAnswer(requestId, outcome));
    }

    // Removes what was appended long ago, or too many: some at a time. Where the clock was set far back, too.
    private void Forget()
    {
        if (_isForgetting)
            return;
        List<ScheduleRecord> removals = [.. Forgotten(_state.Appended, _options.MostRemembered),
            .. Forgotten(_state.Fired, _options.MostFiringsRemembered)];
        if (removals.Count == 0)
            return;
        _isForgetting = true;
        _queued.Enqueue(new PendingWrite(removals) { Forgets = true });
    }

    private IEnumerable<ScheduleRecord> Forgotten(IReadOnlyCollection<AppendedSchedule> inOrder, int most)
    {
        var excess = inOrder.Count - most;
        return inOrder.Take(_options.RecordsPerIntent).TakeWhile((appended, index) => index < excess || IsOld(appended))
            .Select(static appended => ScheduleRecords.Removal(appended.Handle));
    }

    private bool IsOld(AppendedSchedule appended) => Math.Abs(_time.Now - appended.At) > _options.RememberedMs;

    private void Write()
    {
        if (_writing != 0 || _queued.Count == 0)
            return;
        var records = new List<ScheduleRecord>();
        for (var bytes = 0L; records.Count < _options.RecordsPerBatch && bytes < _options.BytesPerBatch
            && _queued.TryDequeue(out var write); bytes += write.Records.Sum(record => (long)record.ValueBytes))
        {
            _written.Add(write);
            records.AddRange(write.Records);
        }
        _writing = ++_writes;
        _effects.Add(new AppendScheduleRecords(_writing, records));
    }

    private void Apply(long firstOffset)
    {
        var offset = firstOffset;
        foreach (var write in _written)
        {
            foreach (var record in write.Records)
                _state.Apply(offset++, record);
            if (write.Handle is { } handle)
                Changed(handle, write);
            foreach (var decided in write.Decided)
            {
                _deciding.Remove(decided);
                _repeating.Remove(decided);
            }
            if (write.Over is { } over)
                End(over);
            if (write.IsRefused)
                Refused(write);
            if (write.Forgets)
                _isForgetting = false;
            if (write.Sweeps)
                _isRemoving = false;
        }
        var intended = _written.Select(write => write.Intended).OfType<ScheduleTarget>().Distinct().ToList();
        _written.Clear();
        _writing = 0;
        foreach (var target in intended)
            PublishNext(target);
    }

    // The firings that waited for those of the intent are read again: by now they may be due later.
    private void End(ScheduleIntent over)
    {
        _over.Remove((over.Target, over.FirstSequence));
        foreach (var timer in over.Timers)
        {
            if (!_state.IsIntended(timer.Handle.Id) && _behind.Remove(timer.Handle.Id, out var behind))
                _state.Timers.Return(behind);
        }
    }

    private void Changed(ScheduleHandle handle, PendingWrite write)
    {
        if (!_rules.MayAnswer(isInForce: false))
            _effects.Add(new ScheduleAnswer(write.RequestId, write.Outcome));
        var (count, content) = _changing[handle];
        if (count > 1)
        {
            _changing[handle] = (count - 1, content);
            return;
        }
        _changing.Remove(handle);
        if (_changingIds.GetValueOrDefault(handle.Id) == handle)
            _changingIds.Remove(handle.Id);
        if (_waiting.Remove(handle) && _rules.WaitEnds)
            _state.Timers.Return(handle);
    }
}
