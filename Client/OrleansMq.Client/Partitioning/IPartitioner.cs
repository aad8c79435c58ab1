namespace OrleansMq.Client;

/// <summary>
/// Chooses the partition of a record that specifies none. One object serves one producer and is called from all sending threads.
/// </summary>
public interface IPartitioner
{
    /// <summary>Returns the partition for a record.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="key">The serialized key; empty if there is none.</param>
    /// <param name="hasKey">False for a record without a key. An empty key is a key.</param>
    /// <param name="partitionCount">The topic's number of partitions, at least 1. It may grow.</param>
    /// <returns>0 to <paramref name="partitionCount"/> - 1.</returns>
    int Choose(string topic, ReadOnlySpan<byte> key, bool hasKey, int partitionCount);

    /// <summary>Called when a batch is closed: a good moment to switch partitions without making batches smaller.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="partition">The partition whose batch was closed.</param>
    /// <param name="partitionCount">The topic's number of partitions.</param>
    void OnBatchClosed(string topic, int partition, int partitionCount) { }
}
