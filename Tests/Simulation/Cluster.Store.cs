using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// The state store: slow, failing, with unknown outcomes, down for a while, or restored from a backup.
internal sealed partial class Cluster
{
    private long _storeDownUntil;
    private bool _restored;

    private bool StoreIsDown => _now < _storeDownUntil;

    private int StoreDelay() => Chance(5) ? _random.Next(400) : 1 + _random.Next(8);

    private void Read(SimulatedBroker broker, long operation)
    {
        if (broker.Leader is not { } leader)
            return;
        var (process, store) = (broker.Process, broker.Topic.Store);
        var failed = StoreIsDown || Chance(Scenario.StoreFailsPercent / 3);
        After(StoreDelay(), () =>
        {
            var (state, etag) = (store.State, store.ETag);
            After(StoreDelay(), () => RunOn(broker, process, () =>
            {
                if (failed)
                    leader.OnStateFailed(operation);
                else
                    leader.OnStateRead(operation, state, etag, _now);
                Verdict.Require(leader.Claim != ClaimOutcome.StoreInThePast || _restored,
                    $"a store from the past: {broker.Id} reports one after it read epoch {state.LeaderEpoch}, and none was restored");
                if (leader.Claim == ClaimOutcome.OtherTopic)
                    LearnOfTopic(broker);
            }));
        });
    }

    private void Write(SimulatedBroker broker, WriteState write)
    {
        if (broker.Leader is not { } leader)
            return;
        var (process, topic) = (broker.Process, broker.Topic);
        if (leader.Status == LeaderStatus.Leading && write.State.Leader != broker.Id)
        {
            Figures.Handovers++;
            var successor = write.State.Successor < 0 ? null : _brokers[write.State.Successor].Log;
            ReplicaChecker.OnResigning(leader, broker.Log, write.State.Successor, successor, inTime: _now < leader.HandoverDeadline);
        }
        if (!write.State.Reassignment.IsEmpty)
            Figures.Reassignments++;
        // A write that waited for the database may reach it when it is back.
        var unclear = StoreIsDown || Chance(Scenario.StoreFailsPercent);
        var lost = unclear && Chance(30);
        // A write of unknown outcome may be stored before or long after its writer sees the failure.
        if (unclear)
            After(StoreDelay(), () => RunOn(broker, process, () => leader.OnStateFailed(write.Operation)));
        if (lost)
            return;
        var late = Math.Max(0, _storeDownUntil - _now) + (unclear && Chance(50) ? _random.Next(300) : StoreDelay());
        After(late, () =>
        {
            var store = topic.Store;
            var stored = store.TryWrite(write.State, write.ETag);
            CheckDeletions(topic);
            var outcome = (stored ? "stored" : "refused") + (unclear ? ", unclear" : "");
            if (Trace is not null)
                Tell($"store <- {broker.Id}: {write.State} if {write.ETag}: {outcome}");
            var etag = store.ETag;
            if (unclear)
                return;
            After(StoreDelay(), () => RunOn(broker, process, () =>
            {
                if (stored)
                    leader.OnStateWritten(write.Operation, etag, _now);
                else
                    leader.OnStateFailed(write.Operation);
            }));
        });
    }

    /// <summary>Restores a backup while every disk remembers a later epoch: no broker may lead any more.</summary>
    private void RestoreStore()
    {
        var state = _topic.Store.State;
        if (_restored || state.LeaderEpoch < 2 || _brokers.Any(b => b.Disk.Fence < state.LeaderEpoch || b.IsActivated))
            return;
        if (Trace is not null)
            Tell($"the store is restored from the past");
        _restored = true;
        _topic.Store.Put(state with { LeaderEpoch = state.LeaderEpoch - 1, LeaderToken = NewGuid() });
    }
}
