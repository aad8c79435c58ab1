namespace OrleansMq.Schedules;

/// <summary>
/// The leader's part of a partition of scheduled records: it takes requests, and appends each record to its target once, when it is due.
/// Pure: commands and the time in, effects out.
/// <para>
/// The log of the partition is the only state. A record that is due is delivered in three steps, each in force before the next begins: an
/// intent fixes its target and its sequence there; the target has it; intent and record are removed. A leader that takes over finds each
/// record before or behind any of these steps. It publishes the intents that it finds again, with the same sequences, and the
/// target drops what it has. Two leaders at once do the same: an intent in force is never decided anew.
/// </para>
/// <para>
/// Topics do not wait for each other. A target that does not answer is retried, while others go on. The due records of a topic, or
/// of a topic and a time zone, that cannot be looked up are set aside; some of them try again. So are those that their topic refuses by its
/// configuration: it took them when they were scheduled, and may take them again. An intent is cut at a record that its target refused, and
/// the record is scheduled again at its time. A leader that was replaced, and sends that intent once more when the target takes the record,
/// may append it beside the other.
/// </para>
/// <para>
/// A record that repeats has one timer. The batch that decides a firing schedules the next one, behind the present time: firings that were
/// missed are not made up. One firing is delivered at a time; the next one waits for it. A cancellation that comes while a firing is
/// decided removes the next one: the schedule ends. A firing that its topic refuses takes the place of the next one. Where there is none,
/// the schedule was cancelled, or the firing is its last by the present time: a clock that is ahead of a schedule's end takes the one for
/// the other.
/// </para>
/// <para>
/// A record that a request concerns which is not in force yet waits, so that a cancellation that is answered is final. A record that was
/// appended is remembered for a while, so that a request that is repeated does not append it again. The service ends when an append fails,
/// since the record may be in the log; its successor begins with the log.
/// </para>
/// </summary>
internal sealed partial class ScheduleService
{
    private static readonly WakeSchedule Never = new(long.MaxValue, long.MaxValue);

    private readonly ScheduleState _state;
    private readonly ScheduleOptions _options;
    private readonly ScheduleRules _rules;
    private readonly List<ScheduleEffect> _effects = [];
    private readonly long _origin;
    private ScheduleTime _time;
    private long _latest;
    private WakeSchedule _wake = Never;
    private bool _hasEnded;

    /// <summary>Creates the service of a new leader.</summary>
    /// <param name="state">What the log says, all of it in force.</param>
    /// <param name="options">Its bounds.</param>
    /// <param name="rules">Its decisions.</param>
    /// <param name="origin">Names its leadership among all.</param>
    public ScheduleService(ScheduleState state, ScheduleOptions options, ScheduleRules rules, long origin)
    {
        (_state, _options, _rules, _origin) = (state, options, rules, origin);
        foreach (var target in state.Targets)
            _lanes.Add(target, new Lane { NextSequence = state.NextSequence(target), Outstanding = state.IntentsOf(target).Count });
    }

    /// <summary>The state in force.</summary>
    public ScheduleState State => _state;

    /// <summary>The number of records that were dropped since they had no target any more, or it refused a firing whose schedule was
    /// cancelled.</summary>
    public long Dropped { get; private set; }

    /// <summary>Begins to serve.</summary>
    public IReadOnlyList<ScheduleEffect> Begin(ScheduleTime time)
    {
        if (_rules.ResumesIntents)
        {
            foreach (var target in _state.Targets)
                PublishNext(target);
        }
        return Advance(time);
    }

    /// <summary>Processes a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="time">The time.</param>
    /// <returns>What is to be done, in order.</returns>
    public IReadOnlyList<ScheduleEffect> Process(ScheduleCommand command, ScheduleTime time)
    {
        _time = time;
        switch (command)
        {
            case ScheduleRequest request:
                Schedule(request);
                break;
            case CancelRequest request:
                Cancel(request);
                break;
            case var _ when _hasEnded:
                break;
            case ScheduleRecordsInForce inForce when inForce.Number == _writing:
                Apply(inForce.FirstOffset);
                break;
            case ScheduleAppendFailed failed when failed.Number == _writing:
                End();
                break;
            case ScheduleTargetsRead read when read.Number == _reading:
                Sort(read.Found);
                break;
            case IntentAnswered answered:
                Answered(answered);
                break;
            case MissingTopicsFound found:
                MissingFound(found);
                break;
            case MissingTopicsConfirmed confirmed:
                Confirmed(confirmed);
                break;
            case ScheduleTick:
                _wake = Never;
                Retry();
                break;
        }
        return Advance(time);
    }

    private List<ScheduleEffect> Advance(ScheduleTime time)
    {
        _time = time;
        _latest = Math.Max(_latest, time.Now);
        if (!_hasEnded)
        {
            ReadDue();
            Decide();
            Forget();
            GoOnSweeping();
            Write();
            Wake();
        }
        List<ScheduleEffect> effects = [.. _effects];
        _effects.Clear();
        return effects;
    }

    private void Schedule(ScheduleRequest request)
    {
        // A schedule that is being cancelled while a firing is decided: the next one is scheduled again. One that is being cancelled while
        // the next one is taken back is another schedule from now on.
        var isAnother = _takenBack.TryGetValue(request.Handle, out var held) && _changing.TryGetValue(held, out var last)
            && last.Content is null;
        if (isAnother)
            _takenBack.Remove(request.Handle);
        var handle = _repeating.TryGetValue(request.Handle, out var next) && _changing.ContainsKey(next) ? next
            : _takenBack.GetValueOrDefault(request.Handle, request.Handle);
        var content = ScheduleRecords.ReadContent(request.Value.Span);
        var isChanging = _changing.TryGetValue(handle, out var change);
        if (_hasEnded)
            _effects.Add(new ScheduleAnswer(request.RequestId, ScheduleOutcome.Unclear));
        else if (isChanging && change.Content is { } coming && coming != content)
            _effects.Add(new ScheduleAnswer(request.RequestId, ScheduleOutcome.OtherContent));
        else if (!isAnother && !isChanging && _state.TryGetContent(handle, out var known))
            _effects.Add(new ScheduleAnswer(request.RequestId,
                known == content ? ScheduleOutcome.Scheduled : ScheduleOutcome.OtherContent));
        else
            Change(ScheduleRecords.OfScheduled(handle, request.Value), handle, request.RequestId, ScheduleOutcome.Scheduled, content);
    }

    private void Cancel(CancelRequest request)
    {
        var handle = request.Handle;
        if (_hasEnded)
            _effects.Add(new ScheduleAnswer(request.RequestId, ScheduleOutcome.Unclear));
        else if (_deciding.Contains(handle) && _repeating.TryGetValue(handle, out var firing))
            Change(ScheduleRecords.Removal(_rules.Ended(handle, firing)), _rules.Ended(handle, firing), request.RequestId,
                ScheduleOutcome.Cancelled, null);
        else if (_takenBack.TryGetValue(handle, out var held))
            Change(ScheduleRecords.Removal(held), held, request.RequestId, ScheduleOutcome.Cancelled, null);
        else if (_rules.IsTooLate(IsIntended(handle)))
            _effects.Add(new ScheduleAnswer(request.RequestId, ScheduleOutcome.TooLate));
        else if (!_changing.ContainsKey(handle) && (_state.IsAppended(handle) || (!_state.Timers.IsBeyondHorizon(handle)
            && !_state.Timers.IsInMemory(handle) && !IsIntended(handle))))
            _effects.Add(new ScheduleAnswer(request.RequestId, ScheduleOutcome.NotFound));
        else
            Change(ScheduleRecords.Removal(handle), handle, request.RequestId, ScheduleOutcome.Cancelled, null);
    }

    /// <summary>Finds the record that requests with an id concern: of the last request that is not in force, or else the one that
    /// waits.</summary>
    /// <param name="id">The id.</param>
    /// <param name="handle">The record.</param>
    /// <param name="isEnding">Whether that request cancels it: a record that is scheduled after it is another.</param>
    public bool TryFind(Guid id, out ScheduleHandle handle, out bool isEnding)
    {
        isEnding = false;
        if (_changingIds.TryGetValue(id, out handle))
        {
            isEnding = _changing[handle].Content is null;
            return true;
        }
        var isFound = _state.Timers.TryFind(id, out var timer);
        handle = timer.Handle;
        return isFound;
    }

    /// <summary>Whether a record was decided to be appended, in force or not.</summary>
    public bool IsIntended(ScheduleHandle handle) => _deciding.Contains(handle) || _state.IsIntended(handle);

    private void End()
    {
        _hasEnded = true;
        foreach (var write in _written.Concat(_queued))
        {
            if (write.Handle is not null && !_rules.MayAnswer(isInForce: false))
                _effects.Add(new ScheduleAnswer(write.RequestId, ScheduleOutcome.Unclear));
        }
        _effects.Add(new EndSchedules());
    }

    private void Wake()
    {
        var dueAt = _reading == 0 && _rules.WakesWhenDue ? _state.Timers.NextDue : long.MaxValue;
        var wake = new WakeSchedule(dueAt, Math.Min(_nextRetry, NextSweep));
        if (wake == _wake)
            return;
        _wake = wake;
        _effects.Add(wake);
    }
}

/// <summary>The bounds of a <see cref="ScheduleService"/>.</summary>
internal sealed record ScheduleOptions
{
    /// <summary>The most records of an intent, and the most that are read at once.</summary>
    public int RecordsPerIntent { get; init; } = 1000;
    /// <summary>The most intents of a target that are not over. Further records of that target wait; those of others do not.</summary>
    public int IntentsPerTarget { get; init; } = 4;
    /// <summary>About how many records of the schedules' log a batch has.</summary>
    public int RecordsPerBatch { get; init; } = 10_000;
    /// <summary>The most bytes of an intent's records, unless a single one has more: a target takes an intent as one batch.</summary>
    public int BytesPerIntent { get; init; } = 768 << 10;
    /// <summary>The bytes of values at which a batch of the schedules' log is closed. A due record is read with its batch.</summary>
    public int BytesPerBatch { get; init; } = 64 << 10;
    /// <summary>How long until an intent is published again whose target did not answer, in milliseconds. Doubled with each try.</summary>
    public int RetryMs { get; init; } = 200;
    /// <summary>The longest time between two tries, in milliseconds.</summary>
    public int MostRetryMs { get; init; } = 3_000;
    /// <summary>The longest time between two tries of what a topic refuses, in milliseconds.</summary>
    public int MostRefusedRetryMs { get; init; } = 30_000;
    /// <summary>How many of a topic's refused records are tried at once: each may be read, and have a megabyte.</summary>
    public int RefusedPerRetry { get; init; } = 16;
    /// <summary>How often deleted topics are looked for, in milliseconds.</summary>
    public long SweepMs { get; init; } = 600_000;
    /// <summary>How many records a turn looks at then.</summary>
    public int RecordsPerSweep { get; init; } = 2_000;
    /// <summary>How long a record that was appended is remembered, in milliseconds.</summary>
    public long RememberedMs { get; init; } = 3_600_000;
    /// <summary>The most records that are remembered; the oldest are forgotten first. Some 150 bytes each.</summary>
    public int MostRemembered { get; init; } = 250_000;
    /// <summary>The most firings of schedules that go on that are remembered beside them. A schedule that is made again under an id does
    /// not repeat them where a clock is behind.</summary>
    public int MostFiringsRemembered { get; init; } = 50_000;
}
