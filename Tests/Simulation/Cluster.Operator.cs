using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// The placement that finds a leader, and operations on the cluster.
internal sealed partial class Cluster
{
    // In some runs claimants receive the stored state instead of reading it; it may be stale when they act on it.
    private readonly bool _tellsClaimants;
    private readonly Dictionary<long, (Topic Topic, int Epoch, long Below)> _deletions = [];
    private long _servedAt;

    private void Place()
    {
        After(20 + _random.Next(30), Place);
        // The deciding broker uses its own view of membership.
        var view = _brokers[_random.Next(_brokers.Length)].Membership;
        if (_topic.Leader is { } leader && view.IsAlive(leader.Id))
            _servedAt = _now;
        if (Array.Exists(_brokers, b => b.IsActivated && b.Topic == _topic && view.IsAlive(b.Id)))
        {
            // Two activations for a moment are normal.
            if (_now > FaultsEndAt || !Chance(1))
                return;
        }
        var state = _topic.Store.State;
        var candidates = _brokers.Where(b => b.IsUp && view.IsAlive(b.Id) && state.Replicas.Contains(b.Id)).ToArray();
        if (candidates.Length == 0)
            return;
        if (_now - _servedAt > 400 && Scenario.MayElectUnclean && (Chance(3) || !state.Isr.Concat(state.Elr).Any(IsTrulyAlive)))
            ElectUnclean(state, candidates);
        else if (Array.Find(candidates, b => b.Id == state.Successor) is { } successor && Chance(70))
            Activate(successor);
        else
            Activate(candidates[_random.Next(candidates.Length)]);
    }

    private void ElectUnclean(PartitionState state, SimulatedBroker[] candidates)
    {
        var answers = candidates.Where(b => b.Disk.Topic == _topic)
            .Select(b => new ReplicaHoldings(b.Id, b.Log.Batches is [.., var last] ? last.Epoch : -1, b.Log.LogEndOffset)).ToArray();
        if (answers.Length == 0)
            return;
        var chosen = UncleanElection.Choose([.. state.Isr.Select(m => m.Broker)], answers)
            ?? (Chance(30) ? answers[_random.Next(answers.Length)].Broker : -1);
        if (chosen >= 0)
            Activate(_brokers[chosen], unclean: true);
    }

    private void Activate(SimulatedBroker broker, bool unclean = false)
    {
        var (topic, known) = (_topic, _tellsClaimants && Chance(50) ? new StoredPartitionState(_topic.Store.State, _topic.Store.ETag)
            : null);
        AfterOn(broker, known is null ? 0 : Delay(), () =>
            broker.Activate(new LeaderReplica(_rules, OptionsOf(broker), broker.Log, broker.Identity, broker.Disk.Topic.Id, NewGuid(),
                broker.Membership, broker.Effects,
                unclean), topic, known, _now));
    }

    private void Operate()
    {
        if (_now > FaultsEndAt || _restored)
            return;
        After(Scenario.OperateEveryMs / 2 + _random.Next(Scenario.OperateEveryMs), Operate);
        switch (Scenario.DeletesOnly ? 4 : _random.Next(Scenario.MayChangeConfig ? 11 : 8))
        {
            case 0:
                HandOver();
                break;
            case 1:
                StopInOrder();
                break;
            case 2 or 3 when Scenario.MayReassign:
                Reassign();
                break;
            case 4 or 5 when Scenario.MayDelete:
                DeleteRecords();
                break;
            case 6 when Scenario.RecreatesTopic && _now > FaultsEndAt / 3:
                RecreateTopic();
                break;
            case 7 when Scenario.RestoresStore && _now > FaultsEndAt / 2:
                RestoreStore();
                break;
            case >= 8:
                ChangeConfig();
                break;
        }
    }

    private void HandOver()
    {
        if (_topic.Leader is not { } broker)
            return;
        int? successor = Chance(30) ? null : _random.Next(_brokers.Length);
        var deadline = _now + _random.Next(20, 300);
        AfterOn(broker, 0, () => broker.Leader?.Resign(successor, deadline, _now));
    }

    /// <summary>A broker hands over, flushes everything and stops; it returns as the same member.</summary>
    private void StopInOrder()
    {
        HandOver();
        if (_topic.Leader is not { } broker)
            return;
        AfterOn(broker, 300, () =>
        {
            broker.Log.Flush();
            Crash(broker);
            Reopen(broker, new OpenedLog(HasIncarnation: true, ClosedCleanly: true, SameBoot: Chance(50), broker.Disk.CountedOnlyFlushed,
                FlushFailed: false,
                CutMoreThanLastWrite: false));
        });
    }

    private void Reassign()
    {
        if (_topic.Leader is not { } broker)
            return;
        var target = ChooseReplicas(_random.Next(Math.Min(2, Scenario.Brokers), Math.Min(Scenario.Brokers, 5) + 1));
        if (Trace is not null)
            Tell($"reassign to {string.Join(' ', target)}");
        AfterOn(broker, 0, () => broker.Leader?.Reassign(target, 0, _now));
        Array.ForEach(_brokers, other => After(_random.Next(300, 1_500), () => Drop(other)));
    }

    /// <summary>A broker that is no longer a replica frees its disk.</summary>
    private void Drop(SimulatedBroker broker)
    {
        if (!broker.IsUp || broker.Disk.Topic != _topic || _topic.Store.State.Replicas.Contains(broker.Id) || broker.IsActivated)
            return;
        if (Trace is not null)
            Tell($"{broker.Id} drops its replica");
        BeginAgain(broker);
    }

    private void DeleteRecords()
    {
        var broker = _brokers[_random.Next(_brokers.Length)];
        if (!broker.Leads || broker.Topic != _topic || broker.PausedUntil > _now)
            return;
        var below = Math.Min(_random.NextInt64(broker.Log.LogStartOffset, broker.Log.HighWatermark + 1), broker.Log.StartBound());
        if (Trace is not null)
            Tell($"{broker.Id} deletes records below {below}");
        broker.Log.MoveLogStart(below);
        if (broker.Leader!.Epoch >= _topic.Clients.LatestUncleanEpoch)
            _topic.Clients.OnDeleted(below);
        _deletions.Add(++_nextWaiter, (_topic, broker.Leader.Epoch, below));
        broker.Leader.OnDeleted(below, _nextWaiter, _now);
        Perform(broker);
    }

    private void Answer(CompleteDeletion complete)
    {
        _deletions.Remove(complete.Waiter, out var deletion);
        if (complete.Error != ErrorCode.None || deletion.Epoch < deletion.Topic.Clients.LatestUncleanEpoch)
            return;
        if (Trace is not null)
            Tell($"the deletion below {deletion.Below} is answered");
        Figures.Deletions++;
        deletion.Topic.Clients.OnDeletionAnswered(deletion.Below);
        CheckDeletions(deletion.Topic);
    }

    private void RecreateTopic()
    {
        if (_topic.Number > 1)
            return;
        if (Trace is not null)
            Tell($"the topic is deleted and created again");
        Figures.Acknowledged += _topic.Clients.Acknowledged;
        _topic = NewTopic(_topic.Number + 1);
        _readerEpoch = -1;
        Array.ForEach(_brokers, broker => After(_random.Next(300), () => RunOn(broker, broker.Process, () => LearnOfTopic(broker))));
    }
}
