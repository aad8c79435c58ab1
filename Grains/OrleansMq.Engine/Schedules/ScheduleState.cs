using System.Runtime.InteropServices;

namespace OrleansMq.Schedules;

/// <summary>
/// What the schedules' log says: which records are scheduled, which intents are not published, which records were appended lately, and the
/// next sequence of each target. Every replica derives the same state with <see cref="Apply"/>, which reads no clock. A scheduled record
/// goes one way:
/// <code>
/// scheduled -> cancelled                                   removal of its key
/// scheduled -> intended -> appended -> forgotten, or dropped  intent; removal of the intent with new values of its records; removal
/// intended -> scheduled                                    its topic refused it: removal of the intent with its first value
/// </code>
/// Of a record that repeats, the next firing is scheduled in the batch of the intent. It is removed where this one is scheduled again.
/// </summary>
internal sealed class ScheduleState(TimerWheel timers)
{
    private readonly SortedDictionary<long, ScheduleIntent> _none = [];
    private readonly Dictionary<ScheduleTarget, SortedDictionary<long, ScheduleIntent>> _intents = [];
    private readonly Dictionary<ScheduleTarget, long> _next = [];
    private readonly Dictionary<ScheduleHandle, long> _intended = [];
    // The numbers of their firings that intents name.
    private readonly Dictionary<Guid, int> _intendedIds = [];
    private readonly Dictionary<ScheduleHandle, AppendedSchedule> _appended = [];
    private readonly Queue<AppendedSchedule> _appendedInOrder = [];
    private readonly Queue<AppendedSchedule> _firedInOrder = [];
    private readonly RepeatingIds _repeating = new();

    /// <summary>The scheduled records that no intent names.</summary>
    public TimerWheel Timers { get; } = timers;

    /// <summary>The offset behind the last record that was applied.</summary>
    public long AppliedEnd { get; private set; }

    /// <summary>The targets with intents.</summary>
    public IEnumerable<ScheduleTarget> Targets => _intents.Keys;

    /// <summary>The next sequence of each target.</summary>
    public IReadOnlyDictionary<ScheduleTarget, long> Sequences => _next;

    /// <summary>Returns the intents of a target that are not published, in the order of their sequences.</summary>
    public IReadOnlyCollection<ScheduleIntent> IntentsOf(ScheduleTarget target) => _intents.GetValueOrDefault(target, _none).Values;

    /// <summary>Returns the sequence that the next record of a target gets.</summary>
    public long NextSequence(ScheduleTarget target) => _next.GetValueOrDefault(target);

    /// <summary>Whether an intent names a scheduled record: it cannot be cancelled any more.</summary>
    public bool IsIntended(ScheduleHandle handle) => _intended.ContainsKey(handle);

    /// <summary>Whether an intent names a record with this id, at any time.</summary>
    public bool IsIntended(Guid id) => _intendedIds.ContainsKey(id);

    /// <summary>The records that were appended and are not forgotten, in that order, without <see cref="Fired"/>.</summary>
    public IReadOnlyCollection<AppendedSchedule> Appended => _appendedInOrder;

    /// <summary>The firings of schedules that go on that were appended and are not forgotten, in that order.</summary>
    public IReadOnlyCollection<AppendedSchedule> Fired => _firedInOrder;

    /// <summary>Whether a schedule with an id waits for its next firing.</summary>
    public bool IsRepeating(Guid id) => _repeating.Contains(id);

    /// <summary>Returns the number of a topic's schedules that repeat.</summary>
    public int CountRepeating(Guid topicId) => _repeating.CountOf(topicId);

    /// <summary>Whether a record was appended, and is not forgotten.</summary>
    public bool IsAppended(ScheduleHandle handle) => _appended.ContainsKey(handle);

    /// <summary>Returns the content hash of a record that is scheduled, intended or appended. Those beyond the horizon are not
    /// known.</summary>
    public bool TryGetContent(ScheduleHandle handle, out long content)
    {
        if (Timers.TryGet(handle, out var timer))
            content = timer.Content;
        else if (_appended.TryGetValue(handle, out var appended))
            content = appended.Content;
        else
            return _intended.TryGetValue(handle, out content);
        return true;
    }

    /// <summary>Applies a record of the log.</summary>
    /// <exception cref="InvalidDataException">It is none of the schedules, or of a later version.</exception>
    public void Apply(long offset, in ScheduleRecord record)
    {
        var key = record.Key;
        switch (key.Length == 0 ? 0 : key[0])
        {
            case ScheduleRecords.Scheduled when record.Copied is { Timer: var timer, Repeats: var repeats }:
                Schedule(timer with { Handle = ScheduleRecords.ReadHandle(key), Reference = offset }, repeats);
                break;
            case ScheduleRecords.Scheduled:
                Set(ScheduleRecords.ReadHandle(key), record.Value, offset);
                break;
            case ScheduleRecords.Intent when record.Value is { } value:
                Add(ScheduleRecords.ReadIntent(key, value.Span));
                break;
            case ScheduleRecords.Intent:
                Remove(ScheduleRecords.ReadTarget(key), ScheduleRecords.ReadFirstSequence(key));
                break;
            case ScheduleRecords.Sequence when record.Value is { } value:
                _next[ScheduleRecords.ReadTarget(key)] = ScheduleRecords.ReadSequence(value.Span);
                break;
            case ScheduleRecords.Sequence:
                _next.Remove(ScheduleRecords.ReadTarget(key));
                break;
            default:
                throw new InvalidDataException($"The record at offset {offset} is none of the schedules.");
        }
        AppliedEnd = offset + 1;
    }

    /// <summary>Returns what a later state needs beside the log behind <see cref="AppliedEnd"/>.</summary>
    public ScheduleCheckpoint Checkpoint() => new(AppliedEnd, Timers.Checkpoint(),
        [.. _intents.Values.SelectMany(intents => intents.Values)], [.. _next.Select(next => (next.Key, next.Value))],
        [.. _appendedInOrder, .. _firedInOrder], [.. _repeating.All]);

    /// <summary>Restores the state of a checkpoint.</summary>
    public static ScheduleState Restore(ScheduleCheckpoint checkpoint, ITimerBuckets buckets, long bucketMs)
    {
        var state = new ScheduleState(TimerWheel.Restore(checkpoint.Timers, buckets, bucketMs))
        {
            AppliedEnd = checkpoint.AppliedEnd,
        };
        foreach (var intent in checkpoint.Intents)
            state.Add(intent);
        foreach (var (target, next) in checkpoint.Sequences)
            state._next[target] = next;
        foreach (var appended in checkpoint.Appended)
            state.Add(appended);
        foreach (var (id, topicId) in checkpoint.Repeating)
            state._repeating.Add(id, topicId);
        return state;
    }

    private void Set(ScheduleHandle handle, ReadOnlyMemory<byte>? value, long offset)
    {
        if (value is not { } some)
        {
            Cancel(handle);
            _appended.Remove(handle);
        }
        else if (ScheduleRecords.ReadAppendedAt(some.Span) is { } at)
        {
            Cancel(handle);
            Add(new AppendedSchedule(handle, ScheduleRecords.ReadContent(some.Span), at, ScheduleRecords.IsFiring(some.Span)));
        }
        else
        {
            Schedule(new ScheduledTimer(handle, offset, ScheduleRecords.ReadContent(some.Span), ScheduleRecords.ReadTopicId(some.Span)),
                ScheduleRecords.IsRepeating(some.Span));
        }
        ForgetReplaced();
    }

    private void Schedule(in ScheduledTimer timer, bool repeats)
    {
        Timers.Schedule(timer);
        if (repeats)
            _repeating.Add(timer.Handle.Id, timer.TopicId);
        if (_appended.Remove(timer.Handle))
            ForgetReplaced();
    }

    // A schedule that repeats has one timer. The next firing follows the intent in its batch, and makes it one again.
    private void Cancel(ScheduleHandle handle)
    {
        Timers.Cancel(handle);
        if (_repeating.Contains(handle.Id) && !Timers.TryFind(handle.Id, out _))
            _repeating.Remove(handle.Id);
    }

    private void ForgetReplaced()
    {
        ForgetReplaced(_appendedInOrder);
        ForgetReplaced(_firedInOrder);
    }

    private void ForgetReplaced(Queue<AppendedSchedule> inOrder)
    {
        while (inOrder.TryPeek(out var first) && !(_appended.TryGetValue(first.Handle, out var known) && known == first))
            inOrder.Dequeue();
    }

    private void Add(AppendedSchedule appended)
    {
        _appended[appended.Handle] = appended;
        (appended.IsFiring ? _firedInOrder : _appendedInOrder).Enqueue(appended);
    }

    private void Add(ScheduleIntent intent)
    {
        foreach (var timer in intent.Timers)
        {
            Cancel(timer.Handle);
            if (!_intended.ContainsKey(timer.Handle))
                _intendedIds[timer.Handle.Id] = _intendedIds.GetValueOrDefault(timer.Handle.Id) + 1;
            _intended[timer.Handle] = timer.Content;
        }
        if (!_intents.TryGetValue(intent.Target, out var intents))
            _intents.Add(intent.Target, intents = []);
        intents[intent.FirstSequence] = intent;
    }

    private void Remove(ScheduleTarget target, long firstSequence)
    {
        if (!_intents.TryGetValue(target, out var intents) || !intents.Remove(firstSequence, out var intent))
            return;
        foreach (var timer in intent.Timers)
        {
            if (_intended.Remove(timer.Handle) && --CollectionsMarshal.GetValueRefOrNullRef(_intendedIds, timer.Handle.Id) == 0)
                _intendedIds.Remove(timer.Handle.Id);
        }
        if (intents.Count == 0)
            _intents.Remove(target);
    }
}

/// <summary>What restores a state, with the log behind it.</summary>
/// <param name="AppliedEnd">Where that log begins.</param>
/// <param name="Timers">The timers.</param>
/// <param name="Intents">The intents that are not published.</param>
/// <param name="Sequences">The next sequence of each target.</param>
/// <param name="Appended">What was appended lately.</param>
/// <param name="Repeating">The schedules that repeat, each with its topic.</param>
internal sealed record ScheduleCheckpoint(long AppliedEnd, TimerCheckpoint Timers, IReadOnlyList<ScheduleIntent> Intents,
    IReadOnlyList<(ScheduleTarget Target, long Next)> Sequences, IReadOnlyList<AppendedSchedule> Appended,
    IReadOnlyList<(Guid Id, Guid TopicId)> Repeating);
