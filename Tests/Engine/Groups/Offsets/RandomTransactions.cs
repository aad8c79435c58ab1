using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Offsets;

/// <summary>
/// A group's offsets under producers of transactions, commits outside of them, and restarts. The network delays, doubles and reorders every
/// request. The expected offsets follow from the accepted requests alone: of a partition, the last one that was written outside of
/// transactions, or in one whose commit has arrived.
/// </summary>
internal sealed class RandomTransactions
{
    private static readonly CoordinatorClaim Claim = new(1, new Guid(1, 0, 0, new byte[8]));
    private static readonly GroupOptions Options = new();
    private const int Partitions = 3;

    private readonly Random _random;
    private readonly GroupRules _rules;
    private readonly Func<GroupOffsetsDocument, GroupOffsetsDocument> _restart;
    private readonly TestTopics _topics = new();
    private readonly List<Producer> _producers = [];
    private readonly List<Action> _network = [];
    private readonly List<Write> _writes = [];
    private readonly Dictionary<(long Producer, long Number), bool> _ended = [];
    private WorkingOffsets _offsets;
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private long _lastOffset;

    public RandomTransactions(int seed, GroupRules rules, Func<GroupOffsetsDocument, GroupOffsetsDocument>? restart = null)
    {
        (_random, _rules, _restart) = (new Random(seed), rules, restart ?? (static document => document));
        _topics.Set("t", Partitions);
        _offsets = Create();
        for (var id = _random.Next(1, 5); id > 0; id--)
            _producers.Add(new Producer(id) { RaisesEpoch = _random.Next(2) == 0 });
    }

    /// <summary>How often each thing happened.</summary>
    public Dictionary<string, int> Figures { get; } = new(StringComparer.Ordinal);

    private WorkingOffsets Create() => new(_rules, Options, static () => { });

    /// <summary>Runs some steps, and then all transactions to their end.</summary>
    public void Run(int steps)
    {
        for (var step = 0; step < steps; step++)
        {
            Step();
            Check();
        }
        foreach (var producer in _producers)
        {
            if (producer.Phase == Phase.Open)
                Decide(producer, isCommit: false);
            if (producer.Phase == Phase.Ending)
                Mark(producer)();
            Require(producer.Phase == Phase.None, $"{producer} is not ended");
        }
        Check();
        // What is on its way still comes late.
        while (_network.Count > 0)
        {
            Deliver();
            Check();
        }
        Require(!Fetch(requireStable: true).Any(static found => found.IsPending), "an offset is pending for ever");
    }

    private void Step()
    {
        var producer = _producers[_random.Next(_producers.Count)];
        _now += TimeSpan.FromMilliseconds(_random.Next(100));
        switch (_random.Next(20))
        {
            case < 6:
                Act(producer);
                break;
            case < 14 when _network.Count > 0:
                Deliver();
                break;
            case 14:
                CommitOutside();
                break;
            case 15 when _random.Next(4) == 0:
                Delete();
                break;
            case 16:
                Restart();
                break;
            case 17:
                producer.CoordinatorEpoch++;
                break;
            case 18:
                SendOfFencedCoordinator(producer);
                break;
            case 19:
                SendOfFencedProducer(producer);
                break;
        }
    }

    private void Act(Producer producer)
    {
        switch (producer.Phase)
        {
            case Phase.None:
                producer.Number += _random.Next(1, 3); // One that did not include the group.
                (producer.Phase, producer.Unanswered) = (Phase.Open, 0);
                break;
            case Phase.Open when _random.Next(3) > 0:
                producer.Unanswered++;
                Send(Commit(producer));
                break;
            case Phase.Open:
                Decide(producer, isCommit: producer.Unanswered == 0 && _random.Next(3) > 0);
                Send(Mark(producer));
                break;
            default:
                Send(Mark(producer));
                break;
        }
    }

    private static void Decide(Producer producer, bool isCommit)
    {
        (producer.Phase, producer.IsCommit) = (Phase.Ending, isCommit);
        // Where the epoch is not raised with each transaction, an abort that fences an instance raises it.
        if (producer.RaisesEpoch || !isCommit)
            producer.Epoch++;
    }

    private void Send(Action request)
    {
        _network.Add(request);
        if (_random.Next(3) == 0)
            _network.Add(request);
    }

    private void Deliver()
    {
        var at = _random.Next(_network.Count);
        var request = _network[at];
        _network.RemoveAt(at);
        request();
    }

    // --- Requests ---

    private Action Commit(Producer producer)
    {
        var number = producer.Number;
        var partitions = Enumerable.Range(0, Partitions).Where(_ => _random.Next(2) == 0).DefaultIfEmpty(0).ToArray();
        var isAnswered = false;
        var request = new TransactionOffsetCommit
        {
            GroupId = "g",
            TransactionalId = $"{producer}",
            Producer = new ProducerIdentity(producer.Id, producer.Epoch),
            Number = number,
            Offsets = [.. partitions.Select(partition => new PartitionOffset("t", partition, new CommittedOffset(++_lastOffset)))],
        };
        return () =>
        {
            var error = Answer(request);
            var hasEnded = producer.LastEnded >= number;
            Count(hasEnded ? "late commits" : "commits");
            Require(hasEnded ? error is ErrorCode.TransactionAbortable or ErrorCode.InvalidProducerEpoch : error == ErrorCode.None,
                $"the commit of transaction {number} of {producer} is answered {error}, "
                    + (hasEnded ? "and that has ended" : "and that is open"));
            if (error == ErrorCode.None)
                _writes.AddRange(request.Offsets.Select(offset => new Write(offset.Partition, offset.Offset.Offset, producer.Id, number)));
            if (!isAnswered && number == producer.Number)
                producer.Unanswered--;
            isAnswered = true;
        };
    }

    private ErrorCode Answer(TransactionOffsetCommit request) =>
        Assert.Single(_offsets.Commit(request, _topics.Topics, _now, check: null).Partitions.Select(static partition => partition.Error)
            .Distinct());

    private EndTransactionOffsets End(Producer producer) => new()
    {
        GroupId = "g",
        Producer = new ProducerIdentity(producer.Id, producer.Epoch),
        Number = producer.Number,
        CoordinatorEpoch = producer.CoordinatorEpoch,
        IsCommit = producer.IsCommit,
    };

    private Action Mark(Producer producer)
    {
        var request = End(producer);
        return () =>
        {
            var reply = _offsets.End(request, _now);
            Require(reply.Error == ErrorCode.None, $"the end of transaction {request.Number} of {producer} is answered {reply.Error}");
            Count(producer.LastEnded >= request.Number ? "late ends" : request.IsCommit ? "ends by commit" : "ends by abort");
            if (producer.LastEnded < request.Number)
            {
                producer.LastEnded = request.Number;
                producer.FencedBelow = (request.CoordinatorEpoch, request.Producer.ProducerEpoch);
                _ended.Add((producer.Id, request.Number), request.IsCommit);
            }
            if (producer.Number == request.Number)
                producer.Phase = Phase.None;
        };
    }

    // A coordinator that was replaced would end the open transaction otherwise than its successor.
    private void SendOfFencedCoordinator(Producer producer)
    {
        if (producer.Phase == Phase.None || producer.LastEnded == 0)
            return;
        var request = End(producer) with { CoordinatorEpoch = producer.FencedBelow.Coordinator - 1, IsCommit = _random.Next(2) == 0 };
        if (request.Number <= producer.LastEnded)
            return;
        Count("ends by a fenced coordinator");
        Require(_offsets.End(request, _now).Error == ErrorCode.TransactionCoordinatorFenced, $"a fenced coordinator ends for {producer}");
    }

    private void SendOfFencedProducer(Producer producer)
    {
        if (producer.FencedBelow.Producer == 0 || producer.Phase != Phase.Open)
            return;
        Count("commits by a fenced producer");
        var error = Answer(new TransactionOffsetCommit
        {
            GroupId = "g",
            TransactionalId = $"{producer}",
            Producer = new ProducerIdentity(producer.Id, (short)(producer.FencedBelow.Producer - 1)),
            Number = producer.Number,
            Offsets = [new PartitionOffset("t", 0, new CommittedOffset(++_lastOffset))],
        });
        Require(error == ErrorCode.InvalidProducerEpoch, $"a fenced instance of {producer} is answered {error}");
    }

    private void CommitOutside()
    {
        var partition = _random.Next(Partitions);
        var reply = _offsets.Commit(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("t", partition, new CommittedOffset(++_lastOffset))],
        }, _topics.Topics, _now, check: null);
        Require(Assert.Single(reply.Partitions).Error == ErrorCode.None, "a commit outside of transactions is refused");
        _writes.Add(new Write(partition, _lastOffset, Write.Outside, 0));
        Count("commits outside");
    }

    private void Delete()
    {
        var partition = _random.Next(Partitions);
        _offsets.Delete(new OffsetDelete("g", [new TopicPartition("t", partition)]), _topics.Topics, new HashSet<string>());
        _writes.RemoveAll(write => write.Partition == partition);
        Count("deletes");
    }

    private void Restart()
    {
        var bytes = _offsets.ToContent(Claim).ToBytes();
        _offsets = Create();
        _offsets.Adopt(_restart(GroupOffsetsDocument.Parse(bytes)));
        _offsets.ForgetFences(_now);
        Count("restarts");
    }

    // --- What is expected ---

    private void Check()
    {
        for (var partition = 0; partition < Partitions; partition++)
        {
            var committed = _writes.FindLastIndex(write => write.Partition == partition && IsCommitted(write));
            var pending = _writes.FindLastIndex(write => write.Partition == partition && IsOpen(write));
            var expected = new Found(committed < 0 ? null : _writes[committed].Offset, pending > committed);
            var found = new Found(Fetch(requireStable: false)[partition].Offset, Fetch(requireStable: true)[partition].IsPending);
            Require(found == expected, $"partition {partition} has {found}, expected {expected}");
            if (expected.IsPending)
                Count("pending");
        }
    }

    private bool IsCommitted(Write write) =>
        write.Producer == Write.Outside || (_ended.TryGetValue((write.Producer, write.Number), out var isCommit) && isCommit);

    private bool IsOpen(Write write) => write.Producer != Write.Outside && !_ended.ContainsKey((write.Producer, write.Number));

    private Found[] Fetch(bool requireStable)
    {
        var fetch = new OffsetFetch
        {
            GroupId = "g",
            Partitions = [.. Enumerable.Range(0, Partitions).Select(static partition => new TopicPartition("t", partition))],
            RequireStable = requireStable,
        };
        return [.. _offsets.Fetch(fetch, _topics.Topics).Partitions
            .Select(static found => new Found(found.Offset?.Offset, found.Error == ErrorCode.UnstableOffsetCommit))];
    }

    private void Count(string what) => Figures[what] = Figures.GetValueOrDefault(what) + 1;

    private static void Require(bool holds, string what)
    {
        if (!holds)
            throw new WrongOffsetsException(what);
    }

    private readonly record struct Found(long? Offset, bool IsPending);

    private readonly record struct Write(int Partition, long Offset, long Producer, long Number)
    {
        public const long Outside = -1;
    }

    private enum Phase
    {
        None,
        Open,
        Ending,
    }

    private sealed class Producer(long id)
    {
        public long Id { get; } = id;
        public bool RaisesEpoch { get; init; }
        public short Epoch { get; set; }
        public long Number { get; set; }
        public int CoordinatorEpoch { get; set; } = 1;
        public Phase Phase { get; set; }
        public bool IsCommit { get; set; }
        /// <summary>The commits of the open transaction that were not answered: it is not committed before.</summary>
        public int Unanswered { get; set; }
        public long LastEnded { get; set; }
        public (int Coordinator, short Producer) FencedBelow { get; set; }

        public override string ToString() => $"p{Id}";
    }
}

/// <summary>The offsets are not those that the accepted requests make.</summary>
internal sealed class WrongOffsetsException(string message) : Exception(message);
