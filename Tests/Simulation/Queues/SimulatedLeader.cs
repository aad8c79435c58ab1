using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>A leader of one epoch: the shipped cursor, and a driver that carries out its effects on a replica.</summary>
internal sealed class SimulatedLeader
{
    public const int CursorId = 0;
    private readonly QueueSimulation _simulation;
    private readonly Cursor _cursor;
    private readonly Dictionary<long, (CursorRequest Request, Action<Answer>? Answered)> _requests = [];
    private readonly HashSet<long> _told = [];
    // By consumer, what waits for it to join all of it.
    private readonly Dictionary<long, List<Deliver>> _waiting = [];
    private long _wake;
    private long _tickedAt;
    private int _ticks;

    public SimulatedLeader(QueueSimulation simulation, SimulatedReplica replica, int epoch, long handOutFrom, CursorRules rules)
    {
        (_simulation, Replica, Epoch) = (simulation, replica, epoch);
        var state = replica.Cursors.Cursors.GetValueOrDefault(CursorId)?.Clone();
        _cursor = new Cursor(CursorId, state, new LeaderTerm(epoch, replica.End, handOutFrom), rules)
        {
            MostPartBytes = simulation.Scenario.MostPartBytes,
        };
        replica.Append(new SimulatedEntry(epoch, HasRecord: false));
    }

    public SimulatedReplica Replica { get; }
    public int Epoch { get; }
    public bool IsStopped { get; private set; }
    public long HighWatermark { get; private set; }
    public long LeaseUntil { get; private set; }
    public long StartMayMoveTo { get; private set; } = -1;
    public bool AcceptsPublishes { get; private set; } = true;
    public long ReadableEnd { get; private set; }
    /// <summary>How long it handed records out: the time in which locks end.</summary>
    public long ActiveTime { get; private set; }
    private long _activeFrom;
    private bool _wasActive;

    public bool HasRecord(long offset) => offset >= _simulation.LogStart && Replica.Log[(int)offset].HasRecord;

    /// <summary>Whether it is a record, and the filter matches it.</summary>
    public bool IsWanted(long offset) => offset >= _simulation.LogStart && Replica.Log[(int)offset].IsWanted;

    public long? KeyOf(long offset) => Replica.Log[(int)offset].Key;

    public RecordHead HeadOf(long offset) => Replica.Log[(int)offset].Head with { Offset = offset };

    public long LevelsKnownBelow => _cursor.LevelsKnownBelow;

    public int CreditOf(long attachment) => _cursor.CreditOf(attachment);

    public void Extend(long leaseUntil)
    {
        if (leaseUntil <= LeaseUntil)
            return;
        MoveActiveTime();
        LeaseUntil = leaseUntil;
        Handle(new ExtendLease(leaseUntil));
    }

    public void Advance(long highWatermark)
    {
        if (highWatermark <= HighWatermark)
            return;
        var naturals = new List<OffsetRange>();
        for (var offset = HighWatermark; offset < highWatermark; offset++)
        {
            var isControl = Replica.Log[(int)offset].Transitions is not null;
            if (isControl && !_simulation.Chance(_simulation.Scenario.LateNaturalsPercent))
                naturals.Add(OffsetRange.Of(offset));
        }
        HighWatermark = highWatermark;
        var lag = _simulation.Scenario.HasTransactions && !_simulation.Quiet ? _simulation.Next(0, 8) : 0;
        ReadableEnd = Math.Max(ReadableEnd, highWatermark - lag);
        Handle(new Advance(highWatermark, ReadableEnd, naturals));
    }

    /// <summary>The last transaction ends.</summary>
    public void Settle()
    {
        ReadableEnd = HighWatermark;
        Handle(new Advance(HighWatermark, ReadableEnd, []));
    }

    private void MoveActiveTime()
    {
        if (_wasActive)
            ActiveTime += Math.Max(Math.Min(_simulation.Now, LeaseUntil) - _activeFrom, 0);
        _activeFrom = _simulation.Now;
    }

    /// <summary>Sends a request of a client; the answer may be lost on its way back, not here.</summary>
    public void Handle(CursorRequest request, Action<Answer>? answered)
    {
        _requests[request.RequestId] = (request, answered);
        Handle(request);
    }

    public void Stop()
    {
        Handle(new Resign());
        IsStopped = true;
    }

    /// <summary>The process is killed: nothing is answered.</summary>
    public void Kill() => IsStopped = true;

    public void Handle(CursorCommand command)
    {
        if (IsStopped)
            return;
        if (_simulation.Trace is not null && command is not (Tick or ExtendLease))
            _simulation.Tell($"leader {Epoch} <- {command}");
        MoveActiveTime();
        _simulation.Checker.OnCommand(this, command);
        // What waits for a consumer goes with it.
        if (command is Detach detach)
            _waiting.Remove(detach.Attachment);
        var effects = new List<CursorEffect>();
        // As a broker does that finds more in its inbox.
        var isMore = command is Join || (command is LockRequest or GrantCredit or Widen && _simulation.Chance(50));
        _cursor.Handle(command, _simulation.Now, effects, isMore);
        if (isMore)
            _simulation.After(0, () => Handle(new Tick()));
        _wasActive = _cursor.IsHandingOut;
        if (command is Join)
        {
            if (effects.OfType<Deliver>().SingleOrDefault() is { } joined)
                OnJoined(joined);
            return;
        }
        foreach (var effect in effects)
            CarryOut(effect);
        if (effects.Exists(effect => effect is Deliver))
            _simulation.Checker.OnDeliver(this, [.. effects.OfType<Deliver>()]);
        _simulation.Checker.OnLength(this, _cursor);
    }

    private void CarryOut(CursorEffect effect)
    {
        if (_simulation.Trace is not null)
            _simulation.Tell($"leader {Epoch}: {Describe(effect)}");
        switch (effect)
        {
            case AppendTransitions append:
                var value = CursorControlRecord.Encode(append.Transitions);
                _simulation.Checker.OnWrite(this, append.Transitions);
                _simulation.After(_simulation.Next(0, 8), () => Append(append.Number, value));
                break;
            case Deliver deliver:
                Read(deliver);
                break;
            case Answer answer:
                var (request, answered) = _requests[answer.RequestId];
                _simulation.Checker.OnAnswer(this, request, answer);
                answered?.Invoke(answer);
                break;
            case PublishDeadLetters publish:
                _simulation.After(_simulation.Next(1, _simulation.Scenario.LatencyOfTargetMs), () => Publish(publish));
                break;
            case StartMayMove start:
                StartMayMoveTo = start.Offset;
                _simulation.OnStartMayMove(this, start.Offset);
                break;
            case ReadKeys read:
                _simulation.After(_simulation.Next(0, 5), () => Read(read));
                break;
            case ReadHeads read:
                _simulation.After(_simulation.Next(0, 5), () => Read(read));
                break;
            case FindNaturals find:
                _simulation.After(_simulation.Next(0, 60), () => Find(find));
                break;
            case AcceptPublishes accept:
                AcceptsPublishes = accept.IsAccepted;
                break;
            case WakeAt wake:
                var number = ++_wake;
                if (wake.Time != long.MaxValue)
                {
                    _simulation.After(Math.Max(wake.Time - _simulation.Now, 0), () =>
                    {
                        if (number == _wake)
                            Wake();
                    });
                }
                break;
        }
    }

    private void Wake()
    {
        _ticks = _tickedAt == _simulation.Now ? _ticks + 1 : 0;
        _tickedAt = _simulation.Now;
        Verdict.Require(_ticks < 100, "8: the cursor wants to be woken again and again.");
        Handle(new Tick());
    }

    private static string Describe(CursorEffect effect) => effect switch
    {
        AppendTransitions append => $"append {append.Number}: {string.Join("; ", append.Transitions.Select(Describe))}",
        Deliver deliver => $"deliver to {deliver.Attachment}, lock {deliver.Lock.Number}: {string.Join(", ", deliver.Records)}",
        PublishDeadLetters publish => $"publish {publish.Number}: {string.Join(", ", publish.Intents)}",
        _ => effect.ToString(),
    };

    private static string Describe(CursorTransition transition) => transition is not CursorDelta delta ? transition.ToString()
        : $"settled {string.Join(", ", delta.Settlements.Select(s => $"{s.Cause} {s.Count} in {string.Join(' ', s.Ranges)}"))}"
        + $" returned {string.Join(", ", delta.Returns)} intents {string.Join(", ", delta.Intents.Select(intent => intent.Offset))}"
        + $" finished {string.Join(", ", delta.Finished)} reserved {delta.DeliveredUpTo}";

    private void Append(long number, byte[] value)
    {
        if (IsStopped)
            return;
        if (!_simulation.Quiet && _simulation.Chance(_simulation.Scenario.RefusePercent))
        {
            Handle(new TransitionsRefused(number));
            return;
        }
        Replica.Append(new SimulatedEntry(Epoch, HasRecord: false, Transitions: CursorControlRecord.Decode(value)));
        Handle(new TransitionsAppended(number, Replica.End - 1));
        if (!_simulation.Quiet && _simulation.Chance(_simulation.Scenario.UnansweredPercent))
            _simulation.After(_simulation.Next(1, 100), () => Handle(new TransitionsUnanswered(number)));
    }

    // What has no record settles by nature; the consumer sees the others.
    private void Read(Deliver deliver)
    {
        if (!_simulation.Scenario.IsWindow && _simulation.Chance(20))
        {
            var last = deliver.Records[^1].Offset;
            var widen = new Widen(deliver.Attachment, deliver.Lock, last + 1, last + _simulation.Next(1, 8));
            _simulation.After(_simulation.Next(0, 10), () => Handle(widen));
        }
        var missing = deliver.Records.Where(record => !HasRecord(record.Offset)).Select(record => OffsetRange.Of(record.Offset)).ToList();
        if (missing.Count > 0)
        {
            // Later than the consumer settles what it got, if the log is slow, but before its locks end.
            var time = _simulation.Chance(30) ? _simulation.Next(0, 140) : _simulation.Next(0, 5);
            _simulation.After(time, () =>
            {
                Handle(new Advance(HighWatermark, ReadableEnd, missing));
                // A consumer without window asks again for what it did not get.
                if (!_simulation.Scenario.IsWindow)
                    Handle(new GrantCredit(deliver.Attachment, missing.Count));
            });
        }
        var records = deliver.Records.Where(record => HasRecord(record.Offset)).ToList();
        if (_simulation.Scenario.Joins)
            Wait(deliver with { Records = records });
        else if (_simulation.Scenario.IsBuffered)
            records.ForEach(record => Buffer(deliver, record));
        else if (records.Count > 0)
            _simulation.ToConsumer(this, deliver.Attachment, deliver.Lock, records, Range(deliver));
    }

    private int TimeInBuffer() =>
        _simulation.Quiet || _simulation.Chance(80) ? _simulation.Next(0, 20) : _simulation.Next(100, 900);

    // Until its consumer receives, further deliveries join it.
    private void Wait(Deliver deliver)
    {
        if (deliver.Records.Count == 0)
            return;
        if (_waiting.TryGetValue(deliver.Attachment, out var others))
        {
            others.Add(deliver);
            return;
        }
        List<Deliver> waiting = _waiting[deliver.Attachment] = [deliver];
        _simulation.After(TimeInBuffer(), () =>
        {
            if (_waiting.Remove(deliver.Attachment))
                Handle(new Join(deliver.Attachment, waiting));
        });
    }

    // They are read, and taken after that. The consumer has those whose lock did not end meanwhile.
    private void OnJoined(Deliver joined)
    {
        if (_simulation.Trace is not null)
            _simulation.Tell($"leader {Epoch}: joined: {Describe(joined)}");
        _simulation.Figures.Joined += joined.Records.Count;
        _simulation.Checker.OnJoined(this, joined);
        _simulation.After(_simulation.Chance(80) ? _simulation.Next(0, 5) : TimeInBuffer(), () =>
        {
            var taken = new List<DeliveredRecord>();
            foreach (var record in joined.Records)
            {
                Handle(new Renew(_simulation.NewNumber(), joined.Lock, OffsetRange.Of(record.Offset)), answer =>
                {
                    if (answer.Outcome == CursorOutcome.Done)
                        taken.Add(record);
                    else
                        _simulation.After(0, () => GiveBack(joined.Lock, record.Offset));
                });
            }
            if (taken.Count > 0)
                _simulation.ToConsumer(this, joined.Attachment, joined.Lock, taken, Range(joined with { Records = taken }));
        });
    }

    // It waits for its consumer, some longer than their lock lasts.
    private void Buffer(Deliver deliver, DeliveredRecord record)
    {
        var renew = new Renew(_simulation.NewNumber(), deliver.Lock, OffsetRange.Of(record.Offset));
        _simulation.After(TimeInBuffer(), () => Handle(renew, answer =>
        {
            if (answer.Outcome == CursorOutcome.Done)
            {
                _simulation.ToConsumer(this, deliver.Attachment, deliver.Lock, [record], null);
                return;
            }
            // Without lease it goes back, and without window its consumer asks again.
            _simulation.After(0, () =>
            {
                GiveBack(deliver.Lock, record.Offset);
                if (!_simulation.Scenario.IsWindow)
                    Handle(new GrantCredit(deliver.Attachment, 1));
            });
        }));
    }

    private void GiveBack(LockToken token, long offset) =>
        Handle(new Release(_simulation.NewNumber(), token, OffsetRange.Of(offset), IsFailure: false), null);

    // What the delivery covers, with the offsets that have no record; null where others' records are between them.
    private static OffsetRange? Range(Deliver deliver)
    {
        var range = new OffsetRange(deliver.Records.Min(record => record.Offset), deliver.Records.Max(record => record.Offset));
        return range.Count == deliver.Records.Count ? range : null;
    }

    private void Read(ReadKeys read)
    {
        var (end, records) = Read(read.From, read.Most);
        if (MayAnswer(read.Number))
            Handle(new KeysRead(read.Number, end, [.. records.Select(offset => (offset, KeyOf(offset)))]));
    }

    private void Read(ReadHeads read)
    {
        var (end, records) = Read(read.From, Math.Min(read.Most, _simulation.Next(1, 20)));
        if (MayAnswer(read.Number))
            Handle(new HeadsRead(read.Number, end, [.. records.Select(HeadOf)]));
    }

    private void Find(FindNaturals find)
    {
        var naturals = new List<OffsetRange>();
        var end = Math.Min(find.Range.Last + 1, find.Range.First + _simulation.Next(1, 40));
        for (var offset = find.Range.First; offset < end; offset++)
        {
            if (!HasRecord(offset))
                naturals.Add(OffsetRange.Of(offset));
        }
        var sizes = find.HasSizes ? RecordsOf(find.Range.First, end).Select(offset => new RecordSize(offset, HeadOf(offset).Bytes)) : [];
        if (MayAnswer(find.Number))
            Handle(new NaturalsFound(find.Number, end, naturals) { Sizes = [.. sizes] });
    }

    private IEnumerable<long> RecordsOf(long first, long end)
    {
        for (var offset = first; offset < end; offset++)
        {
            if (HasRecord(offset))
                yield return offset;
        }
    }

    private bool MayAnswer(long number)
    {
        if (_simulation.Quiet || !_simulation.Chance(5))
            return true;
        Handle(new ReadFailed(number));
        return false;
    }

    private (long End, List<long> Records) Read(long from, int most)
    {
        var records = new List<long>();
        var end = from;
        for (; end < ReadableEnd && records.Count < most; end++)
        {
            if (HasRecord(end))
                records.Add(end);
        }
        return (end, records);
    }

    private void Publish(PublishDeadLetters publish)
    {
        var fails = !_simulation.Quiet && _simulation.Chance(_simulation.Scenario.TargetFailsPercent);
        var isGone = _simulation.Target.IsGone;
        if (!isGone && (!fails || _simulation.Chance(50)))
            _simulation.Target.Append(publish.Intents);
        CursorCommand answer = fails ? new DeadLettersFailed(publish.Number)
            : isGone ? new DeadLetterTargetGone(publish.Number) : new DeadLettersPublished(publish.Number);
        _simulation.After(_simulation.Next(1, _simulation.Scenario.LatencyOfTargetMs), () => Handle(answer));
    }
}
