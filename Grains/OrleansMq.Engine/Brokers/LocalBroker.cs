namespace OrleansMq.Brokers;

/// <summary>The broker in one process: the engine behind the broker API, without a cluster.</summary>
public sealed class LocalBroker : IBroker, IAsyncDisposable
{
    /// <summary>Opens the data directory (created where it does not exist) and recovers what is in it.</summary>
    /// <exception cref="DataDirectoryException">The directory is locked, unwritable, or of a newer format.</exception>
    public static Task<LocalBroker> OpenAsync(BrokerOptions options, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>The partitions on this broker, online or not: what metrics are read from.</summary>
    public IReadOnlyCollection<Partitions.Partition> Partitions => throw new NotImplementedException();

    /// <inheritdoc/>
    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <inheritdoc/>
    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();
    /// <summary>Drains and closes cleanly.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
