namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>Replication as far as cursors see it: what is below the high watermark stays, what is above it may be cut.</summary>
internal sealed partial class QueueSimulation
{
    private const long LeaseMs = 300;

    private readonly SimulatedReplica[] _replicas;
    private int _epoch = 1;
    private long _committed;
    private SimulatedLeader? _former;

    private void Replicate()
    {
        After(Scenario.ReplicateEveryMs, Replicate);
        var leader = Leader;
        var followers = _replicas.Where(replica => replica != leader.Replica && replica.IsConnected).ToList();
        foreach (var follower in followers)
        {
            if (Chance(70) || Quiet)
                follower.Follow(leader.Replica, Quiet ? int.MaxValue : Next(1, 20));
            if (Chance(3))
                follower.TakeSnapshot();
        }
        if (Chance(3))
            leader.Replica.TakeSnapshot();
        // A majority of three: the leader, and one that has all of it below its end. Entries of an earlier epoch count with one of this.
        var ends = followers.Where(follower => follower.LastEpoch == leader.Epoch).Select(follower => follower.End).ToList();
        if (ends.Count == 0)
            return;
        if (Quiet)
            leader.Extend(long.MaxValue);
        else if (leader.LeaseUntil < Now + (LeaseMs / 2))
            leader.Extend(Now + LeaseMs);
        Commit(leader, ends.Max());
    }

    private void Commit(SimulatedLeader leader, long highWatermark)
    {
        for (; _committed < highWatermark; _committed++)
        {
            if (leader.Replica.Log[(int)_committed].Transitions is { } transitions)
                InForce.Apply(_committed, transitions);
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
        else if (_replicas.All(replica => replica.IsConnected))
            FailOver();
    }

    private void FailOver()
    {
        var old = Leader;
        old.Replica.IsConnected = false;
        var successor = _replicas.Where(replica => replica != old.Replica)
            .OrderByDescending(replica => replica.LastEpoch).ThenByDescending(replica => replica.End).First();
        Figures.Failovers++;
        var handOutFrom = 0L;
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
                handOutFrom = Now + LeaseMs;
                break;
        }
        CheckReplica(successor);
        Leader = new SimulatedLeader(this, successor, ++_epoch, handOutFrom, _rules);
        // It knows an older high watermark than its epoch's start.
        Leader.Advance(Math.Min(_committed, successor.End - 1));
        Tell($"failover to {successor.Number}, epoch {_epoch} from {successor.End - 1}, committed {_committed}");
        _former = old;
        After(Next(50, 900), Reconnect);
        foreach (var consumer in _consumers)
            After(Next(1, 400), consumer.Attach);
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
    private void Reconnect()
    {
        if (_former is not { } former)
            return;
        _former = null;
        if (!former.IsStopped)
            former.Stop();
        former.Replica.IsConnected = true;
    }

    private void CalmDown()
    {
        Reconnect();
        // A lock without end is lost with a lost delivery, and so is credit that does not return.
        if (Scenario.LockMs > 0 && Scenario.IsWindow)
            return;
        foreach (var consumer in _consumers)
            consumer.Attach();
    }
}
