namespace OrleansMq.Api;

/// <summary>
/// The broker API that gateways, the HTTP API and the client library call. One implementation runs in process over the engine, one over
/// grains, and the client library has one over HTTP.
/// <para>Administration throws <see cref="BrokerException"/>. The data path returns an <see cref="ErrorCode"/>, so that a rejected batch
/// costs no exception. Implementations are thread-safe.</para>
/// </summary>
public interface IBroker
{
    /// <summary>Creates a topic and its partitions. Completes when all partitions accept writes.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic with all its records and frees the disk space.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>Lists all topics, ordered by name (ordinal).</summary>
    ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes a topic with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>Returns what a producer needs to know about a topic. Cheap: answered from memory if the implementation can.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>Changes configuration keys; null resets a key to its default. Either all changes apply or none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default);

    /// <summary>Raises the number of partitions to <paramref name="totalCount"/>. Existing records stay in their partitions.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, also where a queue of the topic is ordered by key.</exception>
    ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default);

    /// <summary>
    /// Appends one record batch (Kafka format v2). The broker stamps base offset and leader epoch into <paramref name="batch"/>, and
    /// timestamps if the topic uses LogAppendTime. The memory therefore belongs to the broker until the task completes; afterwards the same
    /// bytes may be sent again. Batches for one partition are appended in the order in which one caller calls this method. The caller need
    /// not wait for a call to complete before the next.
    /// </summary>
    /// <param name="partition">The partition to append to.</param>
    /// <param name="batch">Exactly one batch.</param>
    /// <param name="acks">When to acknowledge.</param>
    /// <param name="cancellationToken">Checked before the batch is queued, not afterwards: a queued batch is always written.</param>
    ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default);

    /// <summary>Appends one record batch of a transaction with <see cref="Acks.All"/>, as <see cref="ProduceAsync"/> does. The first batch
    /// of a transaction in a partition is appended in this way alone; later ones may be appended in either way.</summary>
    /// <param name="partition">The partition to append to; it was added to the transaction before (<see cref="AddToTransaction"/>).</param>
    /// <param name="batch">Exactly one batch, transactional.</param>
    /// <param name="transaction">The transaction. One that has ended in the partition, or that the partition was not added to, is refused
    /// with <see cref="ErrorCode.TransactionAbortable"/>.</param>
    /// <param name="cancellationToken">Checked before the batch is queued, not afterwards: a queued batch is always written.</param>
    ValueTask<ProduceResult> ProduceInTransactionAsync(TopicPartition partition, Memory<byte> batch, BatchTransaction transaction,
        CancellationToken cancellationToken = default) =>
        new(ProduceResult.Failed(ErrorCode.UnsupportedVersion, NoTransactions.Message));

    /// <summary>
    /// Reads whole batches up to the high watermark, starting with the one that contains <see cref="FetchRequest.Offset"/>. Without records
    /// it waits up to <see cref="FetchRequest.MaxWait"/>, then returns none. Dispose the result: its memory is pooled.
    /// </summary>
    ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default);

    /// <summary>Finds an offset: the earliest, the latest, the first at or after a time, or that of the largest timestamp. For a reader of
    /// committed records (<see cref="OffsetSpec.Isolation"/>) the latest is the last stable offset.</summary>
    ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default);

    /// <summary>Raises the log start offset to <paramref name="beforeOffset"/> (-1: the high watermark). Returns the new log start
    /// offset.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.OffsetOutOfRange"/>,
    /// <see cref="ErrorCode.PolicyViolation"/> (the topic's only cleanup policy is compaction).</exception>
    ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default);

    /// <summary>Allocates a producer id that was never used before, with epoch 0, for an idempotent producer.</summary>
    ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes the cluster and its brokers.</summary>
    ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default);

    /// <summary>Administration of brokers and replicas. On a single broker every method throws.</summary>
    IClusterAdministration Administration { get; }

    /// <summary>Consumer groups. A broker without a coordinator returns <see cref="ErrorCode.CoordinatorNotAvailable"/>.</summary>
    IGroupCoordinator Groups { get; }

    /// <summary>Queues. A broker without them refuses every call with <see cref="ErrorCode.UnsupportedVersion"/>.</summary>
    IQueues Queues => NoQueues.Instance;

    /// <summary>Schedules. A broker without them refuses every call with <see cref="ErrorCode.UnsupportedVersion"/>.</summary>
    ISchedules Schedules => NoSchedules.Instance;

    /// <summary>Transactions. A broker without them refuses every call with
    /// <see cref="ErrorCode.TransactionalIdAuthorizationFailed"/>.</summary>
    ITransactionCoordinator Transactions => NoTransactions.Instance;
}
