using System.Runtime.CompilerServices;
using OrleansMq.Api;
using OrleansMq.Quotas;
using OrleansMq.Topics;

namespace OrleansMq.Access;

/// <summary>The broker API as one session may use it: authorizes each operation, and counts what it did. Thread safe.</summary>
internal sealed class SessionBroker(BrokerAccess access, SessionAccess session) : IBroker, ITopicDeletion
{
    private readonly IBroker _broker = access.Broker;

    /// <inheritdoc/>
    public IClusterAdministration Administration { get; } = new SessionAdministration(access.Broker, session);

    /// <inheritdoc/>
    public IGroupCoordinator Groups { get; } = new SessionGroups(access, session);

    /// <inheritdoc/>
    public IQueues Queues { get; } = new SessionQueues(access.Broker.Queues, session);

    /// <inheritdoc/>
    public ISchedules Schedules { get; } = new SessionSchedules(access.Broker.Schedules, session);

    /// <inheritdoc/>
    public ITransactionCoordinator Transactions { get; } = new SessionTransactions(access.Broker.Transactions, session);

    /// <inheritdoc/>
    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        session.AuthorizesCreation(topic.Name)
            ? MutateAsync(topic.Partitions, () => _broker.CreateTopicAsync(topic, cancellationToken))
            : ValueTask.FromException<TopicDescription>(Refusal(AccessOperation.Create, topic.Name));

    /// <inheritdoc/>
    public async ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Delete, ResourceType.Topic, topic);
        await DemandDeletionAsync(topic, cancellationToken).ConfigureAwait(false);
        await _broker.DeleteTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        access.Meter.Topics.Forget(topic);
    }

    /// <inheritdoc/>
    async ValueTask ITopicDeletion.DeleteTopicAsync(string topic, Guid topicId, CancellationToken cancellationToken)
    {
        session.Demand(AccessOperation.Delete, ResourceType.Topic, topic);
        await DemandDeletionAsync(topic, cancellationToken).ConfigureAwait(false);
        await _broker.DeleteTopicAsync(topic, topicId, cancellationToken).ConfigureAwait(false);
        access.Meter.Topics.Forget(topic);
    }

    /// <inheritdoc/>
    /// <remarks>Topics that the session may not describe are left out.</remarks>
    public async ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default)
    {
        var all = await _broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false);
        return all.All(MayDescribe) ? all : [.. all.Where(MayDescribe)];

        bool MayDescribe(TopicListing topic) => session.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Name);
    }

    /// <inheritdoc/>
    /// <remarks>The configuration is left out for a session that may not read it.</remarks>
    public async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Topic, topic);
        var description = await _broker.DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        return session.Allows(AccessOperation.DescribeConfigs, ResourceType.Topic, topic) ? description : description with { Configs = [] };
    }

    /// <inheritdoc/>
    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        session.Authorizes(AccessOperation.Describe, ResourceType.Topic, topic)
            ? _broker.GetTopicAsync(topic, cancellationToken)
            : ValueTask.FromException<TopicListing>(Refusal(AccessOperation.Describe, topic));

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) =>
        session.Authorizes(AccessOperation.AlterConfigs, ResourceType.Topic, topic)
            ? _broker.AlterTopicAsync(topic, configs, cancellationToken)
            : ValueTask.FromException<TopicDescription>(Refusal(AccessOperation.AlterConfigs, topic));

    /// <inheritdoc/>
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        session.Authorizes(AccessOperation.Alter, ResourceType.Topic, topic)
            ? AddPartitionsWithinQuotaAsync(topic, totalCount, cancellationToken)
            : ValueTask.FromException<TopicDescription>(Refusal(AccessOperation.Alter, topic));

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) => ProduceAsync(partition, batch, acks, transaction: null, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken = default) => ProduceAsync(partition, batch, Acks.All, transaction, cancellationToken);

    /// <summary>Appends a batch, and tells when its memory is the caller's again: before the answer, which a quota may hold back.</summary>
    /// <param name="partition">Topic and number.</param>
    /// <param name="batch">The batch. Its memory is the broker's until <paramref name="appended"/> is called, or this completes.</param>
    /// <param name="acks">When it counts as appended; of a transaction, <see cref="Acks.All"/>.</param>
    /// <param name="transaction">The batch's transaction; null for none.</param>
    /// <param name="appended">Called at most once.</param>
    internal ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, BatchTransaction? transaction,
        Action appended) => ProduceAsync(partition, batch, acks, transaction, CancellationToken.None, appended);

    // Apart from the others, which must not pay for its closure.
    private ValueTask<ProduceResult> AppendInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken) =>
        session.AppendInTransactionAsync(partition, topicId: default, TransactionDoor.ProducerOf(batch.Span), transaction, verified =>
            _broker.ProduceInTransactionAsync(partition, batch, transaction with { Number = verified.Number }, cancellationToken));

    private ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, BatchTransaction? transaction,
        CancellationToken cancellationToken, Action? appended = null)
    {
        if (!session.Authorizes(AccessOperation.Write, ResourceType.Topic, partition.Topic))
            return new(ProduceResult.Failed(ErrorCode.TopicAuthorizationFailed, Message(AccessOperation.Write, partition.Topic)));
        if (BatchProducers.Refuses(session.Session, session.Quotas, batch.Span, out var refusal))
            return new(refusal);
        return session.PaceOf(QuotaKey.ProducerByteRate) is { } pace
            ? AppendAtPaceAsync(pace, partition, batch, acks, transaction, appended, cancellationToken)
            : AppendAsync(partition, batch, acks, transaction, cancellationToken);
    }

    // Apart from the others, as are those of reads, which must not pay for its closure.
    private ValueTask<ProduceResult> AppendAtPaceAsync(SessionPace pace, TopicPartition partition, Memory<byte> batch, Acks acks,
        BatchTransaction? transaction, Action? appended, CancellationToken cancellationToken) =>
        pace.ProduceAsync(batch.Length, async () =>
        {
            var result = await AppendAsync(partition, batch, acks, transaction, cancellationToken).ConfigureAwait(false);
            appended?.Invoke();
            return result;
        });

    private ValueTask<ProduceResult> AppendAsync(TopicPartition partition, Memory<byte> batch, Acks acks, BatchTransaction? transaction,
        CancellationToken cancellationToken)
    {
        // Read before the memory is the broker's.
        var records = RecordCounts.OfBatch(batch.Span);
        var producing = transaction is { } named ? AppendInTransactionAsync(partition, batch, named, cancellationToken)
            : _broker.ProduceAsync(partition, batch, acks, cancellationToken);
        return producing.IsCompletedSuccessfully
            ? new(Counted(partition.Topic, records, batch.Length, producing.Result))
            : CountAsync(partition.Topic, records, batch.Length, producing);
    }

    /// <inheritdoc/>
    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        var topic = request.Partition.Topic;
        if (!session.Authorizes(AccessOperation.Read, ResourceType.Topic, topic))
            return new(FetchResult.Failed(ErrorCode.TopicAuthorizationFailed, Message(AccessOperation.Read, topic)));
        return session.PaceOf(QuotaKey.ConsumerByteRate) is { } pace
            ? ReadAtPaceAsync(pace, request, cancellationToken) : ReadAsync(request, cancellationToken);
    }

    private ValueTask<FetchResult> ReadAtPaceAsync(SessionPace pace, FetchRequest request, CancellationToken cancellationToken) =>
        pace.FetchAsync(request, held => ReadAsync(held, cancellationToken), cancellationToken);

    private ValueTask<FetchResult> ReadAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var topic = request.Partition.Topic;
        var fetching = _broker.FetchAsync(request, cancellationToken);
        return fetching.IsCompletedSuccessfully ? new(Counted(topic, fetching.Result)) : CountAsync(topic, fetching);
    }

    /// <inheritdoc/>
    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) =>
        session.Authorizes(AccessOperation.Describe, ResourceType.Topic, partition.Topic)
            ? _broker.FindOffsetAsync(partition, spec, cancellationToken)
            : new(new OffsetResult(ErrorCode.TopicAuthorizationFailed, -1, Message: Message(AccessOperation.Describe, partition.Topic)));

    /// <inheritdoc/>
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        session.Authorizes(AccessOperation.Delete, ResourceType.Topic, partition.Topic)
            ? _broker.DeleteRecordsAsync(partition, beforeOffset, cancellationToken)
            : ValueTask.FromException<long>(Refusal(AccessOperation.Delete, partition.Topic));

    /// <inheritdoc/>
    public async ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default)
    {
        // A client that may write somewhere may do so idempotently (KIP-679).
        if (!session.AllowsAny(AccessOperation.Write, ResourceType.Topic))
            session.Demand(AccessOperation.IdempotentWrite, ResourceType.Cluster);
        return await _broker.InitProducerIdAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return await _broker.DescribeClusterAsync(cancellationToken).ConfigureAwait(false);
    }

    private ValueTask<TopicDescription> MutateAsync(int partitions, Func<ValueTask<TopicDescription>> mutate)
    {
        try
        {
            // Another number is refused.
            if (partitions <= TopicState.MaxPartitions)
                session.Pace?.Mutate(Math.Max(partitions, 1));
        }
        catch (BrokerException exceeded)
        {
            return ValueTask.FromException<TopicDescription>(exceeded);
        }
        return mutate();
    }

    private async ValueTask DemandDeletionAsync(string topic, CancellationToken cancellationToken)
    {
        if (session.PaceOf(QuotaKey.ControllerMutationRate) is { } pace)
            pace.Mutate((await _broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions);
    }

    private async ValueTask<TopicDescription> AddPartitionsWithinQuotaAsync(string topic, int totalCount,
        CancellationToken cancellationToken)
    {
        // Another total is refused.
        if (totalCount <= TopicState.MaxPartitions && session.PaceOf(QuotaKey.ControllerMutationRate) is { } pace)
            pace.Mutate(Math.Max(totalCount
                - (await _broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false)).Partitions, 0));
        return await _broker.AddPartitionsAsync(topic, totalCount, cancellationToken).ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ProduceResult> CountAsync(string topic, int records, int bytes, ValueTask<ProduceResult> producing) =>
        Counted(topic, records, bytes, await producing.ConfigureAwait(false));

    private ProduceResult Counted(string topic, int records, int bytes, in ProduceResult result)
    {
        var grant = session.GrantOf(topic);
        (TopicCounts.ProveTopic(result.Error) ? grant.Counts : grant.CountsSoFar)?.Count(result, records, bytes);
        return result;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<FetchResult> CountAsync(string topic, ValueTask<FetchResult> fetching) =>
        Counted(topic, await fetching.ConfigureAwait(false));

    private FetchResult Counted(string topic, FetchResult result)
    {
        if (TopicCounts.IsCounted(result))
            session.GrantOf(topic).Counts.Count(result);
        return result;
    }

    private string Message(AccessOperation operation, string topic) => session.RefusalOf(operation, ResourceType.Topic, topic);

    private BrokerException Refusal(AccessOperation operation, string topic) =>
        new(ErrorCode.TopicAuthorizationFailed, Message(operation, topic));
}
