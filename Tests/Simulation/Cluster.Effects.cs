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
            if (Trace is not null)
                Tell($"{broker.Id} LEADS {broker.Leader!.Epoch} from {broker.Leader.EpochStart}, high watermark {broker.Log.HighWatermark}: {broker.Leader.Committed}");
            Figures.Elections++;
            _replicas.OnLeading(broker.Id, broker.Leader!, _now);
            // A claim whose answer comes late may begin an epoch that is over: it serves nobody, for its followers and readers know better.
            if (_latestEpoch < broker.Leader!.Epoch)
            {
                (_latestLeader, _latestEpoch) = (broker, broker.Leader.Epoch);
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
            case FillPush fill:
                Fill(broker, fill);
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
        // A message finds whatever process runs when it arrives.
        After(Delay(), () => RunOn(to, to.Process, () => Receive(to, message)));
        if (Chance(Scenario.DuplicatePercent))
            After(Delay() * 3, () => RunOn(to, to.Process, () => Receive(to, message)));
    }

    private int Delay() => Chance(2) ? _random.Next(200) : 1 + _random.Next(Scenario.MaxDelayMs);

    private void Receive(SimulatedBroker broker, ReplicationMessage message)
    {
        if (Trace is not null && message is not Push { Batches.Count: 0 } && message is not PushAnswer { Outcome: PushAnswerOutcome.Accepted, CountedEnd: 0 })
            Tell($"{broker.Id} <- {Describe(message)}");
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
                broker.Leader?.OnAlignRequest(request, _now);
                break;
            case PushAnswer answer:
                broker.Leader?.OnPushAnswer(answer, _now);
                break;
        }
    }

    private static string Describe(ReplicationMessage message) => message switch
    {
        Push push => $"push {push.Epoch}/{push.Session} of {push.Leader}: {string.Join(' ', push.Batches.Select(b => $"{b.BaseOffset}@{b.Epoch}={SimulatedLog.Parse(b.Bytes)}"))} after {push.PreviousEnd}@{push.PreviousEpoch} up to {push.EndOffset}, high watermark {push.HighWatermark}",
        PushAnswer answer => $"answer {answer.Epoch}/{answer.Session} of {answer.Follower}: {answer.Outcome} end {answer.LogEnd} counted {answer.CountedEnd} fence {answer.Fence}",
        AlignRequest request => $"align? {request.Epoch}/{request.Session} of {request.Follower}: epoch {request.AskedEpoch}",
        AlignAnswer answer => $"align! {answer.Epoch}/{answer.Session} of {answer.Leader}: epoch {answer.AskedEpoch} -> {answer.End.Epoch} ends at {answer.End.StartOffset}",
        _ => message.ToString(),
    };

    // Read while the log goes on; mostly from the page cache.
    private void Fill(SimulatedBroker broker, FillPush fill)
    {
        if (broker.Leader is not { } leader)
            return;
        AfterOn(broker, Chance(90) ? 0 : _random.Next(30), () =>
        {
            var batches = new List<ReplicatedBatch>();
            broker.Log.Read(fill.From, _batchesPerPush, batches);
            batches.RemoveAll(b => b.BaseOffset >= fill.Limit);
            leader.OnPushFilled(fill.To, fill.Session, fill.From, batches, batches is [.., var last] ? last.NextOffset : fill.Limit, _now);
        });
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
            if (Trace is not null)
                Tell($"store <- {broker.Id}: {write.State} if {write.ETag}: {(stored ? "stored" : "refused")}{(unclear ? ", unclear" : "")}");
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
