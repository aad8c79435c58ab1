using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>A group's committed offsets, and those of open transactions by their producers. What it has answered is durable; it may be away
/// for a while.</summary>
internal sealed class SimulatedGroup(TransactionSimulation simulation, string id)
{
    private readonly Dictionary<int, Entry> _committed = [];
    private readonly Dictionary<long, Pending> _pending = [];
    private readonly Dictionary<long, Ended> _ended = [];
    private long _order;
    private long _awayUntil;

    public string Id { get; } = id;
    public bool HasPending => _pending.Count > 0;
    /// <summary>All commits that were taken, in their order.</summary>
    public List<(int Partition, Entry Entry)> Taken { get; } = [];
    /// <summary>The committed offsets.</summary>
    public IReadOnlyDictionary<int, Entry> Committed => _committed;

    private bool IsAway => simulation.Now < _awayUntil;

    public void Stop(int milliseconds) => _awayUntil = simulation.Now + milliseconds;

    public void CommitPlainly(int partition, int offset)
    {
        if (!IsAway)
            _committed[partition] = Take(partition, new Entry(offset, ++_order, null));
    }

    /// <summary>Commits an offset in a transaction.</summary>
    public void Commit(ClientTransaction transaction, long number, int partition, int offset, Action<ErrorCode> answered)
    {
        if (IsAway)
        {
            answered(ErrorCode.NotCoordinator);
            return;
        }
        var producer = transaction.Producer;
        var ended = _ended.GetValueOrDefault(producer.ProducerId);
        if (producer.ProducerEpoch < ended.Epoch || simulation.Participants.HasEnded(number, ended.Number))
        {
            simulation.Figures.TooLate++;
            answered(producer.ProducerEpoch < ended.Epoch ? ErrorCode.InvalidProducerEpoch : ErrorCode.TransactionAbortable);
            return;
        }
        if (simulation.IsTraced)
            simulation.Tell($"{this}: {transaction} commits {partition}={offset} in {TransactionSimulation.Short(number)}");
        if (!_pending.TryGetValue(producer.ProducerId, out var pending))
            _pending.Add(producer.ProducerId, pending = new Pending(number));
        Verdict.Require(pending.Number == number, $"4: {this} has offsets of transaction {pending.Number}, and gets some of {number}");
        simulation.Outcomes.OnOffset(this, transaction, number,
            isRepeated: pending.Offsets.TryGetValue(partition, out var entry) && entry.Offset == offset);
        pending.Offsets[partition] = Take(partition, new Entry(offset, ++_order, transaction));
        simulation.Figures.Offsets++;
        answered(ErrorCode.None);
    }

    /// <summary>Ends a transaction.</summary>
    public void End(TransactionEnd end, Action<ParticipantOutcome> answered)
    {
        if (IsAway)
        {
            answered(ParticipantOutcome.Retry);
            return;
        }
        var known = _ended.GetValueOrDefault(end.Producer.ProducerId);
        if (end.Number <= known.Number)
        {
            simulation.Figures.Repeated++;
            answered(ParticipantOutcome.Done);
            return;
        }
        if (end.CoordinatorEpoch < known.CoordinatorEpoch)
        {
            answered(simulation.Participants.OutcomeOf(ErrorCode.TransactionCoordinatorFenced));
            return;
        }
        simulation.Outcomes.OnEnd(end, $"{this}");
        _ended[end.Producer.ProducerId] = new Ended(end.Number, Math.Max(known.Epoch, end.Producer.ProducerEpoch), end.CoordinatorEpoch);
        if (_pending.Remove(end.Producer.ProducerId, out var pending))
        {
            Verdict.Require(pending.Number == end.Number,
                $"3: transaction {end.Number} ends in {this}, which has offsets of {pending.Number}");
            foreach (var (partition, entry) in pending.Offsets)
            {
                if (end.IsCommit && simulation.Participants.Replaces(entry.Order, _committed.GetValueOrDefault(partition).Order))
                    _committed[partition] = entry;
            }
        }
        answered(ParticipantOutcome.Done);
    }

    public override string ToString() => Id;

    private Entry Take(int partition, Entry entry)
    {
        Taken.Add((partition, entry));
        return entry;
    }

    /// <summary>An offset.</summary>
    /// <param name="Offset">Unique in the run.</param>
    /// <param name="Order">Rises with each commit that is taken.</param>
    /// <param name="Transaction">Its transaction; null for none.</param>
    public readonly record struct Entry(int Offset, long Order, ClientTransaction? Transaction);

    private sealed record Pending(long Number)
    {
        public Dictionary<int, Entry> Offsets { get; } = [];
    }

    private readonly record struct Ended(long Number, short Epoch, int CoordinatorEpoch);
}
