using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// One transaction at the broker, as the target of its records. It adds a partition before the partition's first batch, several in one
/// request. Each batch carries the transaction's number, so that a late one never joins another transaction.
/// <para>The first failure fails the transaction: from then on no batch is sent, and it can only be aborted.</para>
/// </summary>
internal sealed class BrokerTransaction(TransactionCoordination coordination, ProducerIdentity identity) : IProduceTarget
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Guid> _topicIds = new(StringComparer.Ordinal);
    private readonly HashSet<TransactionPartition> _partitions = [];
    private readonly HashSet<string> _groups = new(StringComparer.Ordinal);
    private Addition? _next;
    // The answer of the last request; where there is a next one, of that.
    private Task<AddToTransactionResult>? _last;
    private long _number;
    private bool _isClosed;
    private TransactionException? _failure;

    /// <inheritdoc/>
    public bool IsTransactional => true;

    /// <summary>The producer's identity in this transaction.</summary>
    public ProducerIdentity Identity => identity;

    /// <summary>Whether the coordinator may have begun it.</summary>
    public bool MayBeOpen { get; private set; }

    /// <summary>Why it can only be aborted; null: it can be committed.</summary>
    public TransactionException? Failure
    {
        get
        {
            lock (_gate)
                return _failure;
        }
    }

    /// <summary>Fails the transaction, unless it has failed.</summary>
    public void Fail(TransactionException failure)
    {
        lock (_gate)
            _failure ??= failure;
    }

    /// <summary>Sends nothing from now on.</summary>
    public void Close()
    {
        lock (_gate)
            _isClosed = true;
    }

    /// <inheritdoc/>
    public void OnFailed(ProduceException failure) => Fail(new TransactionException(failure.Code, coordination.TransactionalId,
        $"A record was not delivered, so it cannot be committed. Abort it. {failure.Message}", failure));

    /// <inheritdoc/>
    public int BatchSizeOf(string topic) => coordination.BatchSizes.GetValueOrDefault(topic, int.MaxValue);

    /// <inheritdoc/>
    /// <remarks>For the transactions to come: each has queues of its own.</remarks>
    public void LearnBatchSize(string topic, int size) =>
        coordination.BatchSizes.AddOrUpdate(topic, size, (_, known) => Math.Min(known, size));

    /// <inheritdoc/>
    public async ValueTask<TopicListing> GetTopicAsync(string topic)
    {
        var listing = await coordination.Broker.GetTopicAsync(topic).ConfigureAwait(false);
        lock (_gate)
            _topicIds[topic] = listing.TopicId;
        return listing;
    }

    /// <inheritdoc/>
    /// <remarks>A partition that asks again was refused, or leaves a gap: nothing more is sent to it.</remarks>
    public ValueTask<ProducerIdentity> GetIdentityAsync() => Refusal(identity) is { } refusal
        ? ValueTask.FromException<ProducerIdentity>(new BrokerException(refusal.Error, refusal.Message ?? refusal.Error.ToString()))
        : new(identity);

    /// <inheritdoc/>
    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, ProducerIdentity? producer, Acks acks)
    {
        if (Refusal(producer) is { } refused)
            return refused;
        TransactionPartition added;
        lock (_gate)
            added = new TransactionPartition(partition.Topic, partition.Partition, _topicIds[partition.Topic]);
        var answer = await AddAsync(added).ConfigureAwait(false);
        if (answer.Error != ErrorCode.None)
            return ProduceResult.Failed(ErrorCode.TransactionAbortable, answer.Message ?? answer.Error.ToString());
        // It may have ended or failed while the coordinator was asked.
        if (Refusal(producer) is { } late)
            return late;
        var produced = await coordination.Broker.ProduceInTransactionAsync(partition, batch,
            new BatchTransaction(coordination.TransactionalId, answer.Number) { TopicId = added.TopicId }).ConfigureAwait(false);
        if (produced.Error == ErrorCode.UnknownTopicId)
        {
            Fail(new TransactionException(produced.Error, coordination.TransactionalId, $"{partition}: the topic was deleted, or created "
                + $"again, after it was added. Abort the transaction. {produced.Message}"));
            return ProduceResult.Failed(ErrorCode.TransactionAbortable, produced.Message ?? produced.Error.ToString());
        }
        if (produced.Error is not (ErrorCode.InvalidProducerEpoch or ErrorCode.UnknownProducerId))
            return produced;
        // Under another epoch, as outside of transactions, the batch would not belong to this one.
        Fail(new TransactionException(produced.Error, coordination.TransactionalId,
            $"{partition}: it has ended there, by its timeout, by an operator or by another instance. Abort it. {produced.Message}"));
        return ProduceResult.Failed(ErrorCode.TransactionAbortable, produced.Message ?? produced.Error.ToString());
    }

    /// <summary>Adds a group.</summary>
    /// <returns>The number of the transaction.</returns>
    /// <exception cref="TransactionException">It was refused, and the transaction has failed.</exception>
    public async Task<long> AddGroupAsync(string group, CancellationToken cancellationToken)
    {
        Task<AddToTransactionResult> adding;
        lock (_gate)
        {
            if (_failure is not null)
                throw _failure;
            if (_groups.Contains(group))
                return _number;
            adding = Next(addition => addition.Groups.Add(group));
        }
        var answer = await adding.WaitAsync(cancellationToken).ConfigureAwait(false);
        return answer.Error == ErrorCode.None ? answer.Number
            : throw Failure ?? coordination.ExceptionOf(answer.Error, answer.Message, $"Group '{group}' was not added");
    }

    private ValueTask<AddToTransactionResult> AddAsync(TransactionPartition partition)
    {
        lock (_gate)
        {
            return _partitions.Contains(partition)
                ? new(new AddToTransactionResult(ErrorCode.None, _number))
                : new(Next(addition => addition.Partitions.Add(partition)));
        }
    }

    // One request is on its way at a time; what comes meanwhile is in the next.
    private Task<AddToTransactionResult> Next(Action<Addition> add)
    {
        if (_next is null)
        {
            _next = new Addition();
            _last = SendAsync(_last ?? Task.CompletedTask, _next);
        }
        add(_next);
        return _last!;
    }

    private async Task<AddToTransactionResult> SendAsync(Task before, Addition addition)
    {
        // Never on the caller's stack, which holds the lock. The failure of the one before belongs to its own callers.
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            _next = null;
            if (_isClosed || _failure is not null)
                return new AddToTransactionResult(ErrorCode.TransactionAbortable, 0, _failure?.Message ?? Ended);
            MayBeOpen = true;
        }
        AddToTransactionResult answer;
        try
        {
            answer = await coordination.AddAsync(identity, [.. addition.Partitions], [.. addition.Groups], CancellationToken.None)
                .ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Fail(new TransactionException(ErrorCode.UnknownServerError, coordination.TransactionalId,
                $"The coordinator cannot be asked: {e.Message}", e));
            throw;
        }
        lock (_gate)
        {
            if (answer.Error == ErrorCode.None)
            {
                _number = answer.Number;
                _partitions.UnionWith(addition.Partitions);
                _groups.UnionWith(addition.Groups);
                return answer;
            }
        }
        Fail(coordination.ExceptionOf(answer.Error, answer.Message, "Its partitions and groups were not added"));
        return answer;
    }

    private ProduceResult? Refusal(ProducerIdentity? producer)
    {
        lock (_gate)
        {
            if (_failure is not null)
                return ProduceResult.Failed(ErrorCode.TransactionAbortable, $"The transaction has failed before: {_failure.Message}");
            if (_isClosed)
                return ProduceResult.Failed(ErrorCode.TransactionAbortable, Ended);
        }
        return producer == identity ? null : ProduceResult.Failed(ErrorCode.TransactionAbortable,
            "A batch before it in the partition was not delivered, so the transaction cannot be committed.");
    }

    private const string Ended = "The transaction has ended: send the record in the next one.";

    /// <summary>Partitions and groups that are added by one request.</summary>
    private sealed class Addition
    {
        public HashSet<TransactionPartition> Partitions { get; } = [];
        public HashSet<string> Groups { get; } = new(StringComparer.Ordinal);
    }
}
