namespace OrleansMq.Client;

/// <summary>
/// Reads the partitions that the application assigns, without a group and without committed offsets: the application stores its positions.
/// Batches are prefetched within <see cref="ReaderOptions.PrefetchBytes"/>. Records of one partition are in order; partitions take turns by
/// batch. Any thread may assign and seek; only one caller at a time may read.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IPartitionReader<TKey, TValue> : IAsyncEnumerable<ConsumeResult<TKey, TValue>>, IAsyncDisposable
{
    /// <summary>The assigned partitions.</summary>
    IReadOnlyCollection<TopicPartition> Assignment { get; }

    /// <summary>Adds a partition, or moves the position of an assigned one. Fetching starts at once.</summary>
    /// <exception cref="ArgumentException">No start was chosen.</exception>
    void Assign(TopicPartition partition, ReadFrom start);

    /// <summary>Adds partitions, all with the same start.</summary>
    /// <inheritdoc cref="Assign(TopicPartition, ReadFrom)"/>
    void Assign(IEnumerable<TopicPartition> partitions, ReadFrom start);

    /// <summary>Removes a partition and drops its prefetched records.</summary>
    void Unassign(TopicPartition partition);

    /// <summary>Moves the position in an assigned partition, which also clears a failure. Takes effect with the next read.</summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    void Seek(TopicPartition partition, ReadFrom position);

    /// <summary>
    /// Returns the offset of the next record to read. Waits until it is known, if the partition was assigned by time, earliest or latest.
    /// </summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    /// <exception cref="ConsumeException">The position cannot be found.</exception>
    ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>Returns the partition's high watermark as of its last fetch, or with <see cref="IsolationLevel.ReadCommitted"/> its last
    /// stable offset; -1 before the first.</summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    long GetHighWatermark(TopicPartition partition);

    /// <summary>Reads the next record; waits until there is one. Moves the position past it.</summary>
    /// <param name="cancellationToken">Ends the wait at once, without losing a record.</param>
    /// <exception cref="OffsetOutOfRangeException">The position does not exist in the partition.</exception>
    /// <exception cref="ConsumeException">A partition cannot be read, or contains a damaged batch.</exception>
    /// <exception cref="DeserializationException">The deserializer rejected a key or value; the position stays at that record.</exception>
    ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads the next record, or returns null if there is none within <paramref name="maxWait"/>. Zero returns only a record that
    /// is already fetched.</summary>
    /// <inheritdoc cref="ReadAsync(CancellationToken)"/>
    ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default);
}
