using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Whose turn it is, and which record's.</summary>
internal sealed partial class DeliveryChecker
{
    private readonly Dictionary<long, AttachedConsumer> _consumers = [];
    private readonly Dictionary<int, long> _active = [];
    private readonly Dictionary<(int Epoch, Guid Incarnation), long> _highest = [];

    private sealed class AttachedConsumer(int epoch, int priority)
    {
        public int Epoch => epoch;
        public int Priority => priority;
        public int Granted { get; set; }
        public bool HasYielded { get; set; }
        public int Delivered { get; set; }
        public List<Lock> Locks { get; } = [];
    }

    private long LockEnd(SimulatedLeader leader) =>
        simulation.Scenario.LockMs == 0 ? long.MaxValue : leader.ActiveTime + simulation.Scenario.LockMs;

    private void CheckCredit(SimulatedLeader leader, AttachedConsumer consumer, Lock held)
    {
        consumer.Locks.RemoveAll(other => other.HasEnded || other.Deadline <= leader.ActiveTime
            || other.Token.Incarnation != held.Token.Incarnation);
        consumer.Locks.Add(held);
        consumer.Delivered++;
        Verdict.Require(consumer.Locks.Count <= consumer.Granted, "3: a consumer holds more than its credit.");
        // A reset gives back the credit of what was held.
        Verdict.Require(simulation.Scenario.IsWindow || simulation.Scenario.Resets || simulation.Scenario.Removes
            || consumer.Delivered <= consumer.Granted, "3: a consumer received more than its credit.");
    }

    // The bound is for records above all others that were handed out; those below free memory.
    private void CheckRoom(SimulatedLeader leader, Guid incarnation, long offset)
    {
        var scenario = simulation.Scenario;
        if (scenario.Configuration.MaxExceptions > 1_000 || scenario.IsByLevel || scenario.Configuration.IsOrderedByKey
            || leader != simulation.Leader || InForce.Incarnation != incarnation)
            return;
        var highest = InForce.Settled.Keys.Concat(InForce.Returns.Keys).Append(_highest.GetValueOrDefault((leader.Epoch, incarnation), -1))
            .Max();
        if (offset <= highest)
            return;
        _highest[(leader.Epoch, incarnation)] = offset;
        var held = _locks.Count(l => l.Key.Epoch == leader.Epoch && l.Key.Incarnation == incarnation && !l.Value.HasEnded
            && l.Value.Deadline > leader.ActiveTime && leader.HasRecord(l.Key.Offset));
        Verdict.Require(held <= scenario.Configuration.MaxExceptions, $"8: {held} records are held, more than the bound.");
    }

    private void CheckConsumers(SimulatedLeader leader, IReadOnlyList<Deliver> deliveries)
    {
        foreach (var deliver in deliveries)
        {
            if (!_consumers.TryGetValue(deliver.Attachment, out var consumer))
                continue;
            if (simulation.Scenario.Configuration.IsSingleActiveConsumer)
            {
                var active = _active.GetValueOrDefault(leader.Epoch, deliver.Attachment);
                Verdict.Require(!consumer.HasYielded, "5: a consumer receives that has given its turn up.");
                Verdict.Require(active == deliver.Attachment || _consumers.GetValueOrDefault(active) is null or { HasYielded: true },
                    "5: a second consumer receives beside the active one.");
                _active[leader.Epoch] = deliver.Attachment;
                continue;
            }
            foreach (var (attachment, other) in _consumers)
            {
                Verdict.Require(other.Epoch != leader.Epoch || other.Priority <= consumer.Priority || leader.CreditOf(attachment) <= 0,
                    "5: a consumer of a higher priority has credit and does not receive.");
            }
        }
    }

    // A record that is surely available comes before those of lower levels, and later ones of its own.
    private void CheckPriorities(SimulatedLeader leader, IReadOnlyList<Deliver> deliveries)
    {
        var scenario = simulation.Scenario;
        if (!scenario.IsByLevel)
            return;
        foreach (var records in deliveries.Select(deliver => deliver.Records.Where(r => leader.HasRecord(r.Offset)).ToList()))
        {
            if (scenario.Configuration.MaxExceptions > 1_000)
                Verdict.Require(records.Zip(records.Skip(1)).All(pair => IsBefore(pair.First.Offset, pair.Second.Offset)),
                    "5: a delivery is not in the order of priorities.");
        }
        var incarnation = deliveries[0].Lock.Incarnation;
        if (leader != simulation.Leader || InForce.Incarnation != incarnation || scenario.IsLimited || scenario.Expires
            || scenario.Purges || scenario.Configuration.MaxExceptions <= 1_000)
            return;
        var delivered = deliveries.SelectMany(deliver => deliver.Records).Select(r => r.Offset).Where(leader.HasRecord).ToHashSet();
        if (delivered.Count == 0)
            return;
        var last = delivered.Aggregate((one, other) => IsBefore(one, other) ? other : one);
        for (var offset = Math.Max(InForce.Floor, simulation.LogStart); offset < leader.LevelsKnownBelow; offset++)
        {
            Verdict.Require(!leader.IsWanted(offset) || delivered.Contains(offset) || !IsBefore(offset, last)
                || InForce.IsFinished(offset) || InForce.Returns.ContainsKey(offset)
                || leader.HeadOf(offset).DeliverAt > 0
                || _locks.ContainsKey((incarnation, leader.Epoch, offset)), $"5: {last} is handed out before {offset}.");
        }

        bool IsBefore(long one, long other) =>
            (-leader.HeadOf(one).Priority, one).CompareTo((-leader.HeadOf(other).Priority, other)) < 0;
    }
}
