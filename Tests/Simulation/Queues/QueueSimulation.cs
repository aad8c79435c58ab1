using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>One cursor on a replicated log in one thread, from one seed: three replicas, leaders with the shipped cursor, consumers, a
/// dead-letter target, an operator, and faults. The same seed runs the same steps.</summary>
internal sealed partial class QueueSimulation : ISimulation<QueueFigures>
{
    private const long FaultsEndAt = 8_000;
    private const long EndAt = 150_000;

    private readonly Random _random;
    private readonly CursorRules _rules;
    private readonly EventQueue _events = new();
    private readonly List<SimulatedConsumer> _consumers = [];
    private long _number;
    // Every record of this incarnation below it is settled.
    private (Guid Incarnation, long Offset) _finished;
    private int _produced;
    // What was below it when the incarnation began is missing.
    private long _startAtBegin;

    public QueueSimulation(int seed, CursorRules rules)
    {
        _random = new Random(seed);
        _rules = rules;
        _replicas = [.. Enumerable.Range(0, 3).Select(number => new SimulatedReplica(this, number))];
        Scenario = new QueueScenario(seed, _random, NewGuid());
        Checker = new DeliveryChecker(this);
        Leader = new SimulatedLeader(this, _replicas[0], _epoch, 0, rules);
    }

    public QueueScenario Scenario { get; }
    public string Description => Scenario.ToString();
    public Action<string>? Trace { get; init; }
    public QueueFigures Figures { get; } = new() { Seeds = 1 };
    public DeliveryChecker Checker { get; }
    public SimulatedTarget Target { get; } = new();
    /// <summary>The cursor as the transitions below the high watermark say.</summary>
    public ReferenceCursor InForce { get; } = new();
    public SimulatedLeader Leader { get; private set; }
    public long Now { get; private set; }
    public long LogStart { get; private set; }
    public bool Quiet => Now > FaultsEndAt;

    public void Run()
    {
        for (var i = 0; i < Scenario.Consumers; i++)
            _consumers.Add(new SimulatedConsumer(this));
        BeginCursor(Chance(70) ? 0 : CursorState.Latest);
        After(0, Replicate);
        After(Next(50), Produce);
        After(Scenario.FaultEveryMs, Fault);
        After(Scenario.OperateEveryMs, Operate);
        foreach (var consumer in _consumers)
            After(Next(300), () => consumer.Attach());
        After(FaultsEndAt + 1, CalmDown);
        if (Scenario.Removes)
            After(1_000, Recreate);
        if (Scenario.HasTransactions)
            After(FaultsEndAt + 1, EndTransactions);
        while (_events.TryTake(out var step, out var time) && time <= EndAt && !IsDone())
        {
            Now = time;
            step();
            Figures.Steps++;
        }
        CheckEnd();
    }

    private void Produce()
    {
        if (!Leader.AcceptsPublishes)
        {
            After(Scenario.ProduceEveryMs, Produce);
            return;
        }
        if (_produced++ >= Scenario.Records)
            return;
        var hasRecord = !Chance(Scenario.GapPercent);
        var expiresAt = Scenario.Expires && Chance(70) ? Now + Next(50, 3_000) : long.MaxValue;
        long? key = hasRecord && !Chance(10) ? Next(Scenario.Keys) : null;
        var deliverAt = Scenario.Schedules && Chance(30) ? Now + Next(50, 2_000) : 0;
        var head = new RecordHead(0, expiresAt, deliverAt, Scenario.Levels > 0 ? Next(Scenario.Levels) : 0,
            IsFiltered: Scenario.Filters && Chance(40), Bytes: Scenario.Configuration.MaxBytes is null || Chance(10) ? 0 : Next(1, 100));
        Figures.Filtered += hasRecord && head.IsFiltered ? 1 : 0;
        Leader.Replica.Append(new SimulatedEntry(Leader.Epoch, hasRecord, key, head));
        After(Chance(5) ? 300 : Next(1, Scenario.ProduceEveryMs), Produce);
    }

    private void BeginCursor(long floor)
    {
        var incarnation = NewGuid();
        var replaces = InForce.Exists ? InForce.Incarnation : Guid.Empty;
        Attempt();
        // It arrives once more when another reset may have come. The first one of a cursor is not repeated after its removal.
        if (Chance(30) && !Scenario.Removes)
            After(Next(1_000, 4_000), () => Leader.Handle(NewBegin(), null));

        Begin NewBegin() => new(NewNumber(), incarnation, Scenario.Configuration, floor, replaces);

        void Attempt()
        {
            var isOver = false;
            var hasRecords = floor >= LogStart;
            Leader.Handle(NewBegin(), answer =>
            {
                isOver = answer.Outcome is CursorOutcome.Done or CursorOutcome.NoCursor;
                Verdict.Require(answer.Outcome != CursorOutcome.Done || !hasRecords || LogStart <= floor
                    || InForce.Incarnation != incarnation, "7: the log's start passes the floor of a reset on its way.");
                Verdict.Require(answer.Outcome != CursorOutcome.Done || InForce.HasBegun(incarnation),
                    "9: a creation or reset is answered and not in force.");
            });
            After(Next(100, 500), () =>
            {
                if (!isOver && !InForce.HasBegun(incarnation) && !(InForce.Exists && Quiet))
                    Attempt();
            });
        }
    }

    // The group of a cursor that was removed uses it again.
    private void Recreate()
    {
        After(1_500, Recreate);
        if (InForce.WasRemoved && !InForce.Exists)
            BeginCursor(_random.NextInt64(LogStart, Leader.HighWatermark + 1));
    }

    private void Operate()
    {
        if (Quiet)
            return;
        After(Scenario.OperateEveryMs, Operate);
        switch (Next(6))
        {
            case 0 when Scenario.Resets && InForce.Exists && Figures.Resets < 2 && Now < FaultsEndAt - 1_500:
                Figures.Resets++;
                // What comes into force before the reset may let the log's start move.
                if (Chance(50))
                    Leader.Handle(new Restate(Leader.HighWatermark));
                BeginCursor(Chance(20) ? CursorState.Latest : _random.NextInt64(LogStart, Leader.HighWatermark + 1));
                break;
            case 1 when Scenario.Purges:
                Leader.Handle(new Purge(NewNumber(), Next((int)Leader.HighWatermark + 1)), null);
                break;
            case 2:
                Leader.Handle(new Restate(Leader.HighWatermark));
                break;
            case 3 when Scenario.LosesTarget:
                Target.IsGone = true;
                break;
            case 4 when Scenario.Configures && InForce.Exists:
                Leader.Handle(new Configure(NewNumber(), Scenario.OtherConfiguration(_random)), null);
                break;
            case 5 when Scenario.Removes && InForce.Exists && Now < FaultsEndAt - 1_500:
                Leader.Handle(new Remove(NewNumber(), InForce.Incarnation), answer => Verdict.Require(
                    answer.Outcome != CursorOutcome.Done || !InForce.Exists, "9: a removal is answered and not in force."));
                break;
        }
    }

    public void ToConsumer(SimulatedLeader leader, long attachment, LockToken token, IReadOnlyList<DeliveredRecord> records,
        OffsetRange? range)
    {
        // The consumer sees what was sent to it, also after it attached anew: its handlers run on.
        var consumer = _consumers.Find(c => c.Holds(attachment)) ?? _consumers[0];
        Send(() => consumer.Receive(leader, token, records, range), mayDouble: false);
    }

    /// <summary>The log's start follows the current leader.</summary>
    public void OnStartMayMove(SimulatedLeader leader, long offset)
    {
        if (leader != Leader || offset <= LogStart)
            return;
        for (var before = LogStart; before < offset; before++)
        {
            Verdict.Require(InForce.IsSettled(before) || !leader.IsWanted(before),
                $"7: the log's start passes {before}, which is not settled.");
            Verdict.Require(!leader.IsWanted(before) || InForce.Intents.Values.All(i => i.Offset != before),
                $"7: the log's start passes {before}, a dead letter.");
        }
        Verdict.Require(InForce.StatementOffset >= offset, "7: the log's start passes the cursor's newest statement.");
        LogStart = offset;
    }

    private bool IsDone() => Quiet && _produced >= Scenario.Records && InForce.Exists && InForce.Intents.Count == 0 && Unfinished() < 0;

    private long Unfinished()
    {
        if (_committed < Leader.Replica.End)
            return _committed;
        if (_finished.Incarnation != InForce.Incarnation)
            _finished = (InForce.Incarnation, 0);
        for (var offset = Math.Max(_finished.Offset, LogStart); offset < _committed; offset++)
        {
            if (Leader.IsWanted(offset) && !InForce.IsSettled(offset))
                return offset;
            _finished.Offset = offset + 1;
        }
        return -1;
    }

    private void CheckEnd()
    {
        Verdict.Require(IsDone(), $"8: {Unfinished()} waits for ever, and {InForce.Intents.Count} dead letters.");
        // Also what the log has deleted since; it was there when the incarnation began.
        for (var offset = Math.Max(InForce.Floor, _startAtBegin); offset < _committed; offset++)
        {
            if (!Leader.Replica.Log[(int)offset].IsWanted)
                continue;
            var cause = InForce.Settled[offset];
            Verdict.Require(Target.IsGone || Scenario.Configuration.DeadLetterTarget is null
                || cause is SettlementCause.Accepted or SettlementCause.DeadLettered or SettlementCause.Purged,
                $"6: {offset} is dropped as {cause}, and its target is there.");
            Verdict.Require(cause != SettlementCause.Accepted || (Checker.WasDelivered(InForce.Incarnation, offset)
                && Checker.WasAsked(InForce.Incarnation, offset)), $"2: {offset} is accepted, and no consumer said so.");
            Verdict.Require(cause != SettlementCause.DeadLettered || Target.Records.Contains((InForce.Incarnation, offset)),
                $"6: {offset} is neither in the source nor in the target.");
        }
        // One that has not followed since it came back may have another end.
        foreach (var replica in _replicas.Where(r => r.End == _committed && ReferenceEquals(r.Log[^1], Leader.Replica.Log[^1])))
            InForce.RequireSame(replica.Cursors.Cursors.GetValueOrDefault(SimulatedLeader.CursorId), _committed);
        CheckTotals();
        Figures.DeadLetters += Target.Records.Count;
    }

    // Every record that left without being accepted is counted by its cause. An offset without record may be, too: its consumer left before
    // the leader read it.
    private void CheckTotals()
    {
        var state = Leader.Replica.Cursors.Cursors[SimulatedLeader.CursorId];
        foreach (var cause in new[] { SettlementCause.Rejected, SettlementCause.DeliveryLimit, SettlementCause.Expired,
            SettlementCause.LengthLimit })
        {
            var dropped = InForce.Settled.Count(settled => settled.Value == cause && settled.Key >= _startAtBegin
                && Leader.Replica.Log[(int)settled.Key].IsWanted);
            Verdict.Require(state.Total(cause) >= dropped,
                $"2: {dropped} records were dropped as {cause}, {state.Total(cause)} are counted.");
        }
    }

    public void After(long delay, Action step) => _events.Add(Now + delay, step);

    public void Send(Action arrive, bool isSure = false, bool mayDouble = true)
    {
        if (!isSure && !Quiet && Chance(Scenario.DropPercent))
            return;
        After(Next(0, Scenario.MaxDelayMs), arrive);
        if (!isSure && mayDouble && !Quiet && Chance(Scenario.DoublePercent))
            After(Next(0, 5 * Scenario.MaxDelayMs), arrive);
    }

    public bool Chance(int percent) => _random.Next(100) < percent;

    public int Next(int below) => _random.Next(below);

    public int Next(int from, int below) => _random.Next(from, below);

    public long NewNumber() => ++_number;

    private Guid NewGuid()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    public void Tell(FormattableString line) => Trace?.Invoke(FormattableString.Invariant($"{Now,6} {FormattableString.Invariant(line)}"));
}
