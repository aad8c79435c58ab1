using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Faults.
internal sealed partial class Cluster
{
    private void Fault()
    {
        if (_now > FaultsEndAt || _restored)
        {
            _cuts.Clear();
            return;
        }
        After(Scenario.FaultEveryMs / 2 + _random.Next(Scenario.FaultEveryMs), Fault);
        var broker = Chance(50) ? _topic.LatestLeader ?? _brokers[0] : _brokers[_random.Next(_brokers.Length)];
        switch (Scenario.IsolatesOnly ? 7 : _random.Next(11))
        {
            case 0 or 1:
                Crash(broker);
                break;
            case 2:
                CutPower(broker);
                break;
            case 3:
                if (_config.Sync || (Scenario.MayElectUnclean && Chance(50)))
                    Array.ForEach(_brokers, CutPower);
                else
                    CutPower(broker);
                break;
            case 4:
                if (MayLose(broker))
                {
                    Crash(broker);
                    broker.Disk.Renew(broker.Disk.Topic, NewGuid());
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
                // A leader is paused and another takes over; then all but the first restart while it resumes.
                broker.PausedUntil = broker.IsUp ? _now + 300 : 0;
                DeclareDead(broker, 400);
                After(200 + _random.Next(100), () => Array.ForEach(_brokers, other =>
                {
                    if (other != broker)
                        Crash(other);
                }));
                break;
            case 9:
                _storeDownUntil = _now + _random.Next(50, 900);
                break;
            case 10:
                FailFlush(broker);
                break;
        }
    }

    private void Crash(SimulatedBroker broker)
    {
        if (!broker.IsUp)
            return;
        Figures.Crashes++;
        if (Trace is not null)
            Tell($"{broker.Id} CRASHES, log {broker.Disk.LogStart} to {broker.Disk.LogEnd}, flushed {broker.Disk.FlushedEnd}");
        broker.Stop();
        Believe(broker, isDead: true, _random.Next(20, 150));
        After(Chance(50) ? _random.Next(5, 30) : _random.Next(600), () => StartProcess(broker));
    }

    private void CutPower(SimulatedBroker broker)
    {
        if (!broker.IsUp || (!broker.Disk.CountedOnlyFlushed && !MayLose(broker)))
            return;
        Crash(broker);
        broker.Disk.LoseUnflushed(_random);
        if (broker.Disk.CountedOnlyFlushed)
            broker.Disk.Topic.Clients.OnMemberCut(_now, broker.Disk.LogEnd);
        Reopen(broker, new OpenedLog(HasIncarnation: true, ClosedCleanly: false, SameBoot: false, broker.Disk.CountedOnlyFlushed,
            FlushFailed: false,
            CutMoreThanLastWrite: false));
    }

    /// <summary>An fsync fails: the kernel may have dropped the dirty pages, so the partition is closed and recovered.</summary>
    private void FailFlush(SimulatedBroker broker)
    {
        if (!broker.IsUp || !MayLose(broker))
            return;
        Crash(broker);
        broker.Disk.LoseUnflushed(_random);
        Reopen(broker,
            new OpenedLog(HasIncarnation: true, ClosedCleanly: false, SameBoot: true, broker.Disk.CountedOnlyFlushed, FlushFailed: true,
            CutMoreThanLastWrite: false));
    }

    private void Reopen(SimulatedBroker broker, OpenedLog opened)
    {
        if (_rules.MustRenew(opened))
            broker.Disk.RenewIncarnation(NewGuid());
    }

    /// <summary>The premise of invariant 1: another counted member keeps what it acknowledged. With unclean elections more may be
    /// lost.</summary>
    private bool MayLose(SimulatedBroker broker) => Scenario.MayElectUnclean || _topic.Store.State is var state
        && state.Isr.Concat(state.Elr).Any(m => m.Broker != broker.Id && _brokers[m.Broker].Disk.Incarnation == m.Incarnation);

    private void DeclareDead(SimulatedBroker broker, long forMs)
    {
        foreach (var other in _brokers)
        {
            After(_random.Next(50 + Scenario.ViewsSpreadMs), () => other.Membership.Believe(broker.Id, isDead: true));
            After(50 + Scenario.ViewsSpreadMs + forMs, () => other.Membership.Believe(broker.Id, !broker.IsUp));
        }
    }

    /// <summary>All brokers learn of it, each at its own time.</summary>
    private void Believe(SimulatedBroker broker, bool isDead, long delay)
    {
        foreach (var other in _brokers)
        {
            After(delay + _random.Next(Scenario.ViewsSpreadMs), () =>
            {
                if (broker.IsUp != isDead)
                    other.Membership.Believe(broker.Id, isDead);
            });
        }
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
