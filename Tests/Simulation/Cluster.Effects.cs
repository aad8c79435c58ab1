using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// What the roles want done: the network, the store, answers to clients.
internal sealed partial class Cluster
{
    private void Perform(SimulatedBroker broker)
    {
        if (broker is { Leads: true, Announced: false })
        {
            broker.Announced = true;
            Figures.Elections++;
            _replicas.OnLeading(broker.Id, broker.Leader!);
            if (_latestLeader?.Leader is not { } former || former.Epoch < broker.Leader!.Epoch)
            {
                _latestLeader = broker;
                _clients.OnServing(broker.Log);
            }
        }
        foreach (var effect in broker.Effects)
            Perform(broker, effect);
        broker.Effects.Clear();
    }

    private void Perform(SimulatedBroker broker, ReplicationEffect effect)
    {
        switch (effect)
        {
            case SendMessage send:
                if (send.Message is PushAnswer { Outcome: PushAnswerOutcome.Accepted } accepted)
                    _replicas.OnAccepted(accepted);
                Send(broker, _brokers[send.To], send.Message);
                break;
            case ReadState read:
                Read(broker, read.Operation);
                break;
            case WriteState write:
                Write(broker, write);
                break;
            case CompleteAppend complete:
                Answer(broker, complete);
                break;
        }
    }

    private void Send(SimulatedBroker from, SimulatedBroker to, ReplicationMessage message)
    {
        if (Chance(Scenario.DropPercent) || _cuts.Contains((from.Id, to.Id)))
            return;
        AfterOn(to, Delay(), () => Receive(to, message));
        if (Chance(Scenario.DuplicatePercent))
            AfterOn(to, Delay() * 3, () => Receive(to, message));
    }

    private int Delay() => Chance(2) ? _random.Next(200) : 1 + _random.Next(Scenario.MaxDelayMs);

    private void Receive(SimulatedBroker broker, ReplicationMessage message)
    {
        switch (message)
        {
            case Push push:
                broker.Follower.OnPush(push);
                if (Scenario.Sync && push.Batches.Count > 0)
                    AfterOn(broker, 1 + _random.Next(5), () => Flush(broker));
                break;
            case AlignAnswer answer:
                broker.Follower.OnAlignAnswer(answer);
                break;
            case AlignRequest request:
                broker.Leader?.OnAlignRequest(request);
                break;
            case PushAnswer answer:
                broker.Leader?.OnPushAnswer(answer, _now);
                break;
        }
    }

    private int StoreDelay() => Chance(5) ? _random.Next(400) : 1 + _random.Next(8);

    private void Read(SimulatedBroker broker, long operation)
    {
        if (broker.Leader is not { } leader)
            return;
        var process = broker.Process;
        var failed = Chance(Scenario.StoreFailsPercent / 3);
        After(StoreDelay(), () =>
        {
            var (state, etag) = (_store.State, _store.ETag);
            After(StoreDelay(), () => RunOn(broker, process, () =>
            {
                if (failed)
                    leader.OnStateFailed(operation);
                else
                    leader.OnStateRead(operation, state, etag, _now);
            }));
        });
    }

    private void Write(SimulatedBroker broker, WriteState write)
    {
        if (broker.Leader is not { } leader)
            return;
        var process = broker.Process;
        var unclear = Chance(Scenario.StoreFailsPercent);
        var lost = unclear && Chance(30);
        // An unclear write may be stored before or long after its writer is told that it failed.
        if (unclear)
            After(StoreDelay(), () => RunOn(broker, process, () => leader.OnStateFailed(write.Operation)));
        if (lost)
            return;
        After(unclear && Chance(50) ? _random.Next(300) : StoreDelay(), () =>
        {
            var stored = _store.TryWrite(write.State, write.ETag);
            var etag = _store.ETag;
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
}
