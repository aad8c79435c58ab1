using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// What goes wrong, and the placement that finds a new leader.
internal sealed partial class Cluster
{
    private void Place()
    {
        After(20 + _random.Next(30), Place);
        var isServed = _brokers.Any(b => b.IsActivated && !_declaredDead[b.Id]);
        if (isServed && (_now > FaultsEndAt || !Chance(1)))
            return;
        // Sometimes, and whenever nobody is activated: another activation. Two of them for a moment are nothing unusual.
        var candidates = _brokers.Where(b => b.IsUp && !_declaredDead[b.Id]).ToArray();
        if (candidates.Length > 0)
            Activate(candidates[_random.Next(candidates.Length)]);
    }

    private void Activate(SimulatedBroker broker) => AfterOn(broker, 0, () =>
    {
        broker.Leader?.Stop("another activation"); // A new activation waits for the old one of the same replica to end.
        broker.Announced = false;
        broker.Leader = new LeaderReplica(_rules, _options, broker.Log, broker.Identity, _topicId, NewGuid(), this, broker.Effects);
        broker.Leader.Start();
    });

    private void Fault()
    {
        if (_now > FaultsEndAt)
        {
            _cuts.Clear();
            return;
        }
        After(Scenario.FaultEveryMs / 2 + _random.Next(Scenario.FaultEveryMs), Fault);
        var broker = Chance(50) ? _latestLeader ?? _brokers[0] : _brokers[_random.Next(_brokers.Length)];
        switch (_random.Next(9))
        {
            case 0 or 1:
                Crash(broker);
                break;
            case 2:
                CutPower(broker);
                break;
            case 3:
                if (Scenario.Sync)
                    Array.ForEach(_brokers, CutPower);
                else
                    CutPower(broker);
                break;
            case 4:
                if (MayLose(broker))
                {
                    Crash(broker);
                    broker.Disk.Wipe();
                    broker.Disk.Incarnation = NewGuid();
                }
                break;
            case 5:
                if (broker.IsUp)
                {
                    broker.PausedUntil = _now + _random.Next(50, 600);
                    if (Chance(70))
                        DeclareDead(broker, broker.PausedUntil - _now + _random.Next(100));
                }
                break;
            case 6:
                DeclareDead(broker, _random.Next(50, 400));
                break;
            case 7:
                Isolate(broker);
                break;
            case 8:
                // A leader is stopped and another takes over; then all but the first are restarted while it wakes up.
                broker.PausedUntil = broker.IsUp ? _now + 300 : 0;
                DeclareDead(broker, 400);
                After(200 + _random.Next(100), () => Array.ForEach(_brokers, other =>
                {
                    if (other != broker)
                        Crash(other);
                }));
                break;
        }
    }

    private void Crash(SimulatedBroker broker)
    {
        if (!broker.IsUp)
            return;
        Figures.Crashes++;
        if (Trace is not null)
            Tell($"{broker.Id} CRASHES, end {broker.Disk.Batches.Count}, flushed {broker.Disk.FlushedCount}");
        broker.Stop();
        After(_random.Next(20, 150), () => _declaredDead[broker.Id] |= !broker.IsUp);
        After(Chance(50) ? _random.Next(5, 30) : _random.Next(600), () => StartProcess(broker));
    }

    private void CutPower(SimulatedBroker broker)
    {
        if (!broker.IsUp || (!Scenario.Sync && !MayLose(broker)))
            return;
        Crash(broker);
        broker.Disk.CutPower(_random);
        var opened = new OpenedLog(HasIncarnation: true, ClosedCleanly: false, SameBoot: false, CountedOnlyFlushed: Scenario.Sync, FlushFailed: false,
            CutMoreThanLastWrite: false);
        if (IncarnationDecision.MustRenew(opened))
            broker.Disk.Incarnation = NewGuid();
    }

    /// <summary>What invariant 1 supposes: another counted member keeps what it acknowledged.</summary>
    private bool MayLose(SimulatedBroker broker) =>
        _store.State.Isr.Concat(_store.State.Elr).Any(m => m.Broker != broker.Id && _brokers[m.Broker].Disk.Incarnation == m.Incarnation);

    private void DeclareDead(SimulatedBroker broker, long forMs)
    {
        After(_random.Next(50), () => _declaredDead[broker.Id] = true);
        After(50 + forMs, () => _declaredDead[broker.Id] &= !broker.IsUp);
    }

    private void Isolate(SimulatedBroker broker)
    {
        var oneWay = Chance(30);
        foreach (var other in _brokers)
        {
            if (other == broker || Chance(30))
                continue;
            var (there, back) = ((broker.Id, other.Id), (other.Id, broker.Id));
            _cuts.Add(there);
            if (!oneWay)
                _cuts.Add(back);
            After(_random.Next(100, 800), () => _ = _cuts.Remove(there) | _cuts.Remove(back));
        }
    }
}
