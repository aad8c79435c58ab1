using OrleansMq.Outboxes;
using OrleansMq.Producers;
using OrleansMq.Records;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Cluster.Outboxes;

/// <summary>Random runs of activations of one grain over a model of its storage, and over the broker's own decisions on sequences:
/// activations are doubled and die between any two steps, writes and sends are answered, refused, lost or late.</summary>
public sealed class OutboxModelTests(ITestOutputHelper output)
{
    private const int Steps = 400;

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
                var model = new Model(run);
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

    private sealed class Model(int seed)
    {
        private const string Topic = "orders";
        private const int Partitions = 3;
        // The topic refuses such messages until its limit is raised.
        private const string Large = "large";

        private readonly Random _random = new(seed);
        private readonly List<Activation> _activations = [];
        // The store, and every document that was ever in it.
        private OutboxDocument? _stored;
        private int _etag;
        private readonly List<(int Etag, OutboxDocument Document)> _lateWrites = [];
        private readonly Dictionary<long, string> _bound = [];
        // The broker.
        private readonly ProducerStateManager[] _producers = [.. Enumerable.Range(0, Partitions).Select(_ => new ProducerStateManager())];
        private readonly List<string>[] _logs = [.. Enumerable.Range(0, Partitions).Select(_ => new List<string>())];
        private readonly List<OutboxRun> _lateRuns = [];
        private int _names;
        private bool _isRaised;

        private sealed class Activation
        {
            public OutboxCore Core { get; } = new(1_000, 1 << 20);
            public int Etag { get; set; }
            public List<OutboxRun> InFlight { get; } = [];
        }

        public void Run(int steps)
        {
            for (var step = 0; step < steps; step++)
                Step();
            // The end: one activation over a storage and a broker that answer.
            foreach (var (etag, document) in _lateWrites.ToList())
                TryStore(etag, document);
            foreach (var run in _lateRuns.ToList())
                Append(run);
            _activations.Clear();
            var last = Activate();
            for (var round = 0; round < 2_000 && !(last.Core.IsDelivered && last.Core.Undecided().Count == 0); round++)
            {
                if (last.Core.Undecided().Count > 0)
                    last.Core.Choose(Topic, Partitions);
                if (last.Core.NeedsWrite)
                    Maintain(last, Fate.Done);
                foreach (var target in last.Core.Targets())
                {
                    if (last.Core.Take(target) is { } run)
                        last.Core.Answer(run, Append(run), "");
                }
            }
            Require(last.Core.IsDelivered, "everything is delivered in the end");
        }

        /// <summary>Compares the broker with the history of the store; returns the number of messages.</summary>
        public int Check()
        {
            var parked = (_stored?.Parked ?? []).Select(Name).ToHashSet();
            var expected = _bound.OrderBy(entry => entry.Key).Select(entry => entry.Value).ToList();
            foreach (var log in _logs)
            {
                Require(log.Distinct().Count() == log.Count, "no message is doubled");
                var order = log.Select(name => expected.IndexOf(name)).ToList();
                Require(!order.Contains(-1), "no message of a state that was never stored is delivered");
                Require(order.SequenceEqual(order.Order()), "messages are in order");
            }
            var all = _logs.SelectMany(static log => log).ToList();
            Require(all.Count == all.Distinct().Count(), "no message is in two partitions");
            var missing = expected.Except(all).Except(parked).ToList();
            Require(missing.Count == 0, $"every message of a stored state is delivered, or parked: missing {string.Join(' ', missing)}");
            Require(parked.All(static name => name.EndsWith(Large, StringComparison.Ordinal)), "only a refused message is parked");
            return all.Count;
        }

        private void Step()
        {
            if (_activations.Count == 0 || (_activations.Count < 3 && _random.Next(40) == 0))
                Activate();
            _isRaised |= _random.Next(300) == 0;
            var activation = _activations[_random.Next(_activations.Count)];
            switch (_random.Next(20))
            {
                case 0:
                    // It dies; what it has sent stays on its way.
                    _lateRuns.AddRange(activation.InFlight);
                    _activations.Remove(activation);
                    break;
                case < 4:
                    Add(activation);
                    break;
                case < 8:
                    Write(activation, Some<Fate>());
                    break;
                case < 10:
                    if (activation.Core.Undecided().Count > 0)
                        activation.Core.Choose(Topic, _random.Next(2) + Partitions - 1);
                    if (_random.Next(2) == 0)
                        Maintain(activation, Some<Fate>());
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
                default:
                    if (_lateWrites.Count > 0)
                    {
                        var (etag, document) = _lateWrites[^1];
                        _lateWrites.RemoveAt(_lateWrites.Count - 1);
                        TryStore(etag, document);
                    }
                    break;
            }
        }

        private enum Fate { Done, DoneUnanswered, NotDoneUnanswered, LateUnanswered }

        private T Some<T>() where T : struct, Enum => _random.Next(3) > 0 ? default : Enum.GetValues<T>()[_random.Next(4)];

        private Activation Activate()
        {
            var activation = new Activation();
            Read(activation);
            _activations.Add(activation);
            return activation;
        }

        private void Read(Activation activation)
        {
            activation.Core.Drop();
            activation.Core.Adopt(Copy(_stored));
            activation.Etag = _etag;
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
            }
        }

        // As OutboxState writes.
        private void Write(Activation activation, Fate fate)
        {
            var core = activation.Core;
            var added = core.Added.Count;
            int? known = _random.Next(5) == 0 ? null : Partitions;
            var document = core.Compose(true, OutboxProducers.IdOf(_random.NextInt64()), NewStamp(), _ => known);
            var isStored = fate is Fate.Done or Fate.DoneUnanswered && TryStore(activation.Etag, document);
            if (fate == Fate.LateUnanswered)
                _lateWrites.Add((activation.Etag, document));
            if (fate == Fate.Done && isStored)
            {
                activation.Etag = _etag;
                core.Written(document, added);
                return;
            }
            core.Doubt();
            if (_random.Next(3) == 0)
                return;
            if (_stored?.Stamp != document.Stamp)
            {
                Read(activation);
                return;
            }
            activation.Etag = _etag;
            core.Written(document, added);
        }

        private void Maintain(Activation activation, Fate fate)
        {
            var core = activation.Core;
            var isOurs = activation.Etag == _etag;
            core.Adopt(Copy(_stored));
            if (_stored is null || !(core.NeedsWrite || core.IsDelivered))
                return;
            var document = core.Compose(false, 0, NewStamp(), static _ => null);
            if (fate == Fate.LateUnanswered)
                _lateWrites.Add((_etag, document));
            var isStored = fate is Fate.Done or Fate.DoneUnanswered && TryStore(_etag, document);
            if (fate == Fate.Done && isStored)
            {
                core.Adopt(document);
                if (isOurs)
                    activation.Etag = _etag;
                return;
            }
            core.Doubt();
        }

        private bool TryStore(int etag, OutboxDocument document)
        {
            if (etag != _etag)
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
                    activation.Core.Answer(run, ErrorCode.RequestTimedOut, "");
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
            builder.SetProducer(run.ProducerId, OutboxProducers.Epoch, OutboxProducers.SequenceOf(run.Messages[0].Sequence));
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

        private Guid NewStamp()
        {
            var bytes = new byte[16];
            _random.NextBytes(bytes);
            return new Guid(bytes);
        }

        private static OutboxDocument? Copy(OutboxDocument? document) => document is null ? null : new OutboxDocument
        {
            ProducerId = document.ProducerId,
            LastSequence = document.LastSequence,
            Stamp = document.Stamp,
            Pending = document.Pending.ConvertAll(static message => message.Copy()),
            Parked = document.Parked.ConvertAll(static message => message.Copy()),
        };

        private static string Name(OutboxMessage message) => System.Text.Encoding.UTF8.GetString(message.Value!);

        private static void Require(bool condition, string what)
        {
            if (!condition)
                throw new InvalidOperationException(what);
        }
    }
}
