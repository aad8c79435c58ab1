using OrleansMq.Client.PostgreSql;
using OrleansMq.Producers;
using OrleansMq.Records;
using Xunit.Abstractions;

namespace OrleansMq.Tests.PostgreSql.Outbox;

/// <summary>Random runs of relays over a model of the database, and over the broker's own decisions on sequences. Transactions overlap,
/// commit and roll back. Relays replace each other, and die between any two steps. Their transactions fail or have no known outcome. Sends
/// are answered, refused, lost or late. In the end one relay delivers what is left.</summary>
public sealed class OutboxRelayModelTests(ITestOutputHelper output)
{
    private const int Steps = 300;

    /// <summary>What a relay must not do.</summary>
    public enum Mutant
    {
        /// <summary>Nothing is wrong.</summary>
        None = 0,
        /// <summary>Every message that is visible is read, whatever is not visible yet.</summary>
        ReadsByIdAlone = 1,
        /// <summary>A batch is sent although the transaction that stores it has failed.</summary>
        SendsBeforeStored = 2,
        /// <summary>All sessions are one producer.</summary>
        SharesProducer = 3,
        /// <summary>A relay that was replaced goes on.</summary>
        IgnoresSession = 4,
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(0)]
    public void Every_committed_message_is_in_its_partition_once_and_in_order(int seed) => Run(seed, grows: false);

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    public void Every_committed_message_is_in_one_partition_once_where_topics_get_more_of_them(int seed) => Run(seed, grows: true);

    private void Run(int seed, bool grows)
    {
        var first = seed == 0 ? Random.Shared.Next() : seed * 10_000;
        output.WriteLine($"seeds from {first}");
        var delivered = 0;
        for (var run = first; run != first + 400; run++)
        {
            try
            {
                delivered += new Model(run, Mutant.None, grows).Run(Steps);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {run}: {failure.Message}", failure);
            }
        }
        output.WriteLine($"{delivered} messages");
        Assert.True(delivered > 5_000, "the runs deliver messages");
    }

    [Theory]
    [InlineData(Mutant.ReadsByIdAlone)]
    [InlineData(Mutant.SendsBeforeStored)]
    [InlineData(Mutant.SharesProducer)]
    [InlineData(Mutant.IgnoresSession)]
    public void Relay_that_breaks_a_rule_is_caught(Mutant mutant)
    {
        var caught = Enumerable.Range(1, 200).Select(seed => Failure(seed, mutant)).OfType<string>().ToList();
        output.WriteLine($"{caught.Count} of 200 runs fail: {string.Join(", ", caught.Distinct().Take(3))}");
        Assert.NotEmpty(caught);
    }

    private static string? Failure(int seed, Mutant mutant)
    {
        try
        {
            new Model(seed, mutant).Run(Steps);
            return null;
        }
        catch (ModelException failure)
        {
            return failure.Message;
        }
    }

    private sealed class ModelException(string message) : Exception(message);

    private sealed class Model(int seed, Mutant mutant, bool grows = false)
    {
        private static readonly string[] s_topics = ["orders", "bills"];

        private readonly Random _random = new(seed);
        // The database.
        private readonly List<Transaction> _open = [];
        private readonly SortedDictionary<long, Message> _table = [];
        private readonly Dictionary<TopicPartition, OutboxBatch> _batches = [];
        private readonly Dictionary<long, Message> _committed = [];
        private long _lastId;
        private ulong _nextTransaction = 1;
        private int _inCharge;
        private long _turn;
        // The relays.
        private readonly List<Relay> _relays = [];
        private int _sessions;
        // The broker.
        private readonly Dictionary<TopicPartition, ProducerStateManager> _producers = [];
        private readonly Dictionary<TopicPartition, List<long>> _logs = [];
        private readonly List<(OutboxBatch Batch, bool IsLarge)> _late = [];
        private int _partitions = 3;
        // It takes nothing; null: there is none.
        private int? _away;

        private sealed record Message(OutboxRow Row, bool IsLarge)
        {
            public string? Refusal { get; set; }
        }

        private sealed class Transaction
        {
            public ulong Id { get; set; }
            public List<Message> Added { get; } = [];
        }

        private sealed class Relay(int session, OutboxRelayCore core)
        {
            public int Session => session;
            public OutboxRelayCore Core => core;
            public long Turn { get; set; }
            public long Last { get; set; }
            public List<(OutboxBatch Batch, bool IsLarge)> Sends { get; } = [];
            public List<OutboxBatch> Pausing { get; } = [];
        }

        public int Run(int steps)
        {
            for (var step = 0; step < steps; step++)
                Step();
            _away = null;
            foreach (var transaction in _open.ToList())
                End(transaction);
            foreach (var relay in _relays.ToList())
                Die(relay);
            var last = TakeOver();
            for (var round = 0; round < 1_000 && (_table.Values.Any(static message => message.Refusal is null) || _batches.Count > 0
                || _late.Count > 0); round++)
            {
                if (_late.Count > 0 && _random.Next(2) == 0)
                    AppendLate();
                Look(last);
                foreach (var topic in last.Core.Topics())
                    last.Core.Route(topic, _partitions);
                Require(TryTurn(last, Fate.Succeeds), "the last relay stays in charge");
                while (last.Sends.Count > 0)
                    Answer(last, 0, 3);
            }
            return Check();
        }

        private int Check()
        {
            Require(_batches.Count == 0, "no batch stays");
            var parked = _table.Values.Where(static message => message.Refusal is not null).Select(static message => message.Row.Id)
                .ToList();
            Require(parked.SequenceEqual(_committed.Values.Where(static message => message.IsLarge).Select(static message => message.Row.Id)
                .Order()), "exactly the messages that are refused are parked");
            Require(_table.Count == parked.Count, "no message stays");
            var delivered = _logs.Values.SelectMany(static log => log).ToList();
            Require(delivered.Count == delivered.Distinct().Count(), "no message is doubled");
            Require(delivered.All(_committed.ContainsKey), "no message of a transaction that was rolled back is delivered");
            var missing = _committed.Keys.Except(delivered).Except(parked).ToList();
            Require(missing.Count == 0, "no message is lost");
            // Keys go to other partitions of a topic that has more.
            Require(grows || _logs.Values.All(static log => log.SequenceEqual(log.Order())),
                "messages are in the order in which they were added");
            return delivered.Count;
        }

        private void Step()
        {
            if (_random.Next(40) == 0)
                _away = _random.Next(3) > 0 ? _random.Next(_partitions) : null;
            if (grows && _random.Next(100) == 0)
                _partitions++;
            if (_relays.Count == 0 || _random.Next(60) == 0)
                TakeOver();
            var relay = _relays[_random.Next(_relays.Count)];
            switch (_random.Next(24))
            {
                case 0:
                    _open.Add(new Transaction());
                    break;
                case < 5:
                    Add();
                    break;
                case < 7:
                    if (_open.Count > 0)
                        End(_open[_random.Next(_open.Count)]);
                    break;
                case < 11:
                    Look(relay);
                    break;
                case < 16:
                    if (relay.Core.HasWork || relay.Core.NeedsMark(relay.Last))
                        TryTurn(relay, _random.Next(20) switch { 0 => Fate.Fails, 1 => Fate.IsUnknown, _ => Fate.Succeeds });
                    break;
                case < 20:
                    if (relay.Sends.Count > 0)
                        Answer(relay, _random.Next(relay.Sends.Count), _random.Next(8));
                    break;
                case 20:
                    AppendLate();
                    break;
                case 21:
                    foreach (var topic in relay.Core.Topics())
                        relay.Core.Route(topic, _partitions);
                    break;
                case 22:
                    foreach (var batch in relay.Pausing)
                        relay.Core.Resume(batch);
                    relay.Pausing.Clear();
                    break;
                default:
                    if (_random.Next(10) == 0)
                        Die(relay);
                    break;
            }
        }

        // A transaction has its id before a message of it has.
        private void Add()
        {
            if (_open.Count == 0)
                return;
            var transaction = _open[_random.Next(_open.Count)];
            if (transaction.Id == 0)
                transaction.Id = _nextTransaction++;
            var key = _random.Next(4) == 0 ? null : new[] { (byte)_random.Next(8) };
            var size = _random.Next(20) == 0 ? OutboxRelayCore.MaxBatchBytes : 10;
            int? partition = _random.Next(6) == 0 ? _random.Next(_partitions) : null;
            var row = new OutboxRow(++_lastId, s_topics[_random.Next(2)], partition, key, size);
            transaction.Added.Add(new Message(row, _random.Next(25) == 0));
        }

        private void End(Transaction transaction)
        {
            _open.Remove(transaction);
            if (_random.Next(4) == 0)
                return;
            foreach (var message in transaction.Added)
            {
                _table.Add(message.Row.Id, message);
                _committed.Add(message.Row.Id, message);
            }
        }

        private Relay TakeOver()
        {
            (_inCharge, _turn) = (++_sessions, 0);
            var producer = mutant == Mutant.SharesProducer ? 1 : _sessions;
            var relay = new Relay(_inCharge, new OutboxRelayCore("outbox", producer, 0, laneLimit: 6, readLimit: 6));
            relay.Core.Recover(_batches.Values);
            _relays.Add(relay);
            return relay;
        }

        // What it has sent may still arrive.
        private void Die(Relay relay)
        {
            _relays.Remove(relay);
            _late.AddRange(relay.Sends.Where(_ => _random.Next(2) == 0));
        }

        private void Look(Relay relay)
        {
            relay.Last = _lastId;
            relay.Core.See(mutant == Mutant.ReadsByIdAlone ? ulong.MaxValue
                : _open.Where(static open => open.Id > 0).Select(static open => open.Id).Append(_nextTransaction).Min());
        }

        private bool TryTurn(Relay relay, Fate fate)
        {
            if (mutant != Mutant.IgnoresSession && (_inCharge != relay.Session || _turn != relay.Turn))
            {
                Die(relay);
                return false;
            }
            var (done, refused) = relay.Core.TakeAnswers();
            var read = relay.Core.NextRead();
            relay.Core.Mark(relay.Last, _nextTransaction++);
            if (read is not null)
                relay.Core.Add(read, Read(read));
            foreach (var more in relay.Core.TopicReads())
                relay.Core.Add(more, Read(more));
            var takes = relay.Core.Take();
            var binding = relay.Core.Bind(takes, id => _table.TryGetValue(id, out var row) && row.Refusal is null && !done.Contains(id)
                && !refused.Any(refusal => refusal.Id == id));
            var sends = binding.Sends.Select(batch => (batch, batch.Ids.Any(id => _table[id].IsLarge))).ToList();
            if (fate != Fate.Fails)
            {
                (_turn, relay.Turn) = (_turn + 1, relay.Turn + 1);
                foreach (var id in done)
                    _table.Remove(id);
                foreach (var refusal in refused)
                    _table[refusal.Id].Refusal = refusal.Cause;
                foreach (var target in binding.Removes)
                    _batches.Remove(target);
                foreach (var batch in binding.Stores)
                    _batches[batch.Target] = batch;
            }
            if (fate == Fate.Succeeds)
            {
                relay.Sends.AddRange(sends);
                return true;
            }
            if (mutant == Mutant.SendsBeforeStored)
                _late.AddRange(sends);
            Die(relay);
            return false;
        }

        private List<OutboxRow> Read(OutboxRead read) => [.. _table.Values.Where(message => message.Row.Id > read.Above
            && message.Row.Id <= read.UpTo && message.Refusal is null && (read.Topic is null || read.Topic == message.Row.Topic))
            .Take(read.Limit).Select(static message => message.Row)];

        private void Answer(Relay relay, int index, int fate)
        {
            var send = relay.Sends[index];
            relay.Sends.RemoveAt(index);
            ErrorCode error;
            switch (send.Batch.Target.Partition == _away ? 2 : fate)
            {
                case 0:
                    error = ErrorCode.RequestTimedOut;
                    Append(send);
                    break;
                case 1:
                    error = ErrorCode.RequestTimedOut;
                    _late.Add(send);
                    break;
                case 2:
                    error = ErrorCode.NotEnoughReplicas;
                    break;
                default:
                    error = Append(send);
                    break;
            }
            if (relay.Core.Answer(send.Batch, error, "") == OutboxVerdict.Retry)
                relay.Pausing.Add(send.Batch);
        }

        private void AppendLate()
        {
            if (_late.Count == 0)
                return;
            var index = _random.Next(_late.Count);
            Append(_late[index]);
            _late.RemoveAt(index);
        }

        private ErrorCode Append((OutboxBatch Batch, bool IsLarge) send)
        {
            var target = send.Batch.Target;
            if (send.IsLarge)
                return ErrorCode.MessageTooLarge;
            if (!_producers.TryGetValue(target, out var producers))
                (producers, _logs[target]) = (_producers[target] = new ProducerStateManager(), []);
            using var builder = new RecordBatchBuilder();
            foreach (var _ in send.Batch.Ids)
                builder.Add(0, default, false, default, false);
            builder.SetProducer(send.Batch.ProducerId, send.Batch.Epoch, send.Batch.Sequence);
            var header = RecordBatchHeader.Read(builder.Build().Span) with { BaseOffset = _logs[target].Count };
            switch (producers.Check(header).Outcome)
            {
                case ProducerOutcome.Accept:
                    producers.Apply(header, 0);
                    _logs[target].AddRange(send.Batch.Ids);
                    return ErrorCode.None;
                case ProducerOutcome.Duplicate:
                    return ErrorCode.None;
                case ProducerOutcome.DuplicateSequence:
                    return ErrorCode.DuplicateSequenceNumber;
                case ProducerOutcome.FencedEpoch:
                    return ErrorCode.InvalidProducerEpoch;
                default:
                    return ErrorCode.OutOfOrderSequenceNumber;
            }
        }

        private static void Require(bool condition, string what)
        {
            if (!condition)
                throw new ModelException(what);
        }

        private enum Fate
        {
            Succeeds = 0,
            Fails = 1,
            IsUnknown = 2,
        }
    }
}
