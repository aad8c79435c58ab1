using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Producers with one request in flight, the last of them with acks=1 and without idempotence; and a reader.
internal sealed partial class Cluster
{
    private readonly int[] _nextSequence = new int[SimulatedLog.IdempotentProducers + 1];
    private readonly Dictionary<long, (int Producer, int Sequence)> _waiting = [];
    private long _nextWaiter;

    private void Produce(int producer)
    {
        if (_now > FaultsEndAt)
            return;
        var target = ChooseLeader();
        if (target is null)
        {
            After(RetryDelay(), () => Produce(producer));
            return;
        }
        var record = (producer, _nextSequence[producer]);
        var isIdempotent = producer < SimulatedLog.IdempotentProducers;
        if (!isIdempotent)
            _nextSequence[producer]++;
        var waiter = ++_nextWaiter;
        _waiting.Add(waiter, record);
        AfterOn(target, Delay(), () =>
        {
            if (target.Leader is { } leader)
                leader.Append(SimulatedLog.Record(record.producer, record.Item2), isIdempotent, waiter, _now);
        });
        // Without an answer in time: again, the same record.
        After(250, () =>
        {
            if (_waiting.Remove(waiter))
                Produce(producer);
        });
    }

    private void Answer(SimulatedBroker broker, CompleteAppend complete)
    {
        // Who waits no longer was promised the record all the same, had the answer not been late: only what a client hears counts.
        if (!_waiting.TryGetValue(complete.Waiter, out var record))
            return;
        var isIdempotent = record.Producer < SimulatedLog.IdempotentProducers;
        if (complete.Error == ErrorCode.None && isIdempotent)
        {
            if (Trace is not null)
                Tell($"{broker.Id} acknowledges {record} at {complete.BaseOffset}");
            _clients.OnAcknowledged(complete.BaseOffset, record);
            if (LatestLeader is { } leader && leader != broker)
                _clients.OnServing(leader.Log);
        }
        if (Chance(3))
            return; // The answer is lost on its way.
        _waiting.Remove(complete.Waiter);
        if (complete.Error == ErrorCode.None && isIdempotent)
            _nextSequence[record.Producer]++;
        After(complete.Error == ErrorCode.None ? 1 + _random.Next(Scenario.ProduceEveryMs) : RetryDelay(), () => Produce(record.Producer));
    }

    private int RetryDelay() => Scenario.ProduceEveryMs > 100 ? _random.Next(Scenario.ProduceEveryMs) : 20;

    private void Consume()
    {
        After(10 + _random.Next(15), Consume);
        if (ChooseLeader() is not { Leader: { } leader } broker || broker.PausedUntil > _now)
            return;
        // One reader believes whoever says that it leads; what it is told is at most a lease old.
        if (leader.TryReadLatest(leader.Epoch, _now, out _) == ErrorCode.None)
            _replicas.OnRead(leader, _now, _options.LeaseMs);
        // The other's view of the epoch is the highest it has met.
        _readerEpoch = Math.Max(_readerEpoch, leader.Epoch);
        if (leader.TryReadLatest(_readerEpoch, _now, out var latest) == ErrorCode.None)
            _clients.OnLatest(latest, broker.Log);
        Perform(broker);
    }

    private int _readerEpoch = -1;

    /// <summary>Mostly who leads the highest epoch, sometimes anyone who believes to lead.</summary>
    private SimulatedBroker? ChooseLeader()
    {
        var leaders = _brokers.Where(b => b.Leads).ToArray();
        if (leaders.Length == 0)
            return null;
        return Chance(20) ? leaders[_random.Next(leaders.Length)] : leaders.MaxBy(b => b.Leader!.Epoch);
    }
}
