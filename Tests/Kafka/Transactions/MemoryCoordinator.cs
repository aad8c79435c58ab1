using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Producers;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>The coordinator of a broker alone, in memory, for clients that do as the protocol says: it ends a transaction in all of its
/// partitions before it answers. Groups take no part. Thread safe.</summary>
internal sealed class MemoryCoordinator(LocalBroker broker) : ITransactionCoordinator
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Dictionary<string, Entry> _entries = [];
    private readonly List<ITransactionRequest> _requests = [];

    /// <summary>What it was asked so far.</summary>
    public IReadOnlyList<ITransactionRequest> Requests
    {
        get
        {
            lock (_requests)
                return [.. _requests];
        }
    }

    public async ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        lock (_requests)
            _requests.Add(request);
        await _turn.WaitAsync(cancellationToken);
        try
        {
            return request.Answer(request switch
            {
                InitTransactions init => await InitAsync(init),
                AddToTransaction add => Add(add),
                EndTransaction end => await EndAsync(end),
                DescribeTransaction describe => Describe(describe),
                _ => throw new NotSupportedException(request.GetType().Name),
            });
        }
        finally
        {
            _turn.Release();
        }
    }

    public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken = default) => new(0);

    public async ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken = default)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            return [.. _entries.Select(static one =>
                new TransactionListing(one.Key, one.Value.Producer.ProducerId, one.Value.Phase, one.Value.StartedAt))];
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<InitTransactionsResult> InitAsync(InitTransactions init)
    {
        if (!_entries.TryGetValue(init.TransactionalId, out var entry))
        {
            _entries.Add(init.TransactionalId, new Entry { Producer = await broker.InitProducerIdAsync(), Timeout = init.Timeout });
            return new InitTransactionsResult(ErrorCode.None, _entries[init.TransactionalId].Producer);
        }
        if (entry.Phase == TransactionPhase.Ongoing)
            await EndAsync(entry, isCommit: false, raisesEpoch: true);
        entry.Producer = Next(entry.Producer);
        return new InitTransactionsResult(ErrorCode.None, entry.Producer);
    }

    private object Add(AddToTransaction add)
    {
        if (Refuse(add.TransactionalId, add.Producer, out var entry) is not ErrorCode.None and var refusal)
            return ((ITransactionRequest)add).Refuse(refusal, "It is another producer's.");
        if (add.VerifyOnly)
            return entry.Phase == TransactionPhase.Ongoing && add.Partitions.All(entry.Partitions.Contains)
                ? new AddToTransactionResult(ErrorCode.None, entry.Number)
                : new AddToTransactionResult(ErrorCode.TransactionAbortable, 0, "A partition is not in the transaction.");
        if (entry.Phase != TransactionPhase.Ongoing)
            (entry.Phase, entry.Number, entry.StartedAt) = (TransactionPhase.Ongoing, entry.Number + 1, DateTimeOffset.UtcNow);
        entry.Partitions.UnionWith(add.Partitions);
        return new AddToTransactionResult(ErrorCode.None, entry.Number);
    }

    private async Task<object> EndAsync(EndTransaction end)
    {
        if (Refuse(end.TransactionalId, end.Producer, out var entry) is not ErrorCode.None and var refusal)
            return ((ITransactionRequest)end).Refuse(refusal, "It is another producer's.");
        if (entry.Phase != TransactionPhase.Ongoing)
            return ((ITransactionRequest)end).Refuse(ErrorCode.InvalidTxnState, "Nothing is open.");
        await EndAsync(entry, end.IsCommit, end.RaisesEpoch);
        return new EndTransactionResult(ErrorCode.None, entry.Producer);
    }

    private async Task EndAsync(Entry entry, bool isCommit, bool raisesEpoch)
    {
        if (raisesEpoch)
            entry.Producer = Next(entry.Producer);
        var marker = new TransactionMarker(isCommit, 1, entry.Number);
        foreach (var one in entry.Partitions)
        {
            Assert.True(broker.TryGet(new TopicPartition(one.Topic, one.Partition), out var partition));
            var written = await partition.Appends.AppendMarkerAsync(entry.Producer.ProducerId, entry.Producer.ProducerEpoch, marker,
                raisesEpoch);
            Assert.Equal(ErrorCode.None, written.Error);
        }
        entry.Partitions.Clear();
        (entry.Phase, entry.StartedAt) = (isCommit ? TransactionPhase.CompleteCommit : TransactionPhase.CompleteAbort, null);
    }

    private object Describe(DescribeTransaction describe) => _entries.TryGetValue(describe.TransactionalId, out var entry)
        ? new TransactionDescription
        {
            TransactionalId = describe.TransactionalId,
            Coordinator = 0,
            Phase = entry.Phase,
            Producer = entry.Producer,
            Timeout = entry.Timeout,
            StartedAt = entry.StartedAt,
            Number = entry.Number,
            Partitions = [.. entry.Partitions],
        }
        : ((ITransactionRequest)describe).Refuse(ErrorCode.TransactionalIdNotFound, "No producer has it.");

    private ErrorCode Refuse(string transactionalId, ProducerIdentity producer, out Entry entry)
    {
        entry = _entries.GetValueOrDefault(transactionalId)!;
        return entry is null || entry.Producer.ProducerId != producer.ProducerId ? ErrorCode.InvalidProducerIdMapping
            : entry.Producer != producer ? ErrorCode.ProducerFenced : ErrorCode.None;
    }

    private static ProducerIdentity Next(ProducerIdentity producer) => producer with
    {
        ProducerEpoch = checked((short)(producer.ProducerEpoch + 1)),
    };

    private sealed class Entry
    {
        public required ProducerIdentity Producer { get; set; }

        public required TimeSpan Timeout { get; init; }

        public TransactionPhase Phase { get; set; } = TransactionPhase.Empty;

        public long Number { get; set; }

        public DateTimeOffset? StartedAt { get; set; }

        public HashSet<TransactionPartition> Partitions { get; } = [];
    }
}
