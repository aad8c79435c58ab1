using System.Buffers.Binary;
using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>One partition of scheduled records, from one seed: leaders that die, live on or restart from a checkpoint, a log whose tail may
/// be cut, targets that are away, answer too late, refuse records or are deleted, clients that schedule, repeat and cancel. The same seed
/// runs the same steps.</summary>
internal sealed class ScheduleSimulation : ISimulation<ScheduleFigures>
{
    /// <summary>How far a leader's clock may be ahead or behind, unless it is set.</summary>
    public const long SkewMs = 200;

    private const long FarAheadMs = 86_400_000;

    private const long FaultsEndAt = 15_000;
    private const long LastDue = 60_000;
    private const long EndAt = 3_600_000;
    private const long BucketMs = 4_000;
    private const int PeriodByte = ScheduleRecords.TopicIdByte + 16;

    private readonly Random _random;
    private readonly ScheduleRules _rules;
    private readonly EventQueue _events = new();
    private readonly ScheduleChecker _checker;
    private readonly RepetitionChecker _repetitions;
    // What each request schedules that is not answered, and by which leader.
    private readonly Dictionary<Guid, (SimulatedScheduleLeader Leader, ScheduleHandle First)> _creating = [];
    // Intents of which a target refused a record.
    private readonly HashSet<(long Origin, long FirstSequence)> _refused = [];
    private readonly SimulatedScheduleDisk[] _disks;
    private readonly SimulatedScheduleTarget[] _targets;
    private readonly ScheduleOptions _options;
    private readonly long _faultEveryMs;
    private readonly SimulatedScheduleLeader?[] _last = new SimulatedScheduleLeader?[2];
    private SimulatedScheduleLeader? _leader;
    private int _broker;

    public ScheduleSimulation(int seed, ScheduleRules rules)
    {
        (_random, _rules) = (new Random(seed), rules);
        _checker = new ScheduleChecker(this);
        _repetitions = new RepetitionChecker(this);
        _disks = [new SimulatedScheduleDisk(_random), new SimulatedScheduleDisk(_random)];
        _targets = [.. Enumerable.Range(0, 3).Select(i => new SimulatedScheduleTarget(new ScheduleTarget(NewGuid(), i)))];
        _options = new ScheduleOptions
        {
            RecordsPerIntent = _random.Next(1, 6),
            IntentsPerTarget = _random.Next(1, 4),
            RecordsPerBatch = _random.Next(1, 20),
            RememberedMs = 8_000,
            // A sweep wakes the service, as a due time must.
            SweepMs = _random.Next(2) == 0 ? long.MaxValue / 2 : _random.Next(500, 10_000),
            RecordsPerSweep = _random.Next(1, 20),
        };
        _faultEveryMs = _random.Next(100, 3_000);
    }

    public string Description => $"a fault every {_faultEveryMs} ms, {_options}";
    public Action<string>? Trace { get; init; }
    public ScheduleFigures Figures { get; } = new() { Seeds = 1 };
    public SimulatedScheduleLog Log { get; } = new();
    public long Now { get; private set; } = 1_000;
    public int Epoch { get; private set; }

    /// <summary>How far the clocks are set forward.</summary>
    public long AheadMs { get; private set; }

    /// <summary>When a leader last believed a clock that was set forward.</summary>
    public long BelievedAheadAt { get; set; } = long.MinValue / 2;

    private bool IsCalm => Now > FaultsEndAt;

    public void Run()
    {
        BeginLeader();
        After(10, Schedule);
        After(20, Repeat);
        After(50, Cancel);
        After(60, CancelRepetition);
        After(_faultEveryMs, Fault);
        After(FaultsEndAt, () =>
        {
            AheadMs = 0;
            Array.ForEach(_targets, target => target.IsAway = target.IsDamaged = target.IsStrict = false);
        });
        while (_events.TryTake(out var step, out var time) && time <= EndAt)
        {
            Now = time;
            Figures.Steps++;
            step();
        }
        CheckEnd();
    }

    public void After(long delay, Action step) => _events.Add(Now + delay, step);

    public long Delay() => _random.Next(100) < 95 ? _random.Next(1, 20) : _random.Next(20, 800);

    public bool MayFail(int percent) => !IsCalm && _random.Next(100) < percent;

    /// <summary>Returns the target that a payload names, and when it fires again.</summary>
    public FoundTarget TargetOf(ScheduledTimer timer, long now)
    {
        if (Log.ValueAt(timer) is not { } value)
            return default;
        var target = _targets[value.Span[^1]];
        var period = BinaryPrimitives.ReadInt32BigEndian(value.Span[PeriodByte..]);
        var next = period == 0 ? null : NextOf(period, Math.Max(timer.Handle.Due, now));
        if (IsKnownToRefuse())
            return new FoundTarget(target.Id.TopicId, null) { IsUnknown = true, IsRefused = true };
        if (period > 0)
            _repetitions.Found(timer.Handle, next);
        return new FoundTarget(target.Id.TopicId, target.IsGone || target.IsDamaged ? null : target.Id, value.Length)
        {
            IsUnknown = target.IsDamaged,
            NextDue = next,
        };

        // What a leader knows of the configuration may be behind.
        bool IsKnownToRefuse() => !target.IsGone && !target.IsDamaged && target.Refuses(timer.Handle) && _random.Next(2) == 0;
    }

    /// <summary>Returns those topics that a list does not have: it may be behind.</summary>
    public HashSet<Guid> MissingOf(IEnumerable<Guid> topics) => [.. topics.Where(topic => IsGone(topic) || MayFail(20))];

    public bool IsGone(Guid topic)
    {
        var target = _targets.First(target => target.Id.TopicId == topic);
        Figures.Swept += target.IsGone ? 1 : 0;
        return target.IsGone;
    }

    /// <summary>Records are taken as due: none is early, unless a clock that is ahead is believed.</summary>
    public void CheckDue(IReadOnlyList<ScheduledTimer> timers)
    {
        foreach (var timer in timers)
            Verdict.Require(AheadMs > 0 || timer.Handle.Due <= Now + SkewMs, $"3: {timer.Handle} is taken as due at {Now}.");
    }

    public (PublishOutcome Outcome, RefusedRecord? Refused) Publish(ScheduleIntent intent, int epoch)
    {
        var target = _targets[intent.Target.Partition];
        if (target.IsGone)
            return (PublishOutcome.TargetGone, null);
        if (target.IsAway)
            return (PublishOutcome.Unknown, null);
        if (intent.Timers.Any(timer => Log.ValueAt(timer) is null))
        {
            // A leader that was replaced may know intents that are over.
            Verdict.Require(epoch != Epoch, $"6: a payload of the intent at {intent.FirstSequence} is gone.");
            return (PublishOutcome.Unknown, null);
        }
        // The one case of a record that may be there twice: a leader that was replaced sends an intent whose record was refused.
        if (epoch != Epoch && _refused.Contains((intent.Origin, intent.FirstSequence)))
            return (PublishOutcome.Unknown, null);
        // An attempt may end in the middle.
        var most = MayFail(10) ? _random.Next(intent.Timers.Count) : intent.Timers.Count;
        RefusedRecord? refused = null;
        var duplicates = target.Append(intent, most, timer => Delivered(timer.Handle, target), i =>
        {
            var value = Log.ValueAt(intent.Timers[i])!.Value;
            var period = BinaryPrimitives.ReadInt32BigEndian(value.Span[PeriodByte..]);
            var isLast = period > 0 && NextOf(period, Math.Max(intent.Timers[i].Handle.Due, Now + AheadMs)) is null;
            refused = new RefusedRecord(i, value.Length, period > 0, isLast);
            if (period > 0)
                _repetitions.Refused(intent.Timers[i].Handle, isLast);
            _refused.Add((intent.Origin, intent.FirstSequence));
            Figures.Refused++;
        });
        Figures.Duplicates += duplicates == intent.Timers.Count ? 1 : 0;
        Figures.Parts += duplicates > 0 && duplicates < most ? 1 : 0;
        return refused is null && most < intent.Timers.Count ? (PublishOutcome.Unknown, null) : (PublishOutcome.Published, refused);
    }

    public void LeaderEnded(SimulatedScheduleLeader leader)
    {
        if (leader == _leader)
            FailOver(isZombie: true);
    }

    private void Schedule()
    {
        if (IsCalm)
            return;
        var target = _targets[_random.Next(_targets.Length)];
        var due = _random.Next(10) switch
        {
            0 => Now - _random.Next(500),
            < 7 => Now + _random.Next(3_000),
            _ => Math.Min(Now + _random.Next(3_000, 40_000), LastDue),
        };
        var handle = new ScheduleHandle(due, NewGuid());
        _checker.Try(handle, target);
        Send(handle, target, 0, Now);
        After(_random.Next(5, 80), Schedule);
    }

    private void Send(ScheduleHandle handle, SimulatedScheduleTarget target, int tries, long since)
    {
        _leader?.Request(id => new ScheduleRequest(id, handle, ValueOf(target.Id)),
            outcome => _checker.Answered(handle, outcome, isKnown: false));
        // A record that was delivered is remembered for a while, by the clock of the leader: a repetition must come in that time.
        After(1_000, () =>
        {
            if (!_checker.IsAnswered(handle) && tries < 5 && BelievedAheadAt < since)
                Send(handle, target, tries + 1, since);
        });
    }

    private void Delivered(ScheduleHandle handle, SimulatedScheduleTarget target)
    {
        if (_repetitions.Has(handle.Id))
            _repetitions.Delivered(handle, target);
        else
            _checker.Delivered(handle, target);
    }

    private void Repeat()
    {
        if (IsCalm)
            return;
        SendRepetition(NewGuid(), _targets[_random.Next(_targets.Length)], _random.Next(300, 3_000), 0);
        After(_random.Next(200, 3_000), Repeat);
    }

    // As the shell does it: a schedule that waits, or is being stored, is found by its id; a first firing is one that was not delivered.
    private void SendRepetition(Guid id, SimulatedScheduleTarget target, int period, int tries)
    {
        if (_leader is { } leader && (Find(leader, id) ?? First(leader, id, period)) is { } handle)
        {
            _repetitions.Try(handle, target);
            _creating[id] = (leader, handle);
            leader.Request(number => new ScheduleRequest(number, handle, ValueOf(target.Id, period)), outcome =>
            {
                // A former leader that ends answers, too.
                if (_creating.TryGetValue(id, out var creating) && creating.Leader == leader)
                    _creating.Remove(id);
                _repetitions.Created(id, outcome);
            });
        }
        After(1_000, () =>
        {
            if (!(_repetitions.Has(id) && _repetitions.IsAnswered(id)) && tries < 5)
                SendRepetition(id, target, period, tries + 1);
        });
    }

    private ScheduleHandle? First(SimulatedScheduleLeader leader, Guid id, int period)
    {
        var state = leader.Service.State;
        for (var due = NextOf(period, Now - 1); due is { } some; due = NextOf(period, some))
        {
            var first = new ScheduleHandle(some, id);
            if (!state.IsAppended(first) && !state.IsIntended(first))
                return first;
        }
        return null;
    }

    private ScheduleHandle? Find(SimulatedScheduleLeader leader, Guid id)
    {
        foreach (var timer in leader.Service.State.Timers.All())
        {
            if (timer.Handle.Id == id)
                return timer.Handle;
        }
        return _creating.TryGetValue(id, out var creating) && creating.Leader == leader ? creating.First : null;
    }

    private void CancelRepetition()
    {
        if (IsCalm)
            return;
        After(_random.Next(50, 1_500), CancelRepetition);
        if (_repetitions.Ids.Count == 0 || _leader is not { } leader)
            return;
        var id = _repetitions.Ids[_random.Next(_repetitions.Ids.Count)];
        if (!_repetitions.IsAnswered(id))
            return;
        var isFirst = _repetitions.TryCancel(id);
        if (Find(leader, id) is { } handle)
            leader.Request(number => new CancelRequest(number, handle),
                outcome => _repetitions.CancelAnswered(id, handle, outcome, isFirst));
        else
            _repetitions.CancelAnswered(id, null, ScheduleOutcome.NotFound, isFirst);
    }

    // Firings are the multiples of the period; there is a last one.
    private static long? NextOf(int period, long after) => (after / period + 1) * period is var next && next <= LastDue ? next : null;

    private static byte[] ValueOf(ScheduleTarget target, int period = 0)
    {
        var value = new byte[PeriodByte + sizeof(int) + 1];
        BinaryPrimitives.WriteInt32BigEndian(value.AsSpan(PeriodByte), period);
        target.TopicId.TryWriteBytes(value.AsSpan(ScheduleRecords.TopicIdByte), bigEndian: true, out _);
        value[^1] = (byte)target.Partition;
        return value;
    }

    private void Cancel()
    {
        if (IsCalm)
            return;
        After(_random.Next(10, 300), Cancel);
        if (_checker.Handles.Count == 0)
            return;
        var recent = Math.Min(_checker.Handles.Count, 40);
        var handle = _checker.Handles[^(_random.Next(recent) + 1)];
        // Only what is known to be scheduled: a repeated request could schedule it again.
        if (!_checker.IsAnswered(handle))
            return;
        var isFirst = _checker.TryCancel(handle);
        _leader?.Request(id => new CancelRequest(id, handle), outcome => _checker.Answered(handle, outcome, isKnown: isFirst));
    }

    private void Fault()
    {
        if (IsCalm)
            return;
        After(_random.Next((int)_faultEveryMs * 2), Fault);
        switch (_random.Next(10))
        {
            case 0 or 1:
                FailOver(isZombie: false);
                break;
            case 2:
                FailOver(isZombie: true);
                break;
            case 3:
                var target = _targets[_random.Next(_targets.Length)];
                target.IsAway = true;
                After(_random.Next(3_000), () => target.IsAway = false);
                break;
            case 4 or 5:
                Checkpoint();
                break;
            case 6:
                Compact();
                break;
            case 7:
                var damaged = _targets[_random.Next(_targets.Length)];
                damaged.IsDamaged = true;
                After(_random.Next(3_000), () => damaged.IsDamaged = false);
                break;
            case 8:
                AheadMs = FarAheadMs;
                Figures.ClocksSet++;
                After(_random.Next(4) == 0 ? ScheduleClock.HoldMs + 500 : _random.Next(3_000), () => AheadMs = 0);
                break;
            case 9 when _random.Next(10) < 7:
                var strict = _targets[_random.Next(_targets.Length)];
                strict.IsStrict = true;
                After(_random.Next(3_000), () => strict.IsStrict = false);
                break;
            case 9 when _random.Next(3) == 0:
                _targets[2].IsGone = true;
                break;
        }
    }

    private void Checkpoint()
    {
        if (_leader is not { HasEnded: false } leader)
            return;
        _disks[_broker].Checkpoint = leader.Service.State.Checkpoint();
        // A crash in between leaves buckets that the checkpoint does not need.
        if (_random.Next(3) != 0)
            leader.Service.State.Timers.CheckpointStored();
    }

    private void Compact()
    {
        Figures.Compactions++;
        Log.Compact(_disks.Min(disk => disk.Checkpoint?.AppliedEnd ?? 0));
    }

    private void FailOver(bool isZombie)
    {
        if (_leader is null)
            return;
        Figures.Failovers++;
        Figures.Zombies += isZombie ? 1 : 0;
        _leader.IsDead = !isZombie;
        _leader = null;
        Epoch++;
        Figures.Cut += Log.FailOver(_random);
        After(_random.Next(1, 500), BeginLeader);
    }

    private void BeginLeader()
    {
        _broker = _random.Next(_disks.Length);
        // A broker has one leader: an older one there has ended.
        if (_last[_broker] is { } older)
            older.IsDead = true;
        var disk = _disks[_broker];
        var skew = _random.Next(-(int)SkewMs, (int)SkewMs + 1);
        disk.Crash();
        ScheduleState state;
        if (disk.Checkpoint is { } checkpoint)
        {
            Figures.Restored++;
            state = ScheduleState.Restore(checkpoint, disk, BucketMs);
        }
        else
        {
            state = new ScheduleState(new TimerWheel(disk, BucketMs, Now + skew));
        }
        Replay(state);
        ScheduleChecker.CheckSame(state, FromLog());
        Trace?.Invoke($"{Now} leader {Epoch} on broker {_broker} at {Log.HighWatermark}");
        _leader = new SimulatedScheduleLeader(this, Epoch, skew, new ScheduleService(state, _options, _rules, Epoch));
        _last[_broker] = _leader;
        _leader.Begin();
    }

    private ScheduleState FromLog()
    {
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), BucketMs, Now));
        Replay(state);
        return state;
    }

    private void Replay(ScheduleState state)
    {
        foreach (var (offset, record) in Log.From(state.AppliedEnd))
            state.Apply(offset, record);
    }

    private void CheckEnd()
    {
        _checker.CheckEnd();
        _repetitions.CheckEnd();
        var state = FromLog();
        Verdict.Require(!state.Timers.All().Any() && !state.Targets.Any(), $"7: timers or intents are left at the end.");
        ScheduleChecker.CheckSame(_leader!.Service.State, state);
    }

    private Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
