namespace OrleansMq.Client;

/// <summary>
/// Reads partitions that the application names, without a group and without committed offsets: the application keeps its positions. Batches
/// are fetched ahead, within <see cref="ReaderOptions.PrefetchBytes"/>. Records of one partition come in order; partitions take turns by
/// batch. Assigning and seeking may be done from any thread; reading is for one caller at a time.
/// </summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public interface IPartitionReader<TKey, TValue> : IAsyncEnumerable<ConsumeResult<TKey, TValue>>, IAsyncDisposable
{
    /// <summary>The partitions that are read.</summary>
    IReadOnlyCollection<TopicPartition> Assignment { get; }

    /// <summary>Adds a partition, or moves one that is assigned already. Fetching starts at once.</summary>
    /// <exception cref="ArgumentException">No start was chosen.</exception>
    void Assign(TopicPartition partition, ReadFrom start);

    /// <summary>Adds partitions, all from the same start.</summary>
    /// <inheritdoc cref="Assign(TopicPartition, ReadFrom)"/>
    void Assign(IEnumerable<TopicPartition> partitions, ReadFrom start);

    /// <summary>Removes a partition; records of it that were fetched ahead are dropped.</summary>
    void Unassign(TopicPartition partition);

    /// <summary>Moves within an assigned partition; also what ends its failure. Takes effect with the next read.</summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    void Seek(TopicPartition partition, ReadFrom position);

    /// <summary>
    /// The offset to be read next; waits until it is found, where the partition was assigned by time, earliest or latest.
    /// </summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    /// <exception cref="ConsumeException">It cannot be found.</exception>
    ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default);

    /// <summary>The partition's high watermark, as of its last fetch; -1 before the first.</summary>
    /// <exception cref="InvalidOperationException">The partition is not assigned.</exception>
    long GetHighWatermark(TopicPartition partition);

    /// <summary>The next record; waits until there is one. The position moves behind it.</summary>
    /// <param name="cancellationToken">Ends the wait at once; no record is lost by that.</param>
    /// <exception cref="OffsetOutOfRangeException">A position that its partition does not have.</exception>
    /// <exception cref="ConsumeException">A partition that cannot be read, or holds a batch that is damaged.</exception>
    /// <exception cref="DeserializationException">A key or value that its deserializer refuses; the position stays on it.</exception>
    ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default);

    /// <summary>The next record, or null if there is none within <paramref name="maxWait"/>; zero looks only at what was fetched.</summary>
    /// <inheritdoc cref="ReadAsync(CancellationToken)"/>
    ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default);
}
