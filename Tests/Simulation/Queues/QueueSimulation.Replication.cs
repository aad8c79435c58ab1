namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Replication as far as cursors see it: what is below the high watermark stays, what is above it may be cut. Any in-sync replica
/// may lead next, also the one that has least.</summary>
internal sealed partial class QueueSimulation
{
    private const long LeaseMs = 300;

    private readonly SimulatedReplica[] _replicas;
    private int _epoch = 1;
    private long _committed;
    private long _handOutFrom;
    private readonly List<SimulatedLeader> _former = [];

    private void Replicate()
    {
        After(Scenario.ReplicateEveryMs, Replicate);
        var leader = Leader;
        // In force is what every in-sync replica has; an answer tells the leader at the next turn.
        var (end, followers) = (leader.Replica.End, 0);
        foreach (var replica in _replicas)
        {
            if (replica != leader.Replica && replica.IsConnected)
            {
                var hasEpoch = replica.LastEpoch == leader.Epoch;
                replica.IsInSync |= hasEpoch && replica.End >= _committed;
                if (replica.IsInSync)
                    (end, followers) = (Math.Min(end, hasEpoch ? replica.End : 0), followers + 1);
                if (Chance(70) || Quiet)
                    replica.Follow(leader.Replica, leader.Epoch, Quiet ? int.MaxValue : Next(1, 20));
            }
            if (replica.IsConnected && Chance(3))
                replica.TakeSnapshot();
        }
        if (followers == 0)
            return;
        if (Quiet)
            leader.Extend(long.MaxValue);
        else if (leader.LeaseUntil < Now + (LeaseMs / 2))
            leader.Extend(Now + LeaseMs);
        Commit(leader, end);
    }

    private void Commit(SimulatedLeader leader, long highWatermark)
    {
        for (; _committed < highWatermark; _committed++)
        {
            if (leader.Replica.Log[(int)_committed].Transitions is not { } transitions)
                continue;
            var incarnation = InForce.Incarnation;
            InForce.Apply(_committed, transitions);
            if (InForce.Incarnation != incarnation)
                _startAtBegin = LogStart;
        }
        leader.Advance(highWatermark);
    }

    private void Fault()
    {
        if (Quiet)
            return;
        After(Next(Scenario.FaultEveryMs / 2, Scenario.FaultEveryMs * 2), Fault);
        if (Chance(40))
            _consumers[Next(_consumers.Count)].Attach();
        else
            FailOver();
    }

    private void FailOver()
    {
        var old = Leader;
        var inSync = _replicas.Where(replica => replica != old.Replica && replica.IsInSync).ToList();
        if (Quiet || inSync.Count == 0)
            return;
        (old.Replica.IsConnected, old.Replica.IsInSync) = (false, false);
        var successor = inSync[Next(inSync.Count)];
        Figures.Failovers++;
        var isZombie = false;
        switch (Next(3))
        {
            case 0:
                old.Stop();
                break;
            case 1:
                old.Kill();
                old.Replica.Restart(Chance(50));
                break;
            default:
                // It lives on, cut off, for as long as its lease, and longer.
                Figures.Zombies++;
                isZombie = true;
                break;
        }
        _handOutFrom = _rules.HandOutFrom(_handOutFrom, !isZombie, Now + LeaseMs);
        CheckReplica(successor);
        Leader = new SimulatedLeader(this, successor, ++_epoch, _handOutFrom, _rules);
        // It knows an older high watermark than its epoch's start.
        Leader.Advance(Math.Min(_committed, successor.End - 1));
        Tell($"failover to {successor.Number}, epoch {_epoch} from {successor.End - 1}, committed {_committed}");
        _former.Add(old);
        After(Next(50, 900), () => Reconnect(old));
        foreach (var consumer in _consumers)
        {
            // Some are cut off together with the former leader.
            var isCutOff = isZombie && Chance(30);
            var delay = Next(1, 400);
            if (isCutOff)
                After(delay, () => consumer.Attach(old));
            After(isCutOff ? delay + Next(1, 600) : delay, () => consumer.Attach());
        }
        if (Chance(20))
            After(Next(1, 100), FailOver);
    }

    // What a replica derived from its snapshots, and what its log alone says, from its start on.
    private void CheckReplica(SimulatedReplica replica)
    {
        var expected = InForce.Copy();
        for (var offset = _committed; offset < replica.End; offset++)
        {
            if (replica.Log[(int)offset].Transitions is { } transitions)
                expected.Apply(offset, transitions);
        }
        expected.RequireSame(replica.Cursors.Cursors.GetValueOrDefault(SimulatedLeader.CursorId), replica.End);
        replica.Restart(Chance(50));
        expected.RequireSame(replica.Cursors.Cursors.GetValueOrDefault(SimulatedLeader.CursorId), replica.End);
    }

    // The former leader learns of its successor before its replica follows.
    private void Reconnect(SimulatedLeader former)
    {
        if (!_former.Remove(former))
            return;
        if (!former.IsStopped)
            former.Stop();
        former.Replica.IsConnected = true;
    }

    private void CalmDown()
    {
        _former.ToList().ForEach(Reconnect);
        // A lock without end is lost with a lost delivery, and so is credit that does not return.
        if (Scenario.LockMs > 0 && Scenario.IsWindow)
            return;
        foreach (var consumer in _consumers)
            consumer.Attach();
    }

    private void EndTransactions()
    {
        if (Quiet)
            Leader.Settle();
        After(500, EndTransactions);
    }
}
