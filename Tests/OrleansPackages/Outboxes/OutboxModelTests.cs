using OrleansMq.Outboxes;
using OrleansMq.Producers;
using OrleansMq.Records;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>Random runs of activations of one grain over a model of its storage, of the queue of wake-ups, and over the broker's own
/// decisions on sequences: activations are doubled and die between any two steps, writes and sends are answered, refused, lost or late.
/// While the store has a message, or may get one, the queue has a record. In the end there are only the store and the records: they
/// deliver everything.</summary>
public sealed class OutboxModelTests(ITestOutputHelper output)
{
    private const int Steps = 400;

    /// <summary>A rule that is broken.</summary>
    public enum Mutant
    {
        /// <summary>None is.</summary>
        None,
        /// <summary>A message is written although the record that wakes its grain is not stored.</summary>
        WritesWithoutRecord,
        /// <summary>Every record is settled that wakes a grain.</summary>
        SettlesAtOnce,
        /// <summary>A write does not compare the version of what it replaces.</summary>
        IgnoresVersion,
        /// <summary>A write that failed counts as stored.</summary>
        TrustsFailedWrites,
        /// <summary>All outboxes and runs send as one producer.</summary>
        SharesProducer,
        /// <summary>A send without an answer counts as delivered.</summary>
        TrustsLostSends,
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(0)]
    public void Every_message_of_a_stored_state_is_in_its_partition_once_and_in_order(int seed)
    {
        var first = seed == 0 ? Random.Shared.Next() : seed * 10_000;
        output.WriteLine($"seeds from {first}");
        var delivered = 0;
        for (var run = first; run != first + 300; run++)
        {
            try
            {
                var model = new Model(run, Mutant.None);
                model.Run(Steps);
                delivered += model.Check();
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {run}: {failure.Message}", failure);
            }
        }
        output.WriteLine($"{delivered} messages");
        Assert.True(delivered > 1_000, "the runs deliver messages");
    }

    [Theory]
    [InlineData(Mutant.WritesWithoutRecord)]
    [InlineData(Mutant.SettlesAtOnce)]
    [InlineData(Mutant.IgnoresVersion)]
    [InlineData(Mutant.TrustsFailedWrites)]
    [InlineData(Mutant.SharesProducer)]
    [InlineData(Mutant.TrustsLostSends)]
    public void Outbox_that_breaks_a_rule_is_caught(Mutant mutant)
    {
        // What stays behind is looked for long.
        var runs = mutant == Mutant.SharesProducer ? 10 : 100;
        var caught = Enumerable.Range(1, runs).Select(seed => Failure(seed, mutant)).OfType<string>().ToList();
        output.WriteLine($"{caught.Count} of {runs} runs fail: {string.Join(", ", caught.Distinct().Take(3))}");
        Assert.NotEmpty(caught);
    }

    private static string? Failure(int seed, Mutant mutant)
    {
        try
        {
            var model = new Model(seed, mutant);
            model.Run(Steps);
            model.Check();
            return null;
        }
        catch (ModelException failure)
        {
            return failure.Message;
        }
    }

    private sealed class ModelException(string message) : Exception(message);

    private sealed class Model(int seed, Mutant mutant)
    {
        private const string Topic = "orders";
        private const int Partitions = 3;
        // The topic refuses such messages until its limit is raised.
        private const string Large = "large";

        private static readonly TimeSpan s_delay = TimeSpan.FromSeconds(30);

        private readonly Random _random = new(seed);
        private readonly List<Activation> _activations = [];
        // The store, and every document that was ever in it.
        private OutboxDocument _stored = new();
        private int _etag;
        private readonly List<(int Etag, OutboxDocument Document)> _lateWrites = [];
        // The queue of wake-ups.
        private readonly List<Guid> _records = [];
        // What activations have left on each of two silos.
        private readonly LeftRecords[] _left = [new(), new()];
        private TimeSpan _now;
        private int _mostRecords;
        private readonly Dictionary<long, string> _bound = [];
        private readonly HashSet<string> _discarded = [];
        // The broker.
        private readonly ProducerStateManager[] _producers = [.. Enumerable.Range(0, Partitions).Select(_ => new ProducerStateManager())];
        private readonly List<string>[] _logs = [.. Enumerable.Range(0, Partitions).Select(_ => new List<string>())];
        private readonly List<OutboxRun> _lateRuns = [];
        private int _names;
        private bool _isRaised;

        private sealed class Activation
        {
            public OutboxCore Core { get; } = new(1_000, 1 << 20);
            public WakeUpRecords Records { get; } = new(s_delay);
            public int Etag { get; set; }
            public List<OutboxRun> InFlight { get; } = [];
            // The write that is under way: one at a time.
            public Operation? Writing { get; set; }
            // The write without a known outcome.
            public Operation? Doubted { get; set; }
            public bool HasEnded { get; set; }
            public required LeftRecords Left { get; init; }
            // The look that is asked for.
            public (bool CleansUp, bool Fences)? Look { get; set; }
            // What was added, and is in no write that succeeded.
            public List<string> Unwritten { get; } = [];
        }

        private sealed record Operation(OutboxDocument Document, int Etag, long Turn, string[]? Added, bool IsOurs);

        public void Run(int steps)
        {
            for (var step = 0; step < steps; step++)
            {
                Step();
                CheckRecords();
            }
            // The end: the activations are gone. Writes and sends on their way arrive or are lost; then records alone wake the grain.
            foreach (var activation in _activations.ToList())
                Die(activation);
            foreach (var (etag, document) in _lateWrites.Where(_ => _random.Next(2) == 0).ToList())
                TryStore(etag, document);
            _lateWrites.Clear();
            foreach (var run in _lateRuns.ToList())
                Append(run);
            CheckRecords();
            for (var round = 0; round < 200 && _records.Count > 0; round++)
            {
                foreach (var record in _records.ToList())
                    WakeUp(record, _activations.Count == 0 ? Activate() : _activations[0]);
                var last = _activations[0];
                for (var turn = 0; turn < 200; turn++)
                {
                    last.Core.Choose(Topic, Partitions);
                    if (last.Core.NeedsWrite)
                        Maintain(last, cleansUp: false, fences: false);
                    foreach (var target in last.Core.Targets())
                    {
                        if (last.Core.Take(target) is { } run)
                            last.Core.Answer(run, Append(run), "");
                    }
                }
                if (last.Look is { } look)
                    Maintain(last, look.CleansUp, look.Fences);
                last.Look = null;
            }
            Require(_records.Count == 0, "every record is settled in the end");
        }

        // The rule of WakeUpRecords.
        private void CheckRecords()
        {
            _mostRecords = Math.Max(_mostRecords, _records.Count);
            var documents = _lateWrites.Where(write => write.Etag == _etag).Select(static write => write.Document)
                .Concat(_activations.Where(activation => activation.Writing?.Etag == _etag)
                    .Select(static activation => activation.Writing!.Document)).Append(_stored);
            Require(_records.Count > 0 || !documents.Any(static document => document.Pending.Count > 0),
                "a stored message, or one of a write under way, has a record");
        }

        /// <summary>Compares the broker with the history of the store; returns the number of messages.</summary>
        public int Check()
        {
            var parked = _stored.Parked.Select(Name).ToHashSet();
            var expected = _bound.OrderBy(entry => entry.Key).Select(entry => entry.Value).ToList();
            foreach (var log in _logs)
            {
                Require(log.Distinct().Count() == log.Count, "no message is doubled");
                Require(log.All(expected.Contains), "no message of a state that was never stored is delivered");
                // A message that is parked may be appended by a send that was on its way when its topic refused another one of it, and
                // then took such messages. So may one that is discarded.
                var order = log.Where(name => !parked.Contains(name) && !_discarded.Contains(name)).Select(name => expected.IndexOf(name))
                    .ToList();
                Require(order.SequenceEqual(order.Order()), "messages are in order");
            }
            var all = _logs.SelectMany(static log => log).ToList();
            Require(all.Count == all.Distinct().Count(), "no message is in two partitions");
            var missing = expected.Except(all).Except(parked).Except(_discarded).ToList();
            Require(missing.Count == 0, $"every message of a stored state is delivered, or parked: missing {string.Join(' ', missing)}");
            Require(parked.All(static name => name.EndsWith(Large, StringComparison.Ordinal)), "only a refused message is parked");
            return all.Count;
        }

        private void Step()
        {
            if (_activations.Count == 0 || (_activations.Count < 3 && _random.Next(40) == 0))
                Activate();
            _now += TimeSpan.FromSeconds(_random.Next(50) == 0 ? 300 : _random.Next(4));
            _isRaised |= _random.Next(300) == 0;
            var activation = _activations[_random.Next(_activations.Count)];
            switch (_random.Next(26))
            {
                case 0:
                    Die(activation);
                    break;
                case < 3:
                    if (_random.Next(20) == 0)
                        Discard(activation);
                    else
                        Add(activation);
                    break;
                case < 8:
                    if (activation.Writing is null)
                        BeginWrite(activation);
                    else
                        End(activation, Some<Fate>());
                    break;
                case 8:
                    activation.Core.Choose(Topic, _random.Next(2) + Partitions - 1);
                    break;
                case < 11:
                    if (activation.Core.NeedsWrite || _random.Next(10) == 0)
                        BeginMaintain(activation, cleansUp: false, fences: false);
                    break;
                case < 14:
                    if (activation.Core.Targets() is { Count: > 0 } targets)
                        activation.InFlight.Add(activation.Core.Take(targets[_random.Next(targets.Count)])!);
                    break;
                case < 18:
                    Answer(activation);
                    break;
                case 18:
                    if (_lateRuns.Count > 0)
                        Append(_lateRuns[_random.Next(_lateRuns.Count)]);
                    break;
                case 19:
                    if (_lateWrites.Count > 0)
                    {
                        var (etag, document) = _lateWrites[^1];
                        _lateWrites.RemoveAt(_lateWrites.Count - 1);
                        TryStore(etag, document);
                    }
                    break;
                case < 23:
                    if (_records.Count > 0)
                        WakeUp(_records[_random.Next(_records.Count)], activation);
                    break;
                default:
                    if (activation is { Look: { } look, Writing: null })
                    {
                        activation.Look = null;
                        BeginMaintain(activation, look.CleansUp, look.Fences);
                    }
                    break;
            }
        }

        private enum Fate { Done, DoneUnanswered, NotDoneUnanswered, LateUnanswered }

        private T Some<T>() where T : struct, Enum => _random.Next(3) > 0 ? default : Enum.GetValues<T>()[_random.Next(4)];

        private Activation Activate()
        {
            var activation = new Activation { Left = _left[_random.Next(2)] };
            Read(activation);
            if (activation.Left.Take(default, "", activation.Core.InForce.Stamp, _now) is { } left)
                activation.Records.TakeOver(left.Id, left.Due);
            _activations.Add(activation);
            return activation;
        }

        // What it has sent and written stays on its way.
        private void Die(Activation activation)
        {
            _lateRuns.AddRange(activation.InFlight);
            if (activation.Writing is { } writing && _random.Next(2) == 0)
                _lateWrites.Add((writing.Etag, writing.Document));
            _activations.Remove(activation);
        }

        private void WakeUp(Guid record, Activation activation)
        {
            var core = activation.Core;
            var mayCleanUp = core is { IsDelivered: true, InForce.Pending.Count: > 0 } && _random.Next(2) == 0;
            var answer = activation.Records.Answer(record, _now, new OutboxView(activation.Writing is not null,
                core.IsInDoubt, core.InForce.Pending.Count > 0, mayCleanUp, HasRow: true));
            if (answer.Looks)
                activation.Look = (mayCleanUp, answer.Fences);
            // The answer may be lost.
            if ((answer.IsSettled || mutant == Mutant.SettlesAtOnce) && _random.Next(10) > 0)
                _records.Remove(record);
        }

        // As OutboxState takes what it has read.
        private void Read(Activation activation)
        {
            activation.Core.Drop();
            activation.Unwritten.Clear();
            activation.Etag = _etag;
            Adopt(activation, activation.Records.Begin());
        }

        private void Adopt(Activation activation, long turn)
        {
            if (activation.Doubted is { } write && write.Document.Stamp == _stored.Stamp)
                activation.Records.Wrote(write.Turn);
            else if (_stored.Stamp != activation.Core.InForce.Stamp)
                activation.Records.Distrust();
            activation.Doubted = null;
            activation.Core.Adopt(Copy(_stored));
            if (activation.Core.InForce.Pending.Count == 0)
                activation.Records.FoundNothing(turn);
        }

        private void Add(Activation activation)
        {
            for (var count = _random.Next(1, 4); count > 0; count--)
            {
                var isLarge = _random.Next(25) == 0;
                activation.Core.Add(new OutboxMessage
                {
                    Topic = Topic,
                    Partition = _random.Next(4) == 0 ? -1 : _random.Next(Partitions),
                    Key = [(byte)_random.Next(4)],
                    Value = System.Text.Encoding.UTF8.GetBytes($"{_names++}{(isLarge ? Large : "")}"),
                });
                activation.Unwritten.Add(Name(activation.Core.Added[^1]));
            }
        }

        // A message that is on its way may be delivered nevertheless.
        private void Discard(Activation activation)
        {
            _discarded.UnionWith(activation.Core.Pending.Select(Name));
            activation.Core.DiscardPending(Topic);
            activation.Unwritten.Clear();
        }

        // As OutboxState writes.
        private void BeginWrite(Activation activation)
        {
            var core = activation.Core;
            if (activation.HasEnded)
                return;
            if (activation.Doubted is not null)
                Meet(activation);
            if (core.HasAdded && activation.Records.NeedsRecord(_now))
            {
                var record = NewGuid();
                if (_random.Next(20) > 0)
                    _records.Add(record);
                if (_random.Next(10) == 0)
                {
                    // It is not known to be stored.
                    Read(activation);
                    Leave(activation);
                    return;
                }
                if (!_records.Contains(record))
                    _records.Add(record);
                if (mutant == Mutant.WritesWithoutRecord)
                    _records.Remove(record);
                activation.Records.Stored(record, _now);
            }
            int? known = _random.Next(5) == 0 ? null : Partitions;
            var added = core.Added.Select(Name).ToArray();
            Require(added.SequenceEqual(activation.Unwritten), "a write has what was added and not discarded");
            var document = core.Compose(true, OutboxProducers.IdOf(_random.NextInt64()), NewGuid(), _ => known);
            activation.Writing = new Operation(document, activation.Etag, activation.Records.Begin(), added, IsOurs: true);
        }

        // An activation that has ended lives for a while.
        private void Leave(Activation activation)
        {
            activation.HasEnded = true;
            if (activation.Records.Leave() is { } left)
                activation.Left.Leave(default, "", left, activation.Core.InForce.Stamp, _now);
        }

        private void BeginMaintain(Activation activation, bool cleansUp, bool fences)
        {
            if (activation.Writing is not null)
                return;
            var core = activation.Core;
            Meet(activation);
            if (!(fences || core.NeedsWrite || (cleansUp && core.IsDelivered && core.InForce.Pending.Count > 0)))
                return;
            var document = core.Compose(false, 0, NewGuid(), static _ => null);
            activation.Writing = new Operation(document, _etag, activation.Records.Begin(), null, activation.Etag == _etag);
        }

        private void Maintain(Activation activation, bool cleansUp, bool fences)
        {
            BeginMaintain(activation, cleansUp, fences);
            End(activation, Fate.Done);
        }

        private void Meet(Activation activation)
        {
            if (activation.Doubted is { IsOurs: true } write && write.Document.Stamp == _stored.Stamp)
                activation.Etag = _etag;
            Adopt(activation, activation.Records.Begin());
        }

        private void End(Activation activation, Fate fate)
        {
            if (activation.Writing is not { } write)
                return;
            activation.Writing = null;
            var (core, records) = (activation.Core, activation.Records);
            if (mutant == Mutant.TrustsFailedWrites && fate == Fate.NotDoneUnanswered)
            {
                Succeed();
                return;
            }
            if (fate is Fate.Done or Fate.DoneUnanswered && TryStore(write.Etag, write.Document) && fate == Fate.Done)
            {
                Succeed();
                return;
            }
            if (fate == Fate.LateUnanswered)
                _lateWrites.Add((write.Etag, write.Document));
            activation.Doubted = write;
            core.Doubt();
            records.Doubt();
            if (write.Added is null)
                return;
            // The store may not answer the read either.
            var isRead = _random.Next(3) > 0;
            if (isRead && _stored.Stamp == write.Document.Stamp)
            {
                Succeed();
                return;
            }
            if (isRead)
                Read(activation);
            else
            {
                core.Drop();
                activation.Unwritten.Clear();
            }
            Leave(activation);

            void Succeed()
            {
                activation.Doubted = null;
                records.Wrote(write.Turn);
                if (write.IsOurs)
                    activation.Etag = _etag;
                if (write.Added is { } added)
                {
                    core.Written(write.Document);
                    activation.Unwritten.RemoveAll(added.Contains);
                }
                else
                {
                    core.Adopt(write.Document, isOwn: true);
                    if (write.Document.Pending.Count == 0)
                        records.FoundNothing(write.Turn);
                }
            }
        }

        private bool TryStore(int etag, OutboxDocument document)
        {
            if (etag != _etag && mutant != Mutant.IgnoresVersion)
                return false;
            _etag++;
            _stored = Copy(document);
            foreach (var message in document.Pending)
            {
                Require(!_bound.TryGetValue(message.Sequence, out var name) || name == Name(message), "a sequence is one message's");
                _bound[message.Sequence] = Name(message);
            }
            return true;
        }

        private void Answer(Activation activation)
        {
            if (activation.InFlight.Count == 0)
                return;
            var run = activation.InFlight[_random.Next(activation.InFlight.Count)];
            activation.InFlight.Remove(run);
            switch (_random.Next(6))
            {
                case 0:
                    Append(run);
                    activation.Core.Answer(run, ErrorCode.RequestTimedOut, "");
                    break;
                case 1:
                    _lateRuns.Add(run);
                    activation.Core.Answer(run, mutant == Mutant.TrustsLostSends ? ErrorCode.None : ErrorCode.RequestTimedOut, "");
                    break;
                default:
                    activation.Core.Answer(run, Append(run), "");
                    break;
            }
        }

        private ErrorCode Append(OutboxRun run)
        {
            if (!_isRaised && run.Messages.Any(static message => Name(message).EndsWith(Large, StringComparison.Ordinal)))
                return ErrorCode.MessageTooLarge;
            var (producers, log) = (_producers[run.Target.Partition], _logs[run.Target.Partition]);
            using var builder = new RecordBatchBuilder();
            foreach (var message in run.Messages)
                builder.Add(0, message.Key, true, message.Value, true);
            builder.SetProducer(mutant == Mutant.SharesProducer ? 1 : run.ProducerId,
                OutboxProducers.Epoch, OutboxProducers.SequenceOf(run.Messages[0].Sequence));
            var batch = RecordBatchHeader.Read(builder.Build().Span) with { BaseOffset = log.Count };
            switch (producers.Check(batch).Outcome)
            {
                case ProducerOutcome.Accept:
                    producers.Apply(batch, 0);
                    log.AddRange(run.Messages.Select(Name));
                    return ErrorCode.None;
                case ProducerOutcome.Duplicate:
                    return ErrorCode.None;
                default:
                    return ErrorCode.OutOfOrderSequenceNumber;
            }
        }

        private Guid NewGuid()
        {
            var bytes = new byte[16];
            _random.NextBytes(bytes);
            return new Guid(bytes);
        }

        private static OutboxDocument Copy(OutboxDocument document) => new()
        {
            OutboxId = document.OutboxId,
            LastSequence = document.LastSequence,
            Stamp = document.Stamp,
            Pending = document.Pending.ConvertAll(static message => message.Copy()),
            Parked = document.Parked.ConvertAll(static message => message.Copy()),
        };

        private static string Name(OutboxMessage message) => System.Text.Encoding.UTF8.GetString(message.Value!);

        private static void Require(bool condition, string what)
        {
            if (!condition)
                throw new ModelException(what);
        }
    }
}
