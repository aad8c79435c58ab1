using OrleansMq.Brokers;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// All partitions of one broker: opens them from the data directory, creates and deletes them, and runs what they share (append threads,
/// file handle cache, retention, compaction, checkpoints, free-space guard). One a broker, whichever host drives it.
/// </summary>
public sealed class PartitionStore : IAsyncDisposable
{
    /// <summary>
    /// Recovers every partition in the data directory, which the host has opened and locked before (<c>DataDirectory.Open</c>: it needs the topics'
    /// documents in it to answer <paramref name="findConfig"/>). A partition that cannot be recovered is offline, not missing.
    /// </summary>
    /// <param name="options">Where, and the limits.</param>
    /// <param name="findConfig">The topic's configuration for a topic id; null for a topic that is not known (its directory is set aside).</param>
    /// <param name="cancellationToken">Stops the recovery.</param>
    public static Task<PartitionStore> OpenAsync(BrokerOptions options, Func<Guid, TopicConfig?> findConfig, CancellationToken cancellationToken = default) =>
        throw new NotImplementedException();

    /// <summary>All partitions, online or not.</summary>
    public IReadOnlyCollection<Partition> Partitions => throw new NotImplementedException();

    /// <summary>Creates the partition's directory, or returns the one that exists under the same topic id.</summary>
    public Partition GetOrCreate(TopicPartition partition, Guid topicId, TopicConfig config) => throw new NotImplementedException();

    /// <summary>The partition, if this broker holds it.</summary>
    public bool TryGet(TopicPartition partition, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Partition? found) => throw new NotImplementedException();

    /// <summary>Stops the partition, fails its waiters with <see cref="ErrorCode.UnknownTopicOrPartition"/> and frees its disk.</summary>
    public Task DeleteAsync(TopicPartition partition) => throw new NotImplementedException();

    /// <summary>Drains the append loops, flushes, writes checkpoints and the clean-shutdown marker. The host then unlocks the directory.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
