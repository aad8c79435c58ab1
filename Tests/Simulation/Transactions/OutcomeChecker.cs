using OrleansMq.Api;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>Compares what became of each transaction with what its document says, what its client was told, and what readers see.</summary>
internal sealed class OutcomeChecker(TransactionSimulation simulation)
{
    private readonly Dictionary<(long ProducerId, long Number), Known> _numbers = [];
    private readonly Dictionary<long, string> _owners = [];
    private readonly Dictionary<ProducerIdentity, int> _identities = [];
    private readonly Dictionary<string, ProducerIdentity> _last = [];
    // By transactional id, the place of the last identity that InitProducerId has answered.
    private readonly Dictionary<string, int> _begun = [];
    private readonly List<ClientTransaction> _transactions = [];

    public void OnBegan(ClientTransaction transaction) => _transactions.Add(transaction);

    // --- The document ---

    public void OnStored(string id, TransactionState? before, TransactionState? after)
    {
        if (after is null)
        {
            simulation.Figures.ExpiredIds++;
            Verdict.Require(before is not { Phase: TransactionPhase.Ongoing }, "10: a transactional id is forgotten with a transaction");
            return;
        }
        OnProducer(id, after.ProducerId);
        if (after.NextProducerId >= 0)
            OnProducer(id, after.NextProducerId);
        OnIdentity(id, after.NextProducer);
        if (after.Phase == TransactionPhase.Ongoing)
            OnOngoing(after, Find(after));
        else if (after.IsEnding)
            OnDecided(id, after, Find(after));
    }

    private void OnProducer(string id, long producerId)
    {
        if (!_owners.TryAdd(producerId, id))
            Verdict.Require(_owners[producerId] == id, $"9: producer id {producerId} is given to {_owners[producerId]} and {id}");
    }

    private void OnIdentity(string id, ProducerIdentity identity)
    {
        if (_last.TryGetValue(id, out var last) && last == identity)
            return;
        if (last.ProducerId != identity.ProducerId && _last.ContainsKey(id))
            simulation.Figures.Exhausted++;
        _last[id] = identity;
        Verdict.Require(identity.ProducerEpoch is >= 0 and < short.MaxValue, $"9: {id} gets {identity}, an epoch for markers alone");
        Verdict.Require(_identities.TryAdd(identity, _identities.Count), $"9: {identity} is given twice");
    }

    /// <summary>The transactional id of a producer.</summary>
    public string OwnerOf(long producerId) => _owners[producerId];

    private Known Find(TransactionState state)
    {
        if (!_numbers.TryGetValue((state.ProducerId, state.Number), out var known))
            _numbers.Add((state.ProducerId, state.Number), known = new Known(state));
        return known;
    }

    private static void OnOngoing(TransactionState state, Known known)
    {
        Verdict.Require(known.IsCommitted is null, $"3: transaction {state.Number} is open after it was decided");
        Verdict.Require(known.Producer == state.Producer, $"3: transaction {state.Number} is of {known.Producer} and {state.Producer}");
        known.Partitions.UnionWith(state.Partitions);
        known.Groups.UnionWith(state.Groups);
    }

    private void OnDecided(string id, TransactionState state, Known known)
    {
        var isCommitted = state.Phase == TransactionPhase.PrepareCommit;
        Verdict.Require(known.IsCommitted is null || known.IsCommitted == isCommitted,
            $"3: transaction {state.Number} is committed and aborted");
        Verdict.Require(known.Entered.All(state.Partitions.Contains) && known.EnteredGroups.All(state.Groups.Contains),
            $"4: transaction {state.Number} is decided without a partition or group that has data of it");
        if (known.IsCommitted is not null)
            return;
        known.IsCommitted = isCommitted;
        known.Partitions.UnionWith(state.Partitions);
        known.Groups.UnionWith(state.Groups);
        if (!isCommitted)
        {
            simulation.Figures.Aborts++;
            return;
        }
        simulation.Figures.Commits++;
        Verdict.Require(known.Transaction is not { WasToCommit: false },
            $"1: transaction {state.Number} is committed, and {known.Transaction} was not to be");
        var identity = state.RaisesEpoch ? state.Producer with { ProducerEpoch = (short)(state.Epoch - 1) } : state.Producer;
        Verdict.Require(_identities.TryGetValue(identity, out var place) && place >= _begun.GetValueOrDefault(id),
            $"6: transaction {state.Number} of {identity} is committed after a newer instance has begun");
    }

    /// <summary>InitProducerId has answered.</summary>
    public void OnInitialized(string id, ProducerIdentity identity) => _begun[id] = Math.Max(_begun.GetValueOrDefault(id),
        _identities.TryGetValue(identity, out var place) ? place : _identities[_last[id]]);

    /// <summary>AddPartitionsToTxn has answered with a number.</summary>
    /// <param name="request">The request.</param>
    /// <param name="number">The number.</param>
    /// <param name="transaction">The client's transaction that the request is of; null: it may be late.</param>
    public void OnAdded(AddToTransaction request, long number, ClientTransaction? transaction)
    {
        Verdict.Require(_numbers.TryGetValue((request.Producer.ProducerId, number), out var known) && known.Producer == request.Producer
            && request.Partitions.All(known.Partitions.Contains) && request.Groups.All(known.Groups.Contains),
            $"4: {request.Producer} is told that what it adds is in transaction {number}, which is not stored");
        if (transaction is null)
            return;
        if (request.VerifyOnly)
        {
            // A coordinator that was replaced knows an earlier number, which the group refuses.
            Verdict.Require(number <= transaction.AddedTo,
                $"1: {transaction} adds to transaction {transaction.AddedTo}, and is verified as a part of {number}");
            return;
        }
        Verdict.Require(transaction.AddedTo == 0 || transaction.AddedTo == number,
            $"1: {transaction} adds to transactions {transaction.AddedTo} and {number}");
        Verdict.Require(known!.AddedBy is null || known.AddedBy == transaction,
            $"1: {known.AddedBy} and {transaction} add to transaction {number}");
        (transaction.AddedTo, known.AddedBy) = (number, transaction);
    }

    // --- Partitions and groups ---

    /// <summary>A record enters a partition.</summary>
    public void OnRecord(SimulatedPartition partition, ProducedRecord record, long number)
    {
        var known = OnData(record.Transaction, number, $"{partition}", isRepeated: false);
        Verdict.Require(known.Partitions.Contains(partition.InTransaction),
            $"4: {record.Transaction} enters {partition}, which transaction {number} does not list");
        known.Entered.Add(partition.InTransaction);
    }

    /// <summary>An offset enters a group.</summary>
    public void OnOffset(SimulatedGroup group, ClientTransaction transaction, long number, bool isRepeated)
    {
        var known = OnData(transaction, number, $"{group}", isRepeated);
        Verdict.Require(known.Groups.Contains(group.Id), $"4: {transaction} enters {group}, which transaction {number} does not list");
        known.EnteredGroups.Add(group.Id);
    }

    private Known OnData(ClientTransaction transaction, long number, string where, bool isRepeated)
    {
        Verdict.Require(_numbers.TryGetValue((transaction.Producer.ProducerId, number), out var known),
            $"4: {transaction} enters {where} in transaction {number}, which no document has");
        Verdict.Require(isRepeated || known!.IsCommitted != true, $"1: {transaction} enters {where} after it was committed");
        Verdict.Require(transaction.Number == 0 || transaction.Number == number,
            $"1: {transaction} enters transactions {transaction.Number} and {number}");
        Verdict.Require(known!.Transaction is null || known.Transaction == transaction,
            $"1: {known.Transaction} and {transaction} are in transaction {number}");
        (known.Transaction, transaction.Number) = (transaction, number);
        return known;
    }

    /// <summary>A marker enters a partition, or a group ends a transaction.</summary>
    public void OnEnd(in TransactionEnd end, string where) => Verdict.Require(
        _numbers.TryGetValue((end.Producer.ProducerId, end.Number), out var known) && known.IsCommitted == end.IsCommit,
        $"3: {where} is told that transaction {end.Number} is {(end.IsCommit ? "committed" : "aborted")}, which is not stored");

    // --- The end ---

    /// <summary>Compares what readers see.</summary>
    public void CheckEnd(IReadOnlyList<SimulatedPartition> partitions, IReadOnlyList<SimulatedGroup> groups)
    {
        var visible = new HashSet<int>();
        foreach (var partition in partitions)
        {
            for (var offset = 0; offset < partition.Log.Count; offset++)
            {
                if (partition.Log[offset].Record is not { } record)
                    continue;
                Verdict.Require(partition.IsVisible(offset) == IsCommitted(record.Transaction),
                    $"1: {record.Transaction} is torn: {partition} shows {offset} as committed: {partition.IsVisible(offset)}");
                if (partition.IsVisible(offset))
                    Verdict.Require(visible.Add(record.Value), $"1: {record.Value} of {record.Transaction} is in {partition} twice");
            }
        }
        foreach (var transaction in _transactions)
            Check(transaction, visible);
        foreach (var group in groups)
            Check(group);
    }

    private bool IsCommitted(ClientTransaction transaction) =>
        transaction.Number > 0 && _numbers[(transaction.Producer.ProducerId, transaction.Number)].IsCommitted == true;

    private void Check(ClientTransaction transaction, HashSet<int> visible)
    {
        var isCommitted = IsCommitted(transaction);
        var hasData = transaction.Number > 0;
        Verdict.Require(!hasData || transaction.Outcome != ClientOutcome.Committed || isCommitted,
            $"2: {transaction} is acknowledged as committed, and is not");
        Verdict.Require(!isCommitted || transaction.Outcome is ClientOutcome.Committed or ClientOutcome.Unknown,
            $"2: {transaction} is acknowledged as {transaction.Outcome}, and is committed");
        if (!isCommitted)
            return;
        foreach (var record in transaction.Acknowledged)
            Verdict.Require(record.Partition.IsDeleted || visible.Contains(record.Value),
                $"1: {transaction} is torn: {record.Value} is missing in {record.Partition}");
    }

    private void Check(SimulatedGroup group)
    {
        for (var partition = 0; partition < SimulatedGroup.Partitions; partition++)
        {
            var last = group.Taken.FindLast(one => one.Partition == partition
                && (one.Transaction is not { } transaction || IsCommitted(transaction)));
            Verdict.Require((group.Find(partition) ?? 0) == last.Offset,
                $"11: {group} has {group.Find(partition)} of partition {partition}, expected is {last.Offset} of {last.Transaction}");
        }
    }

    /// <summary>A transaction by its number.</summary>
    private sealed class Known(TransactionState state)
    {
        /// <summary>The producer, with the epoch of the batches.</summary>
        public ProducerIdentity Producer { get; } = state is { IsEnding: true, RaisesEpoch: true }
            ? state.Producer with { ProducerEpoch = (short)(state.Epoch - 1) } : state.Producer;
        public HashSet<TransactionPartition> Partitions { get; } = [];
        public HashSet<string> Groups { get; } = [];
        public HashSet<TransactionPartition> Entered { get; } = [];
        public HashSet<string> EnteredGroups { get; } = [];
        /// <summary>Null: it is not decided.</summary>
        public bool? IsCommitted { get; set; }
        /// <summary>The transaction of the client that has added to it; null: none.</summary>
        public ClientTransaction? AddedBy { get; set; }
        /// <summary>Whose data it has; null: none.</summary>
        public ClientTransaction? Transaction { get; set; }
    }
}
