using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// Administration of topics, offsets and the cluster. A rejected request throws <see cref="BrokerException"/> with the code and how to fix
/// it. Over HTTP, <see cref="BrokerUnreachableException"/> means that no broker answered. Nothing is retried.
/// </summary>
public interface IAdmin
{
    /// <summary>Creates a topic. When the call returns, the topic accepts writes.</summary>
    /// <param name="name">1 to 249 characters of <c>a-z A-Z 0-9 . _ -</c>.</param>
    /// <param name="partitions">1 to 10,000; null for the broker's default.</param>
    /// <param name="configs">Kafka's configuration keys and values; null for the defaults.</param>
    /// <param name="replicationFactor">Copies of each partition, each on another broker; null for the cluster's default.</param>
    /// <param name="cancellationToken">Ends the wait; the topic may be created nevertheless.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    Task<TopicDescription> CreateTopicAsync(string name, int? partitions = null, IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default);

    /// <summary>Creates a topic unless one of that name exists. An existing one keeps its configuration and replication factor, and may
    /// have more partitions; to find it needs no right to create topics. A new one starts with the replicas that there are brokers for; the
    /// cluster adds the others when brokers join.</summary>
    /// <inheritdoc cref="CreateTopicAsync"/>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidPartitions"/>: the topic exists with fewer partitions. Or one of
    /// <see cref="CreateTopicAsync"/>, except <see cref="ErrorCode.TopicAlreadyExists"/>.</exception>
    Task<TopicDescription> EnsureTopicAsync(string name, int? partitions = null, IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic with all its records.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task DeleteTopicAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Lists all topics, ordered by name.</summary>
    Task<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default);

    /// <summary>Describes a topic with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task<TopicDescription> DescribeTopicAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Changes configuration keys, all or none; null resets a key to its default.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    Task<TopicDescription> AlterTopicAsync(string name, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default);

    /// <summary>Raises the number of partitions. Later records may go to other partitions than earlier ones of the same key.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, also where a queue of the topic is ordered by key.</exception>
    Task<TopicDescription> AddPartitionsAsync(string name, int totalCount, CancellationToken cancellationToken = default);

    /// <summary>Lists the partitions of a topic, to assign to a reader.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task<IReadOnlyList<TopicPartition>> ListPartitionsAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Finds the offset from which a reader would start.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, or a retriable code.</exception>
    Task<long> FindOffsetAsync(TopicPartition partition, ReadFrom start, CancellationToken cancellationToken = default);

    /// <summary>Deletes the records below an offset (-1: all readable records). Returns the first remaining offset.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.OffsetOutOfRange"/>,
    /// <see cref="ErrorCode.PolicyViolation"/> (the topic's only cleanup policy is compaction).</exception>
    Task<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default);

    /// <summary>
    /// Sends the records of a dead-letter topic back to where they came from: topic and partition, with key, value and headers. It stops at
    /// the end that the topic has at the start, so that a record that fails again is not sent twice. What is done is committed, and a later
    /// call continues there. A call that is interrupted may send some records twice.
    /// </summary>
    /// <param name="deadLetterTopic">The dead-letter topic, for example <c>orders.dead-letter</c>.</param>
    /// <param name="options">Which records, and where progress is kept; null for all records.</param>
    /// <param name="cancellationToken">Stops. Records may have been sent that are not committed as done.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, or a retriable code.</exception>
    /// <exception cref="ProduceException">A record could not be sent.</exception>
    Task<RedriveResult> RedriveAsync(string deadLetterTopic, RedriveOptions? options = null,
        CancellationToken cancellationToken = default);

    /// <summary>Shows dead letters: where they came from, and why.</summary>
    IDeadLetterAdmin DeadLetters { get; }

    /// <summary>Administration of consumer groups: their members, lag and offsets.</summary>
    IGroupAdmin Groups { get; }

    /// <summary>Administration of brokers and replicas. On a single broker every method throws.</summary>
    IClusterAdministration Cluster { get; }

    /// <summary>Describes the cluster and its brokers.</summary>
    Task<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default);
}
