using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>
/// Topics, offsets and the cluster. Refusals are <see cref="BrokerException"/> with the code and what to do about it; over HTTP a broker
/// that does not answer is a <see cref="Http.BrokerUnreachableException"/>. Nothing is retried.
/// </summary>
public interface IAdmin
{
    /// <summary>Creates a topic; it can be written when the call returns.</summary>
    /// <param name="name">1 to 249 characters of <c>a-z A-Z 0-9 . _ -</c>.</param>
    /// <param name="partitions">1 to 10,000; null for the broker's default.</param>
    /// <param name="configs">Kafka's configuration keys and values; null for the defaults.</param>
    /// <param name="replicationFactor">Copies of each partition, on brokers of their own; null for the cluster's default.</param>
    /// <param name="cancellationToken">Ends the wait; the topic may be created all the same.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>, <see cref="ErrorCode.InvalidReplicationFactor"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    Task<TopicDescription> CreateTopicAsync(string name, int? partitions = null, IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default);

    /// <summary>Creates a topic unless there is one of that name, whatever its partitions and configuration.</summary>
    /// <inheritdoc cref="CreateTopicAsync"/>
    Task<TopicDescription> EnsureTopicAsync(string name, int? partitions = null, IReadOnlyDictionary<string, string>? configs = null,
        short? replicationFactor = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a topic with all its records.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task DeleteTopicAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>All topics, by name.</summary>
    Task<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default);

    /// <summary>A topic with its configuration and the offsets of each partition.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task<TopicDescription> DescribeTopicAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Changes configuration keys, all or none; a value of null returns a key to its default.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidConfig"/>.</exception>
    Task<TopicDescription> AlterTopicAsync(string name, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default);

    /// <summary>Raises the number of partitions. Keys that come later may go to other partitions than before.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>,
    /// <see cref="ErrorCode.InvalidPartitions"/>.</exception>
    Task<TopicDescription> AddPartitionsAsync(string name, int totalCount, CancellationToken cancellationToken = default);

    /// <summary>The partitions of a topic, to assign to a reader.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>.</exception>
    Task<IReadOnlyList<TopicPartition>> ListPartitionsAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>The offset a reader would start from.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, or a retriable code.</exception>
    Task<long> FindOffsetAsync(TopicPartition partition, ReadFrom start, CancellationToken cancellationToken = default);

    /// <summary>Deletes the records below an offset (-1: all that can be read); returns the first offset that is left.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>, <see cref="ErrorCode.OffsetOutOfRange"/>,
    /// <see cref="ErrorCode.PolicyViolation"/> (a topic that is only compacted).</exception>
    Task<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default);

    /// <summary>Brokers, and which of them hold and lead what; a broker that is alone refuses all of it.</summary>
    IClusterAdministration Cluster { get; }

    /// <summary>The cluster and its brokers.</summary>
    Task<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default);
}
