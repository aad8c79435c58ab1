using OrleansMq.Log;

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

    /// <summary>Appends a leader's batches as they are, at or above the log's end: <paramref name="count"/> from <paramref name="first"/>
    /// on. They follow each other without a hole and are of one epoch, which is assigned already.</summary>
    void AppendReplicated(IReadOnlyList<ReplicatedBatch> batches, int first, int count);

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
