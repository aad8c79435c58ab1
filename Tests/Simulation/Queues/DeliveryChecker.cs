using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Judges what leaders hand out and answer, by what is in force and by what was answered before.</summary>
internal sealed partial class DeliveryChecker(QueueSimulation simulation)
{
    private sealed class Lock(LockToken token, long attachment, long deadline, DeliveryCounts counts)
    {
        public LockToken Token { get; set; } = token;
        public long Attachment { get; } = attachment;
        public long Deadline { get; set; } = deadline;
        public DeliveryCounts Counts { get; } = counts;
        public bool HasEnded { get; set; }
        // Its consumer has not taken the record.
        public bool IsWaiting { get; set; }
        // Its consumer gave the record back, and said that the delivery does not count.
        public bool IsUncounted { get; set; }
        // That is in force.
        public bool IsReturnedUncounted { get; set; }
    }

    private readonly Dictionary<(Guid Incarnation, int Epoch, long Offset), Lock> _locks = [];
    private readonly HashSet<(Guid Incarnation, long Offset)> _settled = [];
    private readonly Dictionary<(Guid Incarnation, long Offset), DeliveryCounts> _returned = [];
    private readonly HashSet<(Guid Incarnation, long Offset)> _delivered = [];
    private readonly HashSet<(Guid Incarnation, long Offset)> _rejected = [];
    // Of one leader: available again, and not handed out since.
    private readonly HashSet<(int Epoch, Guid Incarnation, long Offset)> _available = [];
    private readonly Dictionary<(int Epoch, Guid Incarnation), long> _lastFresh = [];
    private readonly HashSet<long> _stale = [];
    private readonly HashSet<long> _live = [];
    private readonly HashSet<(Guid Incarnation, long Offset)> _asked = [];

    private readonly Dictionary<int, long> _purgedBelow = [];

    private ReferenceCursor InForce => simulation.InForce;

    public bool WasDelivered(Guid incarnation, long offset) => _delivered.Contains((incarnation, offset));

    public IEnumerable<(Guid Incarnation, long Offset)> Rejected => _rejected;

    /// <summary>A command reaches a leader.</summary>
    public void OnCommand(SimulatedLeader leader, CursorCommand command)
    {
        switch (command)
        {
            case LockRequest request:
                var locks = LocksOf(leader, request).ToList();
                if (locks.Count == 0 || locks.Any(held => held.HasEnded))
                {
                    // What has no record is settled by nature, whoever held it.
                    if (HasAny(leader, request.Records))
                        _stale.Add(request.RequestId);
                }
                else if (leader == simulation.Leader && locks.All(held => held.Deadline > leader.ActiveTime))
                    _live.Add(request.RequestId);
                if (request is Settle)
                    AddAsked(request);
                if (request is not Renew && locks.All(held => !held.HasEnded))
                    locks.ForEach(held => (held.HasEnded, held.IsUncounted) = (true, request is Release { IsUncounted: true }));
                break;
            case Yield yield when _consumers.TryGetValue(yield.Attachment, out var consumer):
                consumer.HasYielded = true;
                break;
            case Detach detach:
                _consumers.Remove(detach.Attachment);
                foreach (var ((_, epoch, _), held) in _locks)
                {
                    if (epoch == leader.Epoch && held.Attachment == detach.Attachment)
                        held.HasEnded = true;
                }
                break;
            case Purge purge:
                _available.Clear();
                _purgedBelow[leader.Epoch] = Math.Max(_purgedBelow.GetValueOrDefault(leader.Epoch), purge.Below);
                break;
            case Attach attach:
                _consumers[attach.Attachment] = new AttachedConsumer(leader.Epoch, attach.Priority);
                break;
            case GrantCredit grant when _consumers.TryGetValue(grant.Attachment, out var consumer):
                consumer.Granted += grant.Credit;
                break;
            case Widen widen when _consumers.TryGetValue(widen.Attachment, out var consumer):
                consumer.Granted += (int)(widen.Through - widen.From + 1);
                break;
        }
    }

    /// <summary>Whether a consumer asked to settle the record.</summary>
    public bool WasAsked(Guid incarnation, long offset) => _asked.Contains((incarnation, offset));

    private void AddDelivered(LockRequest request)
    {
        for (var offset = request.Records.First; offset <= request.Records.Last; offset++)
            _delivered.Add((request.Lock.Incarnation, offset));
    }

    private void AddAsked(LockRequest request)
    {
        for (var offset = request.Records.First; offset <= request.Records.Last; offset++)
            _asked.Add((request.Lock.Incarnation, offset));
    }

    private IEnumerable<Lock> LocksOf(SimulatedLeader leader, LockRequest request) =>
        HeldBy(leader, request).Select(static pair => pair.Held);

    private IEnumerable<(long Offset, Lock Held)> HeldBy(SimulatedLeader leader, LockRequest request)
    {
        for (var offset = request.Records.First; offset <= request.Records.Last; offset++)
        {
            if (_locks.TryGetValue((request.Lock.Incarnation, leader.Epoch, offset), out var held) && held.Token == request.Lock)
                yield return (offset, held);
        }
    }

    /// <summary>A leader hands records out, at one time. Each consumer has its own in order; among consumers there is no order.</summary>
    public void OnDeliver(SimulatedLeader leader, IReadOnlyList<Deliver> deliveries)
    {
        var records = deliveries.SelectMany(deliver => deliver.Records.Select(record => (deliver, record))).ToList();
        foreach (var (deliver, record) in records)
            OnDeliver(leader, deliver.Lock.Incarnation, record.Offset);
        foreach (var (deliver, record) in records.Where(r => leader.HasRecord(r.record.Offset)).OrderBy(r => r.record.Offset))
        {
            OnDeliver(leader, deliver, record);
            simulation.Figures.Deliveries++;
        }
        CheckPriorities(leader, deliveries);
        CheckConsumers(leader, deliveries);
        Verdict.Require(simulation.Scenario.Configuration.IsOrderedByKey || simulation.Scenario.IsByLevel
            || deliveries.All(d => d.Records.Zip(d.Records.Skip(1)).All(pair => pair.First.Offset < pair.Second.Offset)),
            "5: a delivery is not in order.");
    }

    // Also of an offset without record: it would hold its consumer's credit for ever.
    private void OnDeliver(SimulatedLeader leader, Guid incarnation, long offset)
    {
        if (offset >= leader.HighWatermark)
            throw new Verdict($"1: {offset} is handed out above the high watermark.");
        if (offset >= leader.ReadableEnd)
            throw new Verdict($"1: {offset} is handed out above the readable end.");
        if (leader != simulation.Leader || InForce.Incarnation != incarnation)
            return;
        if (InForce.IsSettled(offset))
            throw new Verdict($"1: {offset} is handed out and settled.");
        if (InForce.IsIntended(offset))
            throw new Verdict($"6: {offset} is handed out while it is dead-lettered.");
    }

    private void OnDeliver(SimulatedLeader leader, Deliver deliver, DeliveredRecord record)
    {
        var (offset, incarnation) = (record.Offset, deliver.Lock.Incarnation);
        Verdict.Require(!_settled.Contains((incarnation, offset)), $"1: {offset} is handed out after its settlement was answered.");
        if (leader == simulation.Leader && InForce.Incarnation == incarnation)
        {
            CheckKey(leader, deliver, offset);
            Verdict.Require(InForce.Returns.GetValueOrDefault(offset).AvailableAt <= simulation.Now,
                $"5: {offset} is handed out before its time.");
        }
        Verdict.Require(!simulation.Scenario.Expires || leader.HeadOf(offset).ExpiresAt > simulation.Now,
            $"2: {offset} has expired and is handed out.");
        Verdict.Require(!leader.HeadOf(offset).IsFiltered, $"2: the filter does not match {offset}, and it is handed out.");
        Verdict.Require(leader.HeadOf(offset).DeliverAt <= simulation.Now, $"5: {offset} is handed out before its schedule.");
        CheckLock(leader, deliver, record);
        CheckCounts(leader, deliver, record);
        CheckOrder(leader, incarnation, offset);
        if (_delivered.Contains((incarnation, offset)))
        {
            simulation.Figures.Redeliveries++;
            Verdict.Require(record.IsRedelivered, $"4: {offset} is handed out again and not told as redelivered.");
        }
        else if (!simulation.Scenario.IsBuffered)
            _delivered.Add((incarnation, offset));
    }

    private void CheckLock(SimulatedLeader leader, Deliver deliver, DeliveredRecord record)
    {
        var key = (deliver.Lock.Incarnation, leader.Epoch, record.Offset);
        if (_locks.TryGetValue(key, out var before))
        {
            Verdict.Require(before.HasEnded || before.Deadline <= leader.ActiveTime, $"3: {record.Offset} has two holders.");
            var isFailure = !before.HasEnded;
            if (before.IsWaiting)
                Verdict.Require(isFailure ? record.Counts == before.Counts : record.Counts.Deliveries >= before.Counts.Deliveries
                    && record.Counts.Failures >= before.Counts.Failures, $"4: {record.Offset} waited for its consumer, and that counts.");
            else
                Verdict.Require(record.Counts.Deliveries > before.Counts.Deliveries - (before.IsUncounted ? 1 : 0)
                    && record.Counts.Failures >= before.Counts.Failures + (isFailure ? 1 : 0),
                    $"4: a return of {record.Offset} does not count.");
            Verdict.Require(!before.IsReturnedUncounted || (record.Counts.Deliveries == Math.Max(2, before.Counts.Deliveries)
                && record.Counts.Failures == before.Counts.Failures), $"4: a return of {record.Offset} counts that is not to count.");
        }
        var held = _locks[key] = new Lock(deliver.Lock, deliver.Attachment, LockEnd(leader), record.Counts)
        {
            IsWaiting = simulation.Scenario.IsBuffered,
        };
        if (!held.IsWaiting)
            CheckNumber(leader, deliver.Lock, record.Offset);
        Verdict.Require(!simulation.Scenario.IsWindow || !_taken.Contains(deliver.Lock),
            $"3: {record.Offset} is handed out under a lock whose records its consumer has.");
        CheckRoom(leader, deliver.Lock.Incarnation, record.Offset);
        if (_consumers.TryGetValue(deliver.Attachment, out var consumer))
            CheckCredit(leader, consumer, held);
    }

    private void CheckCounts(SimulatedLeader leader, Deliver deliver, DeliveredRecord record)
    {
        var incarnation = deliver.Lock.Incarnation;
        var least = _returned.GetValueOrDefault((incarnation, record.Offset));
        Verdict.Require(record.Counts.Deliveries > least.Deliveries && record.Counts.Failures >= least.Failures,
            $"4: the counts of {record.Offset} are below those of its answered returns.");
        if (leader != simulation.Leader || InForce.Incarnation != incarnation
            || InForce.Configuration is not { MaxDeliveries: > 0 } configuration)
            return;
        var limit = configuration.MaxDeliveries;
        var isDeliveries = configuration.LimitedCount == LimitedCount.Deliveries;
        Verdict.Require(isDeliveries ? record.Counts.Deliveries <= limit : record.Counts.Failures < limit,
            $"4: {record.Offset} is handed out above its limit.");
        Verdict.Require(!isDeliveries || simulation.Scenario.IsWindow || limit == 1 || record.Counts.Deliveries < limit
            || deliver.Records.Count == 1, $"4: {record.Offset} is handed out for the last time, and not alone.");
    }

    private void CheckOrder(SimulatedLeader leader, Guid incarnation, long offset)
    {
        if (_available.Remove((leader.Epoch, incarnation, offset)) || simulation.Scenario.IsByLevel
            || simulation.Scenario.Configuration.IsOrderedByKey || leader != simulation.Leader || InForce.Returns.ContainsKey(offset))
            return;
        // One that is dropped, expires or is above a lowered limit may be among the returned ones.
        Verdict.Require(simulation.Scenario.IsLimited || simulation.Scenario.Expires || simulation.Scenario.Configures
            || !_available.Any(a => a.Epoch == leader.Epoch && a.Incarnation == incarnation && a.Offset < offset),
            $"5: {offset} is handed out before a returned record.");
        Verdict.Require(_lastFresh.GetValueOrDefault((leader.Epoch, incarnation), -1) < offset, $"5: {offset} is handed out too late.");
        _lastFresh[(leader.Epoch, incarnation)] = offset;
    }

    private void CheckKey(SimulatedLeader leader, Deliver deliver, long offset)
    {
        if (!simulation.Scenario.Configuration.IsOrderedByKey || leader.KeyOf(offset) is not { } key)
            return;
        for (var before = Math.Max(InForce.Floor, simulation.LogStart); before < offset; before++)
        {
            // A schedule holds no key back. The records of a run come in order, under one lock.
            if (!IsHeldBy(leader, deliver, before) && leader.KeyOf(before) == key && leader.IsWanted(before) && !InForce.IsFinished(before)
                && leader.HeadOf(before).DeliverAt == 0)
                throw new Verdict($"5: {offset} is handed out before {before} of the same key is settled.");
        }
    }

    private bool IsHeldBy(SimulatedLeader leader, Deliver deliver, long offset) =>
        _locks.TryGetValue((deliver.Lock.Incarnation, leader.Epoch, offset), out var held) && held.Token == deliver.Lock && !held.HasEnded;

    /// <summary>A leader writes: what it drops has expired, or the length limit leaves as many as it allows.</summary>
    public void OnWrite(SimulatedLeader leader, IReadOnlyList<CursorTransition> transitions)
    {
        foreach (var delta in transitions.OfType<CursorDelta>())
        {
            var expired = delta.Settlements.Where(s => s.Cause == SettlementCause.Expired).SelectMany(s => s.Ranges)
                .Concat(delta.Intents.Where(i => i.Cause == SettlementCause.Expired).Select(i => OffsetRange.Of(i.Offset)));
            foreach (var range in expired)
            {
                for (var offset = range.First; offset <= range.Last; offset++)
                {
                    if (!leader.IsWanted(offset))
                        continue;
                    simulation.Figures.Expired++;
                    Verdict.Require(leader.HeadOf(offset).ExpiresAt <= simulation.Now, $"2: {offset} is dropped before it expires.");
                }
            }
            var purged = delta.Settlements.Where(s => s.Cause == SettlementCause.Purged).SelectMany(s => s.Ranges);
            foreach (var range in purged)
            {
                for (var offset = Math.Max(range.First, _purgedBelow.GetValueOrDefault(leader.Epoch)); offset <= range.Last; offset++)
                    Verdict.Require(!leader.IsWanted(offset), $"2: {offset} is purged, and no command named it.");
            }
            var dropped = delta.Settlements.Where(s => s.Cause == SettlementCause.LengthLimit).Sum(s => s.Count)
                + delta.Intents.Count(intent => intent.Cause == SettlementCause.LengthLimit);
            if (dropped == 0 || leader != simulation.Leader || delta.Incarnation != InForce.Incarnation)
                continue;
            simulation.Figures.Overflows += dropped;
            // What was held when a divided change was decided may be settled by an earlier part of it.
            if (!simulation.Scenario.DividesChanges)
                CheckDropped(leader, dropped, delta);
        }
    }

    private void CheckDropped(SimulatedLeader leader, long dropped, CursorDelta delta)
    {
        var offsets = delta.Settlements.Where(s => s.Cause == SettlementCause.LengthLimit).SelectMany(s => s.Ranges).SelectMany(OffsetsOf)
            .Concat(delta.Intents.Where(i => i.Cause == SettlementCause.LengthLimit).Select(i => i.Offset)).Where(leader.IsWanted).ToList();
        var isLong = Unfinished(leader) - dropped >= simulation.Scenario.MaxLength;
        // Those that stay, and the last one that is dropped, did not fit.
        var isLarge = offsets.Count > 0 && simulation.Scenario.Configuration.MaxBytes is { } most && BytesOf(leader,
            UnfinishedOffsets(leader)) - BytesOf(leader, offsets) + offsets.Max(offset => leader.HeadOf(offset).Bytes) > most;
        Verdict.Require(isLong || isLarge, $"2: {dropped} records are dropped for a limit, and fewer than it allows are left.");
    }

    private static IEnumerable<long> OffsetsOf(OffsetRange range)
    {
        for (var offset = range.First; offset <= range.Last; offset++)
            yield return offset;
    }

    private static long BytesOf(SimulatedLeader leader, IEnumerable<long> offsets) =>
        offsets.Sum(offset => (long)leader.HeadOf(offset).Bytes);

    /// <summary>A leader has handled a command.</summary>
    public void OnLength(SimulatedLeader leader, Cursor cursor)
    {
        if (!simulation.Scenario.IsLimited || leader != simulation.Leader || !cursor.IsIdle
            || cursor.State!.Incarnation != InForce.Incarnation)
            return;
        var configuration = cursor.State.Configuration;
        Verdict.Require(cursor.Length <= Unfinished(leader), "2: more records are counted than there are.");
        CheckBytes(leader, cursor);
        // A consumer is about to get one, or its size is read.
        if (configuration.Overflow != OverflowAction.DropHead || cursor.IsAwaited || cursor.IsDropWaiting
            || (configuration.DeadLetterTarget is not null && cursor.Held + cursor.State.Exceptions >= configuration.MaxExceptions))
            return;
        Verdict.Require(!(cursor.Length > configuration.MaxLength), "2: more records are kept than the limit allows.");
        Verdict.Require(!(cursor.Bytes > configuration.MaxBytes), "2: more bytes are kept than the limit allows.");
    }

    // The sum that a leader keeps is that of the records, one by one.
    private void CheckBytes(SimulatedLeader leader, Cursor cursor)
    {
        if (cursor.Bytes is not { } counted || !cursor.IsCounted)
            return;
        simulation.Figures.Counts++;
        var (state, bytes) = (cursor.State!, 0L);
        var held = cursor.HeldLongest(int.MaxValue).Select(static held => held.Offset).ToHashSet();
        for (var offset = state.Floor; offset < leader.ReadableEnd; offset++)
        {
            if (leader.HasRecord(offset) && !state.IsSettled(offset) && !state.IsIntended(offset) && !held.Contains(offset))
                bytes += leader.HeadOf(offset).Bytes;
        }
        Verdict.Require(bytes == counted, $"2: {counted} bytes are counted, and {bytes} wait.");
    }

    private static bool HasAny(SimulatedLeader leader, OffsetRange range)
    {
        for (var offset = range.First; offset <= range.Last; offset++)
        {
            if (leader.IsWanted(offset))
                return true;
        }
        return false;
    }

    private long Unfinished(SimulatedLeader leader) => UnfinishedOffsets(leader).LongCount();

    private IEnumerable<long> UnfinishedOffsets(SimulatedLeader leader)
    {
        for (var offset = Math.Max(InForce.Floor, simulation.LogStart); offset < leader.HighWatermark; offset++)
        {
            if (leader.IsWanted(offset) && !InForce.IsFinished(offset))
                yield return offset;
        }
    }

    /// <summary>A leader answers.</summary>
    public void OnAnswer(SimulatedLeader leader, CursorRequest request, Answer answer)
    {
        if (request is not LockRequest lockRequest)
            return;
        if (answer.Outcome == CursorOutcome.InvalidLock)
        {
            simulation.Figures.Refused++;
            Verdict.Require(!_live.Contains(request.RequestId) || InForce.Incarnation != lockRequest.Lock.Incarnation,
                "3: a lock that holds all of its records is refused.");
        }
        var isStale = _stale.Contains(request.RequestId);
        Verdict.Require(!isStale || answer.Outcome != CursorOutcome.Done, "3: a lock that has ended was accepted.");
        if (answer.Outcome != CursorOutcome.Done)
            return;
        if (request is Renew)
        {
            foreach (var (offset, held) in HeldBy(leader, lockRequest))
            {
                if (held.IsWaiting)
                    CheckNumber(leader, held.Token, offset);
                (held.Deadline, held.IsWaiting) = (LockEnd(leader), false);
                _taken.Add(held.Token);
            }
            AddDelivered(lockRequest);
            return;
        }
        var incarnation = lockRequest.Lock.Incarnation;
        for (var offset = lockRequest.Records.First; offset <= lockRequest.Records.Last; offset++)
        {
            if (!leader.HasRecord(offset))
                continue;
            if (request is Settle)
                OnSettled(incarnation, offset);
            else if (request is Reject)
                OnRejected(incarnation, offset);
            else
                OnReturned(leader, offset, (Release)request);
        }
    }

    private void OnSettled(Guid incarnation, long offset)
    {
        simulation.Figures.Settled++;
        Verdict.Require(InForce.Incarnation != incarnation || InForce.IsSettled(offset),
            $"1: the settlement of {offset} is answered and not in force.");
        _settled.Add((incarnation, offset));
    }

    private void OnRejected(Guid incarnation, long offset)
    {
        Verdict.Require(InForce.Incarnation != incarnation || InForce.IsFinished(offset),
            $"6: the rejection of {offset} is answered and not in force.");
        _settled.Add((incarnation, offset));
        _rejected.Add((incarnation, offset));
    }

    private void OnReturned(SimulatedLeader leader, long offset, Release release)
    {
        var (incarnation, isFailure) = (release.Lock.Incarnation, release.IsFailure);
        if (InForce.Incarnation != incarnation || !_locks.TryGetValue((incarnation, leader.Epoch, offset), out var held))
            return;
        var before = _returned.GetValueOrDefault((incarnation, offset));
        // The first delivery of a record that was taken counts.
        held.IsReturnedUncounted = release.IsUncounted && !held.IsWaiting && held.Token == release.Lock;
        var deliveries = held.IsWaiting && !isFailure ? held.Counts.Deliveries - 1
            : release.IsUncounted ? Math.Max(1, held.Counts.Deliveries - 1) : held.Counts.Deliveries;
        _returned[(incarnation, offset)] = new DeliveryCounts(Math.Max(before.Deliveries, deliveries),
            before.Failures + (isFailure ? 1 : 0));
        Verdict.Require(InForce.IsFinished(offset) || InForce.Returns.ContainsKey(offset),
            $"4: the return of {offset} is answered and not in force.");
        if (InForce.Returns.TryGetValue(offset, out var returned) && returned.AvailableAt == 0 && !InForce.IsFinished(offset))
            _available.Add((leader.Epoch, incarnation, offset));
    }
}
