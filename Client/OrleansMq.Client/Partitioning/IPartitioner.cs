namespace OrleansMq.Client;

/// <summary>
/// Chooses the partition of a record that names none. One object serves one producer; it is called from all threads that send.
/// </summary>
public interface IPartitioner
{
    /// <summary>The partition for a record.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="key">The serialized key; empty where there is none.</param>
    /// <param name="hasKey">False for a record without a key; an empty key is a key.</param>
    /// <param name="partitionCount">How many partitions the topic has: 1 or above. It may grow.</param>
    /// <returns>0 to <paramref name="partitionCount"/> - 1.</returns>
    int Choose(string topic, ReadOnlySpan<byte> key, bool hasKey, int partitionCount);

    /// <summary>A batch was closed and goes to the broker: a moment to turn to another partition without making batches smaller.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="partition">The partition whose batch was closed.</param>
    /// <param name="partitionCount">How many partitions the topic has.</param>
    void OnBatchClosed(string topic, int partition, int partitionCount) { }
}
