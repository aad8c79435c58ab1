using OrleansMq.Partitions;
using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

// Producers with one request in flight, the last of them with acks=1 and without idempotence; and a reader. In some runs the others ask
// for acks=replicated most of the time, also where they repeat a batch that they sent with acks=all, and the other way round.
internal sealed partial class Cluster
{
    private const int IdempotentProducers = 3;

    private readonly bool _asksUnflushed;
    private readonly Dictionary<long, Request> _waiting = [];
    private long _nextWaiter;
    private int _producers;
    private int _readerEpoch = -1;

    private sealed class Producer
    {
        /// <summary>Whether its batches are told apart when they are repeated: by sequences, or by message ids.</summary>
        public bool IsIdempotent { get; init; }
        public Topic? Topic { get; set; }
        public int Id { get; set; } = SimulatedRecord.NoProducer;
        public int NextSequence { get; set; }
        public int UncleanElections { get; set; }
        /// <summary>The batch that is resent until it is answered; null: the next one.</summary>
        public byte[]? Batch { get; set; }
    }

    private sealed record Request(Producer Producer, Topic Topic, byte[] Batch, Acks Acks, long SentAt);

    private void Produce(Producer producer)
    {
        if (_now > FaultsEndAt)
            return;
        if (producer.Topic != _topic)
            BeginAgain(producer);
        if (ChooseLeader() is not { } target)
        {
            After(RetryDelay(), () => Produce(producer));
            return;
        }
        var waiter = ++_nextWaiter;
        var acks = !producer.IsIdempotent ? Acks.Leader : _asksUnflushed && waiter % 4 != 0 ? Acks.Replicated : Acks.All;
        var request = new Request(producer, _topic, producer.Batch ??= NewBatch(producer), acks, _now);
        if (!producer.IsIdempotent)
            producer.Batch = null;
        _waiting.Add(waiter, request);
        AfterOn(target, Delay(), () =>
        {
            if (target.Leader is { } leader && target.Topic == request.Topic)
            {
                new SimulatedAppends(leader, target.Log, target.Effects, _now) { Restates = Scenario.HasMessageIds && Chance(10) }
                    .Append(new SimulatedAppend(request.Batch, acks, waiter));
            }
        });
        // No answer in time: resend the same batch.
        After(250, () =>
        {
            if (_waiting.Remove(waiter))
                Produce(producer);
        });
    }

    private byte[] NewBatch(Producer producer)
    {
        Span<int> keys = stackalloc int[Chance(60) ? 1 : _random.Next(1, 5)];
        foreach (ref var key in keys)
        {
            key = _random.Next(Scenario.Keys);
            if (Scenario.MayCompact && Chance(30))
                key = ~key;
        }
        var batch = SimulatedRecord.Batch(_topic.Number, producer.Id, producer.NextSequence, keys);
        producer.NextSequence += keys.Length;
        return batch;
    }

    private void BeginAgain(Producer producer)
    {
        (producer.Topic, producer.NextSequence, producer.Batch, producer.UncleanElections) =
            (_topic, 0, null, _topic.Clients.UncleanElections);
        if (producer.IsIdempotent)
            producer.Id = Scenario.HasMessageIds ? SimulatedRecord.Control - ++_producers : ++_producers;
    }

    private void Answer(SimulatedBroker broker, CompleteAppend complete)
    {
        // After a timeout the acknowledgement is not counted, since only what a client receives counts.
        if (!_waiting.TryGetValue(complete.Waiter, out var request))
            return;
        var producer = request.Producer;
        var isAcknowledged = complete.Error == ErrorCode.None && producer.IsIdempotent;
        if (isAcknowledged)
            Acknowledge(broker, complete, request);
        if (Chance(3))
            return; // The answer is lost in transit.
        _waiting.Remove(complete.Waiter);
        if (isAcknowledged && producer.Batch == request.Batch)
            producer.Batch = null;
        // An unclean election may lose the broker's state of the producer: then the producer starts over.
        else if (complete.Error == ErrorCode.OutOfOrderSequenceNumber && producer.UncleanElections != _topic.Clients.UncleanElections)
            BeginAgain(producer);
        After(complete.Error == ErrorCode.None ? 1 + _random.Next(Scenario.ProduceEveryMs) : RetryDelay(), () => Produce(producer));
    }

    private void Acknowledge(SimulatedBroker broker, CompleteAppend complete, Request request)
    {
        if (Trace is not null)
            Tell($"{broker.Id} acknowledges {SimulatedRecord.Header(request.Batch)} at {complete.BaseOffset}");
        var topic = request.Topic;
        foreach (var record in SimulatedRecord.In(request.Batch))
        {
            // Retention or compaction may have been faster than the answer.
            if (!broker.Log.TryGet(complete.BaseOffset + record.Delta, out _, out var epoch))
                continue;
            if (!topic.Clients.IsCompacted(complete.BaseOffset + record.Delta, epoch))
                topic.Replicas.OnAcknowledged(complete.BaseOffset + record.Delta, epoch, broker.Leader, topic.Store.State,
                    broker.Config?.MinInsync ?? _config.MinInsync);
            if (request.Acks == Acks.All)
                topic.Clients.OnAcknowledged(complete.BaseOffset + record.Delta, record, epoch);
            else
            {
                topic.Clients.OnAnsweredUnflushed(complete.BaseOffset + record.Delta, record, epoch, request.SentAt);
                if (complete.BaseOffset + record.Delta >= broker.Log.HighWatermark)
                    Figures.Unflushed++;
            }
        }
        if (topic.Leader is { } leader && leader != broker)
            topic.Clients.OnServing(leader.Log);
    }

    private int RetryDelay() => Scenario.ProduceEveryMs > 100 ? _random.Next(Scenario.ProduceEveryMs) : 20;

    private void Consume()
    {
        After(10 + _random.Next(15), Consume);
        if (ChooseLeader() is not { Leader: { } leader } broker || broker.PausedUntil > _now)
            return;
        // One reader believes any broker that claims to lead; its answer is at most a lease old.
        if (MayReadLatest(leader, leader.Epoch))
            _topic.Replicas.OnRead(leader, _now, _options.LeaseMs);
        // The other reader uses the highest epoch it has met.
        _readerEpoch = Math.Max(_readerEpoch, leader.Epoch);
        if (MayReadLatest(leader, _readerEpoch))
            _topic.Clients.OnLatest(leader.HighWatermark, broker.Log, leader.Epoch);
        Perform(broker);
    }

    // What a partition asks before it tells a reader its latest offset. A replica looks whether its leader was replaced with each push that
    // it takes; here it looks as late as possible.
    private bool MayReadLatest(LeaderReplica leader, int readerEpoch)
    {
        leader.StopIfReplaced(_now);
        return ReaderEpoch.Check(readerEpoch, leader.Epoch) == ErrorCode.None && leader.MayServeReads(_now) && leader.KnowsLatest;
    }

    /// <summary>Usually returns the leader of the highest epoch, sometimes any broker that believes it leads.</summary>
    private SimulatedBroker? ChooseLeader()
    {
        SimulatedBroker? best = null;
        var count = 0;
        foreach (var broker in _brokers)
        {
            if (!broker.Leads || broker.Topic != _topic)
                continue;
            count++;
            if (best is null || broker.Leader!.Epoch > best.Leader!.Epoch)
                best = broker;
        }
        if (count < 2 || !Chance(20))
            return best;
        var nth = _random.Next(count);
        return _brokers.Where(b => b.Leads && b.Topic == _topic).ElementAt(nth);
    }
}
