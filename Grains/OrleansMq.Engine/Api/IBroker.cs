
namespace OrleansMq.Api;

/// <summary>How many replicas must hold a batch before it is acknowledged.</summary>
public enum Acks : sbyte
{
    /// <summary>Every in-sync replica (and on disk, under the flush policy <c>sync</c>).</summary>
    All = -1,
    /// <summary>None: the batch is written, but the sender does not wait to hear of it.</summary>
    None = 0,
    /// <summary>The leader alone.</summary>
    Leader = 1,
}

/// <summary>
/// The broker API: what gateways, the HTTP API and the client library call. One implementation runs in process over the engine,
/// one over grains, one over HTTP in the client library.
/// <para>Administration throws <see cref="BrokerException"/>; the data path returns its <see cref="ErrorCode"/>, so that a refused batch
/// costs no exception. Implementations are thread safe.</para>
/// </summary>
public interface IBroker
{
    /// <summary>Creates a topic and its partitions; returns when all of them can be written.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic with all its records and frees the disk.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>All topics, by name in ordinal order.</summary>
    ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default);

    /// <summary>A topic with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>What a producer needs to know of a topic. Cheap: answered from memory where the implementation can.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default);

    /// <summary>Changes configuration keys; a value of null returns a key to its default. All or nothing.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default);

    /// <summary>Raises the number of partitions to <paramref name="totalCount"/>; existing records stay where they are.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>.</exception>
    ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default);

    /// <summary>
    /// Appends one record batch (Kafka format v2). The broker stamps base offset and leader epoch into <paramref name="batch"/> (and
    /// timestamps, where the topic says LogAppendTime), so the memory belongs to the broker until the task completes; afterwards the same
    /// bytes may be sent again. Batches that one caller hands over for one partition, one call after the other, are appended in that order,
    /// without his waiting for the answers.
    /// </summary>
    /// <param name="partition">Where to.</param>
    /// <param name="batch">Exactly one batch.</param>
    /// <param name="acks">When to answer.</param>
    /// <param name="cancellationToken">Looked at before the batch is queued, never afterwards: what is queued is written.</param>
    ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default);

    /// <summary>
    /// Reads whole batches from the one that holds <see cref="FetchRequest.Offset"/> on, up to the high watermark. With nothing to read it
    /// waits up to <see cref="FetchRequest.MaxWait"/>, then answers with no records. Dispose the result: its memory is pooled.
    /// </summary>
    ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default);

    /// <summary>Finds an offset: earliest, latest, the first at or after a time, or that of the largest timestamp.</summary>
    ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default);

    /// <summary>Moves the log start offset up to <paramref name="beforeOffset"/> (-1: the high watermark); returns the new log start
    /// offset.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.OffsetOutOfRange"/>,
    /// <see cref="ErrorCode.PolicyViolation"/> (a topic that is only compacted).</exception>
    ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default);

    /// <summary>A producer id that was never given out before, with epoch 0, for an idempotent producer.</summary>
    ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default);

    /// <summary>The broker or cluster itself.</summary>
    ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default);

    /// <summary>Administration of brokers and replicas; where there is one broker only, every method refuses.</summary>
    IClusterAdministration Administration { get; }

    /// <summary>Consumer groups; a broker without a coordinator answers <see cref="ErrorCode.CoordinatorNotAvailable"/>.</summary>
    IGroupCoordinator Groups { get; }
}
