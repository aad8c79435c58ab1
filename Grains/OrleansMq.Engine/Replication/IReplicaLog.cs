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
/// A replica's log and what its disk keeps beside it, as the roles need them. Called under the append lock; every call has happened when it
/// returns. Compaction may leave holes between batches, also at the log's end: offsets are places, not counts.
/// </summary>
internal interface IReplicaLog
{
    /// <summary>The first offset that can be read.</summary>
    long LogStartOffset { get; }

    /// <summary>The offset the next record gets.</summary>
    long LogEndOffset { get; }

    /// <summary>The end that counts in acknowledgements: the log end, or under <c>sync</c> the flushed end.</summary>
    long CountedEndOffset { get; }

    /// <summary>Below this compaction has removed records for the sake of later ones, which all lie below it too; 0 where it never
    /// ran.</summary>
    long CompactedEndOffset { get; }

    /// <summary>The highest high watermark this replica was told or decided on since it was opened. Never above the log end, nor below the
    /// log start.</summary>
    long HighWatermark { get; }

    /// <summary>The epoch in which <see cref="HighWatermark"/> was told or decided on; -1 where none is known.</summary>
    int HighWatermarkEpoch { get; }

    /// <summary>Takes note of a high watermark. Memory alone: nothing need be durable.</summary>
    void SetHighWatermark(long offset, int epoch);

    /// <summary>The highest epoch seen, as <see cref="RaiseFence"/> made it durable.</summary>
    int Fence { get; }

    /// <summary>Makes a higher epoch durable before its first request is answered.</summary>
    void RaiseFence(int epoch);

    /// <summary>Which offsets were written in which epoch, oldest first; as <see cref="LeaderEpochCache.Entries"/>.</summary>
    IReadOnlyList<LeaderEpochEntry> Epochs { get; }

    /// <inheritdoc cref="LeaderEpochCache.EndOffsetFor"/>
    LeaderEpochEntry EndOffsetFor(int epoch);

    /// <summary>Takes note, durably, of where a new epoch begins; as <see cref="LeaderEpochCache.Assign"/>.</summary>
    void AssignEpoch(int epoch, long startOffset);

    /// <summary>What becomes of a producer's batch. Followers keep this state too; truncation rebuilds it.</summary>
    ProducerDecision CheckProducer(ReadOnlyMemory<byte> batch);

    /// <summary>Stamps offset and epoch into a producer's batch and appends it. For a leadership that is driven by
    /// <see cref="LeaderReplica.Append"/>; others write by themselves and say so with <see cref="LeaderReplica.OnAppended"/>.</summary>
    ReplicatedBatch Append(ReadOnlyMemory<byte> batch, int epoch);

    /// <summary>Appends a leader's batch as it is, at or above the log's end; its epoch is assigned already.</summary>
    void AppendReplicated(in ReplicatedBatch batch);

    /// <summary>The same for <paramref name="count"/> batches from <paramref name="first"/> on, which follow each other without a hole and
    /// are of one epoch.</summary>
    void AppendReplicated(IReadOnlyList<ReplicatedBatch> batches, int first, int count)
    {
        for (var index = first; index < first + count; index++)
            AppendReplicated(batches[index]);
    }

    /// <summary>Moves the log's end up without a record: the leader's compaction left nothing between.</summary>
    void AdvanceTo(long endOffset);

    /// <summary>Cuts the log; epochs and producers follow, and a high watermark that lies above. The log ends at
    /// <paramref name="endOffset"/> exactly, also where that lies in a hole (else offsets that were shown would be given out again); inside
    /// a batch, the whole batch goes and the log ends where it began.</summary>
    void TruncateTo(long endOffset);

    /// <summary>Removes what lies below, as its leader did by retention or delete-records. At most the log end.</summary>
    void MoveLogStart(long offset);

    /// <summary>Empties the log, epochs and producers included: it starts and ends at <paramref name="logStart"/>, and so does the high
    /// watermark. A crash meanwhile leaves an empty log, at this offset or the old log start, or the old one.</summary>
    void ResetTo(long logStart);
}
