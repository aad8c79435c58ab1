using OrleansMq.Api;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>A partition's leader of one epoch: the shipped state of producers and transactions over the partition's log.</summary>
internal sealed class SimulatedLeader
{
    private const short Transactional = 0x10;
    private const short Control = 0x20;

    private readonly TransactionSimulation _simulation;
    private readonly SimulatedPartition _partition;
    private readonly List<LogEntry> _log;
    private readonly int _epoch;
    private readonly ProducerStateManager _producers = new();
    private readonly LogTransactions _transactions = new();
    // By producer, the number of its open transaction.
    private readonly Dictionary<long, long> _open = [];
    // By producer, what the markers in the log forbid later batches.
    private readonly Dictionary<long, (short Epoch, long Number)> _marked = [];
    private readonly List<AbortedTransaction> _aborted = [];
    // By the offset of a record, that of the marker of its transaction.
    private readonly Dictionary<int, int> _decided = [];
    private readonly List<(long Offset, Action Answer)> _waiting = [];

    public SimulatedLeader(TransactionSimulation simulation, SimulatedPartition partition, List<LogEntry> log, int epoch)
    {
        (_simulation, _partition, _log, _epoch) = (simulation, partition, log, epoch);
        for (var offset = 0; offset < log.Count; offset++)
            Apply(offset, log[offset]);
        Replicate();
    }

    public long HighWatermark { get; private set; }
    public long StableOffset { get; private set; }

    /// <summary>Whether a transaction of a producer is open here.</summary>
    public bool IsOpen(ProducerIdentity producer) => _transactions.IsOpen(producer.ProducerId, producer.ProducerEpoch);

    /// <summary>The transactions that have been open for a while.</summary>
    public IEnumerable<OpenTransaction> FindOld(int milliseconds) =>
        _transactions.Open().Where(open => _log[(int)open.First].Time + milliseconds <= _simulation.Now);

    public bool IsOpenFrom(OpenTransaction open) =>
        _producers.TryGet(open.ProducerId, out var known) && known.CurrentTransactionFirstOffset == open.First;

    /// <summary>Whether the marker of a record's transaction is in the log for good.</summary>
    public bool IsDecided(int offset) => _decided.TryGetValue(offset, out var marker) && marker < HighWatermark;

    /// <summary>Whether a reader leaves a record out.</summary>
    public bool IsAborted(int offset, long producerId) =>
        _aborted.Exists(aborted => aborted.ProducerId == producerId && aborted.First <= offset && offset <= aborted.Last);

    public void ExpireProducers(int milliseconds) => _simulation.Figures.ExpiredProducers +=
        _producers.RemoveExpired(_simulation.Now, TimeSpan.FromMilliseconds(milliseconds));

    public void Append(ProducedRecord record, in VerifiedTransaction verified, Action<ErrorCode> answered)
    {
        var producer = record.Transaction.Producer;
        var decision = _simulation.Participants.CheckBatch(_producers, HeaderOf(producer, record.Sequence, Transactional), verified);
        switch (decision.Outcome)
        {
            case ProducerOutcome.Accept:
                var number = _open.TryGetValue(producer.ProducerId, out var open) ? open : verified.Number;
                CheckBatch(record, number);
                _simulation.Outcomes.OnRecord(_partition, record, number);
                Add(new LogEntry(producer, number, _simulation.Now, record, null));
                Await(_log.Count - 1, () => answered(ErrorCode.None));
                break;
            case ProducerOutcome.Duplicate:
                Await(decision.LastOffset, () => answered(ErrorCode.None));
                break;
            default:
                if (decision.Outcome == ProducerOutcome.NotInTransaction && verified.Number > 0)
                    _simulation.Figures.TooLate++;
                if (_simulation.IsTraced)
                    _simulation.Tell($"{_partition} refuses {record.Value} of {record.Transaction}: {decision.Outcome}");
                answered(decision.ErrorCode);
                break;
        }
    }

    public void End(in TransactionEnd end, Action<ParticipantOutcome> answered)
    {
        if (!_producers.TryGet(end.Producer.ProducerId, out var known))
            known = new ProducerState();
        var decision = _simulation.Participants.CheckMarker(known, end.Producer.ProducerEpoch, end.Marker, end.RaisesEpoch, _log.Count);
        switch (decision.Outcome)
        {
            case ProducerOutcome.Accept:
                _simulation.Outcomes.OnEnd(end, $"{_partition}");
                Verdict.Require(!_open.TryGetValue(end.Producer.ProducerId, out var open) || open == end.Number,
                    $"3: the marker of transaction {end.Number} ends {open} in {_partition}");
                Add(new LogEntry(end.Producer, end.Number, _simulation.Now, null, end.Marker));
                Await(_log.Count - 1, () => answered(ParticipantOutcome.Done));
                break;
            case ProducerOutcome.Duplicate:
                _simulation.Figures.Repeated++;
                Await(decision.LastOffset, () => answered(ParticipantOutcome.Done));
                break;
            default:
                if (_simulation.IsTraced)
                    _simulation.Tell($"{_partition} refuses the marker of {TransactionSimulation.Short(end.Number)}: {decision.Outcome}");
                answered(_simulation.Participants.OutcomeOf(decision.ErrorCode));
                break;
        }
    }

    public override string ToString() => $"leader {_epoch}, end {_log.Count}, high watermark {HighWatermark}, stable {StableOffset}";

    private void CheckBatch(ProducedRecord record, long number)
    {
        var producer = record.Transaction.Producer;
        var (epoch, last) = _marked.GetValueOrDefault(producer.ProducerId);
        Verdict.Require(producer.ProducerEpoch >= epoch,
            $"5: {_partition} takes a batch of {producer} after a marker of epoch {epoch}");
        Verdict.Require(number > last, $"5: {_partition} takes a batch of transaction {number} after a marker of {last}");
    }

    private void Add(LogEntry entry)
    {
        if (_simulation.IsTraced)
            _simulation.Tell($"{_partition} <- {_log.Count}: {Describe(entry)}");
        _log.Add(entry);
        Apply(_log.Count - 1, entry);
        Replicate();
        var scenario = _simulation.Scenario;
        if (!_simulation.Quiet && _simulation.Next(1_000) < scenario.ElectionPerMille)
            _simulation.After(_simulation.Next(scenario.ReplicationMs), () => _partition.ChangeLeader(_simulation.Next(1, 200)));
    }

    private static string Describe(LogEntry entry) => entry.Record is { } record
        ? $"{record.Value} of {record.Transaction}, sequence {record.Sequence} of {entry.Producer}, in "
            + $"{TransactionSimulation.Short(entry.Number)}"
        : $"{entry.Marker} of {entry.Producer}, {TransactionSimulation.Short(entry.Number)}";

    // The same for what is appended, and for what a new leader finds.
    private void Apply(int offset, LogEntry entry)
    {
        var producerId = entry.Producer.ProducerId;
        var header = HeaderOf(entry.Producer, entry.Record?.Sequence ?? -1,
            (short)(entry.Record is null ? Transactional | Control : Transactional)) with { BaseOffset = offset };
        var change = _producers.Apply(header, entry.Time, entry.Marker);
        _transactions.Apply(change);
        if (entry.Record is not null)
        {
            _open[producerId] = entry.Number;
            return;
        }
        _open.Remove(producerId);
        var (epoch, number) = _marked.GetValueOrDefault(producerId);
        _marked[producerId] = (Math.Max(epoch, entry.Producer.ProducerEpoch), Math.Max(number, entry.Number));
        if (_transactions.TryTakeAborted(offset, out var aborted))
            _aborted.Add(aborted);
        if (change.Step == TransactionStep.None)
            return;
        for (var at = (int)change.First; at < offset; at++)
        {
            if (_log[at].Producer.ProducerId == producerId)
                _decided.TryAdd(at, offset);
        }
    }

    private RecordBatchHeader HeaderOf(ProducerIdentity producer, int sequence, short attributes) => new(_log.Count, 0, _epoch, 2, 0,
        attributes, 0, _simulation.Now, _simulation.Now, producer.ProducerId, producer.ProducerEpoch, sequence, 1);

    private void Await(long offset, Action answer)
    {
        if (_simulation.Participants.IsInForce(offset, HighWatermark))
            answer();
        else
            _waiting.Add((offset, answer));
    }

    private void Replicate()
    {
        var end = _log.Count;
        var delay = _simulation.Next(!_simulation.Quiet && _simulation.Chance(3) ? 400 : _simulation.Scenario.ReplicationMs);
        _simulation.After(delay, () =>
        {
            if (_partition.Leader == this)
                Advance(end);
        });
    }

    private void Advance(long highWatermark)
    {
        if (highWatermark <= HighWatermark)
            return;
        HighWatermark = highWatermark;
        _partition.OnAdvanced(highWatermark);
        _transactions.Advance(highWatermark);
        var stable = _simulation.Participants.StableOffset(_transactions, highWatermark);
        Verdict.Require(stable >= StableOffset, $"7: the last stable offset of {_partition} goes back from {StableOffset} to {stable}");
        _partition.OnStable(this, StableOffset, stable);
        StableOffset = stable;
        foreach (var (_, answer) in _waiting.FindAll(one => one.Offset < highWatermark))
            answer();
        _waiting.RemoveAll(one => one.Offset < highWatermark);
    }
}
