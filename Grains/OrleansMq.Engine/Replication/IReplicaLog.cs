using OrleansMq.Log;
using OrleansMq.Producers;

namespace OrleansMq.Replication;

/// <summary>A record batch as replicas exchange it.</summary>
/// <param name="BaseOffset">Of its first record.</param>
/// <param name="NextOffset">The offset after its last record.</param>
/// <param name="Epoch">The leader epoch it was written in.</param>
/// <param name="Bytes">The batch, byte for byte the same on every replica.</param>
internal readonly record struct ReplicatedBatch(long BaseOffset, long NextOffset, int Epoch, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// A replica's log and what its disk keeps beside it, as the roles need them. Called under the append lock; every call has happened when it returns.
/// </summary>
internal interface IReplicaLog
{
    /// <summary>The offset after the last record.</summary>
    long LogEndOffset { get; }

    /// <summary>The end that counts in acknowledgements: the log end, or under <c>sync</c> the flushed end.</summary>
    long CountedEndOffset { get; }

    /// <summary>The highest high watermark this replica was told or decided on since it was opened.</summary>
    long HighWatermark { get; set; }

    /// <summary>The highest epoch seen, as <see cref="RaiseFence"/> made it durable.</summary>
    int Fence { get; }

    /// <summary>Makes a higher epoch durable before its first request is answered.</summary>
    void RaiseFence(int epoch);

    /// <summary>A leader takes the log end as its epoch's start and checkpoints it.</summary>
    void BeginEpoch(int epoch);

    /// <summary>The latest epoch with its start; <see cref="LeaderEpochCache.None"/> where there is none.</summary>
    LeaderEpochEntry LatestEpoch { get; }

    /// <inheritdoc cref="LeaderEpochCache.EndOffsetFor"/>
    LeaderEpochEntry EndOffsetFor(int epoch);

    /// <summary>The epoch of the batch that holds an offset; -1 where there is none.</summary>
    int EpochOf(long offset);

    /// <summary>What becomes of a producer's batch. Followers keep this state too; truncation rebuilds it.</summary>
    ProducerDecision CheckProducer(ReadOnlyMemory<byte> batch);

    /// <summary>Stamps offset and epoch into a producer's batch and appends it.</summary>
    ReplicatedBatch Append(ReadOnlyMemory<byte> batch, int epoch);

    /// <summary>Appends a leader's batch as it is, at the log's end.</summary>
    void AppendReplicated(in ReplicatedBatch batch);

    /// <summary>Adds batches from <paramref name="offset"/> on to <paramref name="into"/>, at most <paramref name="maxBatches"/>.</summary>
    void Read(long offset, int maxBatches, List<ReplicatedBatch> into);

    /// <summary>Cuts the log; epochs and producers follow. An offset inside a batch cuts the whole batch.</summary>
    void TruncateTo(long endOffset);
}
